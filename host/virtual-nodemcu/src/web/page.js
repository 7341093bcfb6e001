// The page of the virtual board. It speaks the protocol of the control socket (CONTROL.md): one JSON
// object a message.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// Makes an SVG element.
function draw(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// Makes an HTML element.
function make(parent, name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// ---- the socket ----

let socket = null;
let nextId = 1;
const waiting = new Map();

function ask(request) {
  return new Promise((resolve, reject) => {
    if (!socket || socket.readyState !== WebSocket.OPEN) {
      reject(new Error("the board is gone"));
      return;
    }
    const id = nextId++;
    waiting.set(id, { resolve, reject });
    socket.send(JSON.stringify({ ...request, id }));
  });
}

// For what need not be waited for: what is wrong is shown.
function tell(request) {
  ask(request).catch((error) => hint(error.message));
}

function hint(text) {
  $("pin-hint").textContent = text;
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/socket`);
  socket.onopen = async () => {
    $("link").textContent = "running";
    $("link").className = "pill good";
    try {
      // First this, so that nothing is missed between the two; what came twice is cleared.
      await ask({ do: "listen", on: true, outputs: false, serial: true });
      const recent = await ask({ do: "recent" });
      terminal.clear();
      terminal.write(bytes(recent.serial));
      $("console").textContent = "";
      for (const line of recent.console) say(line, null);
      for (const [what, every] of polls) poll(what, every, socket);
    } catch (error) {
      hint(error.message);
    }
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    const asked = waiting.get(message.id);
    if (asked) {
      waiting.delete(message.id);
      if ("error" in message) asked.reject(new Error(message.error));
      else asked.resolve(message.ok);
    } else if (message.event === "serial") {
      terminal.write(bytes(message.data));
    } else if (message.event === "console") {
      say(message.text, message.time_ns);
    }
  };
  socket.onclose = () => {
    $("link").textContent = "switched off";
    $("link").className = "pill off";
    for (const { reject } of waiting.values()) reject(new Error("the board is gone"));
    waiting.clear();
    setTimeout(connect, 1000);
  };
}

// Asks again and again, never twice at a time.
async function poll(what, every, mine) {
  while (socket === mine && mine.readyState === WebSocket.OPEN) {
    if (!document.hidden) {
      try {
        await what();
      } catch (error) {
        if (mine.readyState === WebSocket.OPEN) hint(error.message);
      }
    }
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

const bytes = (text) => Uint8Array.from(text, (c) => c.charCodeAt(0));

// ---- the serial port ----

// As much of a terminal as consoles and REPLs use.
class Terminal {
  constructor(element) {
    this.element = element;
    this.most = 2000;
    this.clear();
    element.addEventListener("keydown", (event) => this.key(event));
    element.addEventListener("paste", (event) => {
      event.preventDefault();
      this.send(event.clipboardData.getData("text").replace(/\r?\n/g, "\r"));
    });
  }

  clear() {
    this.lines = [""];
    this.column = 0;
    this.escape = "";
    this.decoder = new TextDecoder("utf-8");
    this.show();
  }

  write(data) {
    for (const c of this.decoder.decode(data, { stream: true })) this.put(c);
    if (this.lines.length > this.most) this.lines.splice(0, this.lines.length - this.most);
    this.show();
  }

  put(c) {
    const last = this.lines.length - 1;
    const line = this.lines[last];
    if (this.escape) {
      this.escape += c;
      const done = /^\x1b\[([0-9;]*)([@-~])$/.exec(this.escape);
      if (done) {
        const count = parseInt(done[1], 10) || 1;
        if (done[2] === "K") this.lines[last] = line.slice(0, this.column);
        if (done[2] === "D") this.column = Math.max(0, this.column - count);
        if (done[2] === "C") this.column += count;
        if (done[2] === "J" && done[1] === "2") this.lines = [""], this.column = 0;
      }
      if (done || (this.escape.length === 2 && c !== "[") || this.escape.length > 16) this.escape = "";
    } else if (c === "\x1b") {
      this.escape = c;
    } else if (c === "\n") {
      const status = /published (\{.*\})/.exec(line);
      if (status) published(status[1]);
      this.lines.push("");
      this.column = 0;
    } else if (c === "\r") {
      this.column = 0;
    } else if (c === "\b") {
      this.column = Math.max(0, this.column - 1);
    } else if (c >= " " || c === "\t") {
      this.lines[last] = line.slice(0, this.column).padEnd(this.column) + c + line.slice(this.column + 1);
      this.column += 1;
    }
  }

  show() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      const element = this.element;
      const bottom = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
      const line = this.lines[this.lines.length - 1];
      const cursor = document.createElement("span");
      cursor.className = "cursor";
      cursor.textContent = line[this.column] || " ";
      const before = this.lines.slice(0, -1).map((text) => text + "\n").join("") + line.slice(0, this.column);
      element.replaceChildren(before, cursor, line.slice(this.column + 1));
      if (bottom) element.scrollTop = element.scrollHeight;
    });
  }

  key(event) {
    const special = { Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b", ArrowUp: "\x1b[A", ArrowDown: "\x1b[B",
      ArrowRight: "\x1b[C", ArrowLeft: "\x1b[D", Delete: "\x1b[3~", Home: "\x1b[H", End: "\x1b[F" };
    let text = special[event.key];
    if (event.ctrlKey && !event.altKey && /^[a-z]$/i.test(event.key)) {
      // Ctrl-C copies when there is something to copy, Ctrl-V pastes.
      if (event.key === "v" || (event.key === "c" && String(getSelection()))) return;
      text = String.fromCharCode(event.key.toUpperCase().charCodeAt(0) - 64);
    } else if (event.ctrlKey || event.metaKey) {
      return;
    } else if (event.key.length === 1) {
      text = event.key;
    }
    if (text === undefined) return;
    event.preventDefault();
    this.send(text);
  }

  send(text) {
    const utf8 = new TextEncoder().encode(text);
    tell({ do: "serial", text: Array.from(utf8, (byte) => String.fromCharCode(byte)).join("") });
  }
}

const terminal = new Terminal($("term"));

// ---- the board's own console ----

let resets = 0;
let faults = 0;

function say(text, time) {
  let kind = "";
  if (/^reset:|^power/.test(text)) kind = "reset";
  else if (/^exception|crash|watchdog|fault/i.test(text)) kind = "fault";
  else if (/^access point/.test(text)) kind = "air";
  else if (/^LED|^GPIO/.test(text)) kind = "led";
  if (time !== null && kind === "reset") $("resets").textContent = ++resets;
  if (time !== null && kind === "fault") $("faults").textContent = ++faults;
  const all = $("console");
  const bottom = all.scrollHeight - all.scrollTop - all.clientHeight < 40;
  const row = make(all, "div", kind);
  make(row, "time", "", time === null ? "" : (time / 1e9).toFixed(3) + " s");
  make(row, "span", "", text);
  while (all.childElementCount > 1000) all.firstElementChild.remove();
  if (bottom) all.scrollTop = all.scrollHeight;
}

for (const tab of document.querySelectorAll(".tab")) {
  tab.onclick = () => {
    for (const other of document.querySelectorAll(".tab")) {
      other.classList.toggle("on", other === tab);
      $(other.dataset.tab).hidden = other !== tab;
    }
    const screen = $(tab.dataset.tab);
    screen.scrollTop = screen.scrollHeight;
  };
}
$("clear").onclick = () => {
  if ($("console").hidden) terminal.clear();
  else $("console").textContent = "";
};

// ---- the board ----

const LEFT = [["A0"], ["RSV"], ["RSV"], ["SD3", 10], ["SD2", 9], ["SD1", 8], ["CMD", 11], ["SD0", 7], ["CLK", 6],
  ["GND"], ["3V3"], ["EN"], ["RST"], ["GND"], ["VIN"]];
const RIGHT = [["D0", 16], ["D1", 5], ["D2", 4], ["D3", 0], ["D4", 2], ["3V3"], ["GND"], ["D5", 14], ["D6", 12], ["D7", 13],
  ["D8", 15], ["RX", 3], ["TX", 1], ["GND"], ["3V3"]];
const pins = new Map();
const lamps = [];

function drawBoard() {
  const board = $("board");
  const defs = draw(board, "defs", {});
  const glow = draw(defs, "filter", { id: "glow", x: "-200%", y: "-200%", width: "500%", height: "500%" });
  draw(glow, "feGaussianBlur", { stdDeviation: 7 });
  const metal = draw(defs, "linearGradient", { id: "metal", x1: 0, y1: 0, x2: 1, y2: 1 });
  draw(metal, "stop", { offset: 0, "stop-color": "#c9d1d9" });
  draw(metal, "stop", { offset: 1, "stop-color": "#79828d" });
  draw(board, "rect", { x: 72, y: 8, width: 216, height: 540, rx: 12, fill: "#10202e", stroke: "#27445c", "stroke-width": 1.5 });
  // The module, with its antenna.
  draw(board, "rect", { x: 112, y: 14, width: 136, height: 190, rx: 4, fill: "#15130f", stroke: "#3a352b" });
  draw(board, "path", { d: "M122 52 V24 H140 V48 H156 V24 H172 V48 H188 V24 H204 V48 H220 V24 H238 V52", fill: "none", stroke: "#c99b3b", "stroke-width": 4 });
  draw(board, "rect", { x: 122, y: 64, width: 116, height: 128, rx: 4, fill: "url(#metal)" });
  draw(board, "text", { x: 180, y: 108, "text-anchor": "middle", "font-size": 17, "font-weight": 700, fill: "#39424d", "font-family": "sans-serif" }, "ESP8266");
  draw(board, "text", { x: 180, y: 128, "text-anchor": "middle", "font-size": 10, fill: "#4d5763", "font-family": "sans-serif" }, "virtual · 2.4 GHz");
  draw(board, "g", { id: "lamps" });
  // Regulator, USB chip, connector.
  draw(board, "rect", { x: 150, y: 300, width: 60, height: 60, rx: 4, fill: "#0a0d11", stroke: "#2b333d" });
  draw(board, "text", { x: 180, y: 334, "text-anchor": "middle", class: "silk" }, "USB");
  draw(board, "rect", { x: 118, y: 392, width: 34, height: 26, rx: 2, fill: "#0a0d11", stroke: "#2b333d" });
  draw(board, "text", { x: 180, y: 258, "text-anchor": "middle", class: "silk", "font-size": 12 }, "NODEMCU");
  draw(board, "rect", { x: 146, y: 506, width: 68, height: 48, rx: 5, fill: "url(#metal)" });
  key(board, 102, 468, "RST", "rst");
  key(board, 212, 468, "FLASH", "flash");
  LEFT.forEach((pin, at) => drawPin(board, pin, 84, 30 + at * 34, -1));
  RIGHT.forEach((pin, at) => drawPin(board, pin, 276, 30 + at * 34, 1));
}

function key(board, x, y, name, id) {
  const group = draw(board, "g", { class: "key" });
  draw(group, "rect", { x, y, width: 46, height: 34, rx: 5, fill: "#2b323b", stroke: "#596472" });
  draw(group, "circle", { cx: x + 23, cy: y + 17, r: 9, fill: "#d9dee4" });
  draw(group, "text", { x: x + 23, y: y - 5, "text-anchor": "middle", class: "silk" }, name);
  hold(group, id);
}

function drawPin(board, [name, gpio], x, y, side) {
  const group = draw(board, "g", { class: gpio === undefined ? "pin fixed" : "pin" });
  draw(group, "rect", { class: "pad", x: x - 8, y: y - 8, width: 16, height: 16, rx: 3 });
  const anchor = side < 0 ? "end" : "start";
  draw(group, "text", { x: x + side * 20, y: y + 4, "text-anchor": anchor }, name);
  if (gpio === undefined) return;
  draw(group, "text", { class: "gpio", x: x + side * 46, y: y + 4, "text-anchor": anchor }, "GPIO" + gpio);
  const title = draw(group, "title", {});
  pins.set(gpio, { group, title, held: "open" });
  group.onclick = () => {
    const pin = pins.get(gpio);
    const next = { open: "low", low: "high", high: "open" }[pin.held];
    tell({ do: "pin", pin: gpio, level: next });
    hint(`${name} (GPIO${gpio}): ${next === "open" ? "let go" : "held " + next + " from outside"}`);
  };
}

// A button that is held as long as the mouse, or the finger, is.
function hold(element, id) {
  const name = { rst: "RST", flash: "FLASH" }[id];
  let pressed = false;
  const press = (down) => {
    if (pressed === down) return;
    pressed = down;
    $(id).classList.toggle("held", down);
    tell({ do: "button", name, pressed: down });
  };
  element.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    press(true);
  });
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, () => press(false));
  element.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") press(true); });
  element.addEventListener("keyup", () => press(false));
}

let powered = true;
$("power").onclick = () => tell({ do: "power", on: !powered });
$("adc").oninput = () => {
  $("adc-value").textContent = $("adc").value;
  tell({ do: "adc", value: Number($("adc").value) });
};

function drawLamps(leds) {
  const colours = { blue: "#4da3ff", red: "#ff5548", green: "#46e070", yellow: "#ffd84d", white: "#ffffff" };
  const group = document.getElementById("lamps");
  leds.forEach((led, at) => {
    if (!lamps[at]) {
      const x = 228 - at * 20;
      const colour = colours[led.name] || "#ffb84d";
      const halo = draw(group, "circle", { cx: x, cy: 180, r: 15, fill: colour, filter: "url(#glow)" });
      const body = draw(group, "rect", { x: x - 5, y: 176, width: 10, height: 7, rx: 2, id: "led-" + led.name });
      draw(body, "title", {}, `LED ${led.name}, GPIO${led.pin}`);
      lamps[at] = { halo, body, colour };
    }
    const { halo, body, colour } = lamps[at];
    halo.setAttribute("opacity", led.lit ? 0.95 : 0);
    body.setAttribute("fill", led.lit ? colour : "#4b535d");
    body.setAttribute("data-lit", led.lit);
  });
}

// ---- what is asked for again and again ----

let before = null;

async function showStatus() {
  const status = await ask({ do: "status" });
  powered = status.powered;
  $("power").textContent = powered ? "Power off" : "Power on";
  if (!status.powered) $("link").textContent = "no power";
  else $("link").textContent = status.held ? "in reset" : "running";
  $("link").className = status.powered && !status.held ? "pill good" : "pill off";
  $("time").textContent = (status.time_ns / 1e9).toFixed(1) + " s";
  const now = performance.now();
  if (before) {
    const rate = (status.instructions - before.instructions) / (now - before.now) / 1000;
    $("clock").textContent = `${status.cpu_hz / 1e6} MHz · ${rate.toFixed(1)} M instructions/s`;
  }
  before = { instructions: status.instructions, now };
  $("mac").textContent = status.mac;
  $("boot").textContent = { 1: "serial loader", 3: "runs from flash" }[status.boot] || "";
  // A divider of the clock hits them nearly.
  const usual = [9600, 19200, 38400, 57600, 74880, 115200, 230400, 460800, 921600];
  $("baud").textContent = (usual.find((baud) => Math.abs(baud - status.baud) < baud / 50) || status.baud) + " baud";
  if (document.activeElement !== $("adc")) {
    $("adc").value = status.adc;
    $("adc-value").textContent = status.adc;
  }
  $("flash-size").textContent = `${status.flash_size >> 20} MiB`;
  drawLamps(status.leds);
  showAir(status);
}

async function showPins() {
  const state = await ask({ do: "pins" });
  for (const pin of state.pins) {
    const drawn = pins.get(pin.pin);
    if (!drawn) continue;
    drawn.held = pin.held;
    const classes = ["pin", pin.high ? "high" : "low"];
    if (pin.output) classes.push("output");
    if (pin.held !== "open") classes.push("held" + pin.held);
    drawn.group.setAttribute("class", classes.join(" "));
    const by = { chip: "by the chip", outside: "held from outside", part: "by a part", button: "by the button", pull: "by its resistor" }[pin.by];
    drawn.title.textContent = `GPIO${pin.pin} ${pin.name}: ${pin.high ? "high" : "low"}, ${by}` +
      (pin.parts.length ? `; here: ${pin.parts.join(", ")}` : "");
  }
}

let airShown = "";

function showAir(status) {
  $("channel").textContent = status.channel ? `the board listens on channel ${status.channel}` : "";
  const text = JSON.stringify(status.aps);
  if (text === airShown) return;
  airShown = text;
  const air = $("air");
  air.textContent = "";
  if (!status.aps.length) make(air, "p", "empty", "No access point. Start the board with --ap ssid=home,psk=passphrase.");
  for (const ap of status.aps) {
    const card = make(air, "div", "ap");
    const head = make(card, "header");
    make(head, "b", "", ap.ssid);
    make(head, "span", "", `channel ${ap.channel} · ${ap.rssi} dBm · ${ap.bssid}`);
    make(head, "span", "grow");
    const toggle = make(head, "button", "quiet", ap.on ? "Switch off" : "Switch on");
    toggle.onclick = () => tell({ do: ap.on ? "ap.off" : "ap.on", ap: ap.bssid });
    const list = make(card, "ul");
    for (const station of ap.stations) {
      make(list, "li", station.joined ? "joined" : "", station.station + (station.joined ? " joined" : " is joining") + (station.asleep ? ", asleep" : ""));
    }
    if (!ap.stations.length) make(card, "p", "empty", ap.on ? "Nobody is here." : "It is off.");
  }
}

let partsShown = "";

async function showParts() {
  const parts = await ask({ do: "parts" });
  $("parts-card").hidden = parts.length === 0;
  const shape = parts.map((part) => part.name + part.kind).join();
  const box = $("parts");
  if (shape !== partsShown) {
    partsShown = shape;
    box.textContent = "";
    for (const part of parts) {
      const card = make(box, "div", "part");
      const head = make(card, "header");
      make(head, "b", "", part.name);
      make(head, "span", "", `${part.kind} at ${part.pins.map((pin) => "GPIO" + pin).join(", ")}`);
      if (part.kind === "ssd1306") {
        const canvas = make(card, "canvas");
        [canvas.width, canvas.height] = [128, part.state.screen.length];
      }
      for (const key of ["temperature", "humidity", "pressure"]) {
        if (!(key in part.state)) continue;
        const label = make(card, "label", "", key);
        const input = make(label, "input");
        Object.assign(input, { type: "number", step: "any" });
        input.dataset.key = key;
        input.onchange = () => tell({ do: "part", part: part.name, [key]: Number(input.value) });
      }
      if (part.kind === "button") {
        const press = make(card, "button", "", "Press");
        press.onpointerdown = () => tell({ do: "part", part: part.name, pressed: true });
        press.onpointerup = press.onpointerleave = () => tell({ do: "part", part: part.name, pressed: false });
      }
      make(card, "label").className = "facts";
    }
  }
  parts.forEach((part, at) => {
    const card = box.children[at];
    for (const input of card.querySelectorAll("input")) {
      if (input !== document.activeElement) input.value = part.state[input.dataset.key];
    }
    const canvas = card.querySelector("canvas");
    if (canvas) {
      const context = canvas.getContext("2d");
      const image = context.createImageData(canvas.width, canvas.height);
      part.state.screen.forEach((row, y) => {
        for (let x = 0; x < row.length; x++) {
          const lit = row[x] === "#";
          image.data.set(lit ? [150, 220, 255, 255] : [4, 8, 14, 255], (y * canvas.width + x) * 4);
        }
      });
      context.putImageData(image, 0, 0);
    }
    const shown = new Set(["screen", "temperature", "humidity", "pressure"]);
    const facts = Object.entries(part.state).filter(([key]) => !shown.has(key));
    const say = (value) => ({ true: "yes", false: "no", null: "–" })[value] ?? value;
    const text = facts.map(([key, value]) => `${key.replaceAll("_", " ")}: ${say(value)}`).join(" · ");
    card.querySelector(".facts").textContent = text;
  });
}

let map = { size: 0, sector: 4096, map: "" };
const COLUMNS = 64;

async function showFlash() {
  const fresh = await ask({ do: "flash" });
  if (fresh.map === map.map) return;
  map = fresh;
  const canvas = $("map");
  const colours = { ".": "#1d242d", b: "#388bfd", l: "#3fb950", p: "#e3b341" };
  const cell = canvas.width / COLUMNS;
  const rows = Math.ceil(map.map.length / COLUMNS);
  canvas.height = rows * 17;
  const height = canvas.height / rows;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  [...map.map].forEach((by, at) => {
    context.fillStyle = colours[by];
    context.fillRect((at % COLUMNS) * cell + 0.5, Math.floor(at / COLUMNS) * height + 0.5, cell - 1, height - 1);
  });
}

$("map").onmousemove = (event) => {
  const box = $("map").getBoundingClientRect();
  const rows = Math.ceil(map.map.length / COLUMNS);
  const column = Math.floor((event.clientX - box.left) / box.width * COLUMNS);
  const at = Math.floor((event.clientY - box.top) / box.height * rows) * COLUMNS + column;
  const by = { ".": "erased", b: "there before", l: "by the serial loader", p: "by the program" }[map.map[at]];
  $("map-at").textContent = by ? `0x${(at * map.sector).toString(16).padStart(6, "0")}: ${by}` : "";
};

// ---- what our own firmware publishes ----

const history = [];

function published(text) {
  let status;
  try {
    status = JSON.parse(text);
  } catch {
    return;
  }
  if (typeof status.heap_free !== "number") return;
  $("status-card").hidden = false;
  history.push(status);
  if (history.length > 600) history.shift();
  $("status-when").textContent = `${status.heap_free} bytes free, ${status.heap_min ?? "?"} at the least; ${history.length} published`;
  const list = $("status");
  list.textContent = "";
  for (const [name, value] of Object.entries(status)) {
    const row = make(list, "div");
    make(row, "dt", "", name);
    make(row, "dd", "", String(value));
  }
  const plot = $("plot");
  plot.textContent = "";
  const most = Math.max(...history.map((one) => one.heap_free)) * 1.1;
  const x = (at) => 8 + at / Math.max(history.length - 1, 1) * 624;
  const y = (value) => 160 - value / most * 150;
  for (let line = 1; line < 4; line++) {
    draw(plot, "line", { class: "grid", x1: 0, x2: 640, y1: 160 - line * 37.5, y2: 160 - line * 37.5 });
  }
  for (const [name, key] of [["heap", "heap_free"], ["low", "heap_min"]]) {
    let points = history.map((one, at) => `${x(at).toFixed(1)},${y(one[key] || 0).toFixed(1)}`);
    if (points.length === 1) points.push(`632,${y(history[0][key] || 0).toFixed(1)}`);
    draw(plot, "polyline", { class: name, points: points.join(" ") });
  }
}

const polls = [[showStatus, 300], [showPins, 150], [showParts, 250], [showFlash, 2000]];
drawBoard();
hold($("rst"), "rst");
hold($("flash"), "flash");
connect();
