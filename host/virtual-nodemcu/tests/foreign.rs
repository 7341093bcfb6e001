//! Firmware that nobody here wrote, driven through its prompt and by the tools that go with it, and old
//! releases of esptool with their own stubs. `tools/foreign` fetches them; `make foreign-test` runs this.

#[path = "board/esptool.rs"]
mod esptool;
#[path = "board/process.rs"]
mod process;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{BaudRate, SetArg, cfmakeraw, cfsetspeed, tcgetattr, tcsetattr};
use process::Process;
use virtual_nodemcu::board::rom::image::set_flash_size;
use virtual_nodemcu::harness::VirtualBoard;

/// How long a prompt may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn folder() -> PathBuf {
    let path = std::env::var_os("FOREIGN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/foreign"),
        PathBuf::from,
    );
    assert!(path.exists(), "{} is missing: `make foreign-test` fetches it", path.display());
    path
}

fn image(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The radio's settings, which SDK programs want near the end of flash. MicroPython carries a copy
/// and the others do not.
fn radio_settings() -> Vec<u8> {
    let image = image("micropython-1.10.0.bin");
    let start = [5, 0, 4, 2, 5, 5, 5, 2, 5, 0, 4, 5];
    let at = image.windows(start.len()).position(|part| part == start).expect("settings");
    image[at..at + 128].to_vec()
}

/// Flash with an image and the radio's settings.
fn flash(name: &str, mib: usize) -> Vec<u8> {
    let mut contents = vec![0xFF; mib << 20];
    let mut image = image(name);
    set_flash_size(&mut image, mib << 20);
    contents[..image.len()].copy_from_slice(&image);
    let settings = radio_settings();
    let at = contents.len() - 0x4000;
    contents[at..at + settings.len()].copy_from_slice(&settings);
    contents
}

/// A board with a firmware, and somebody at its terminal.
struct Session {
    board: Process,
    port: File,
    seen: String,
    folder: tempfile::TempDir,
}

impl Session {
    fn new(name: &str, mib: usize, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flash = folder.path().join("flash.bin");
        std::fs::write(&flash, self::flash(name, mib)).unwrap();
        let link = folder.path().join("port");
        let size = mib.to_string();
        let mut all = vec!["--net", "none", "--flash-size", &size, "--pty", link.to_str().unwrap()];
        all.extend(options);
        let mut board = Process::new(&flash, &all);
        board.port();
        let port = File::options().read(true).write(true).open(&link).unwrap();
        let mut settings = tcgetattr(&port).unwrap();
        cfmakeraw(&mut settings);
        cfsetspeed(&mut settings, BaudRate::B115200).unwrap();
        tcsetattr(&port, SetArg::TCSANOW, &settings).unwrap();
        Self { board, port, seen: String::new(), folder }
    }

    /// Waits for `text` and forgets what came up to its end; what came before it.
    fn until(&mut self, text: &str) -> String {
        match self.within(PATIENCE, text) {
            Some(before) => before,
            None => panic!("no {text:?}: {:?}", self.seen),
        }
    }

    /// The same, if it comes within this time.
    fn within(&mut self, patience: Duration, text: &str) -> Option<String> {
        let start = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                let before = self.seen[..at].to_owned();
                self.seen.drain(..at + text.len());
                return Some(before);
            }
            if start.elapsed() >= patience {
                return None;
            }
            let mut ready = [PollFd::new(std::os::fd::AsFd::as_fd(&self.port), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(100u16)).unwrap() > 0 {
                let mut buffer = [0; 4096];
                let count = self.port.read(&mut buffer).unwrap();
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
    }

    /// Sends a line at once; the line hands it on byte by byte.
    fn line(&mut self, text: &str) {
        self.port.write_all(format!("{text}\r").as_bytes()).unwrap();
    }

    /// Types a line and waits for the next prompt; what was answered, without the echo.
    fn ask(&mut self, text: &str, prompt: &str) -> String {
        self.line(text);
        self.until(text);
        self.until(prompt).trim().to_owned()
    }

    /// The same at the prompt of NodeMCU Lua. Once enough was typed to tell the baud rate by, it sets
    /// it, for which the ROM's uart_div_modify clears both FIFOs: what is under way then is lost, as on
    /// the chip. Who typed it types it again.
    fn lua(&mut self, text: &str) -> String {
        let answer = (0..4).find_map(|_| {
            self.line(text);
            self.within(PATIENCE / 8, text)?;
            self.within(PATIENCE / 8, "\r\n>")
        });
        answer.unwrap_or_else(|| panic!("no answer to {text:?}: {:?}", self.seen)).trim().to_owned()
    }

    /// Waits until MicroPython is at its prompt.
    fn booted(&mut self) {
        self.until("MicroPython v1.10");
        self.until(">>> ");
    }

    /// The same at Python's prompt.
    fn python(&mut self, text: &str) -> String {
        self.ask(text, ">>> ")
    }
}

#[test]
fn micropython_computes_keeps_files_and_survives_resets() {
    let mut s = Session::new("micropython-1.10.0.bin", 4, &["--wake-wire"]);
    s.booted();
    assert_eq!(s.python("2**70 // 3, 2.5 * 3, -7 % 5"), "(393530540239137101141, 7.5, 3)");
    assert_eq!(s.python("'%08x %s' % (48879, 'text')"), "'0000beef text'");
    // More than any buffer of the program holds.
    assert_eq!(s.python(&format!("len('{}')", "paste".repeat(300))), "1500");
    // Files, over a soft reset's worth of closing and opening.
    s.python("f = open('note', 'w')");
    assert_eq!(s.python("f.write('kept\\n' * 300)"), "1500");
    s.python("f.close()");
    s.python("import os, machine");
    assert_eq!(s.python("os.listdir()"), "['boot.py', 'note']");
    assert_eq!(s.python("len(open('note').read())"), "1500");
    // A pin, seen from outside, and a timer.
    s.python("p = machine.Pin(2, machine.Pin.OUT)");
    s.python("p(0)");
    s.board.line("LED blue (GPIO2) on");
    s.python("p(1)");
    s.board.line("LED blue (GPIO2) off");
    s.python("n = []");
    s.python("t = machine.Timer(-1)");
    s.python("import time");
    s.python("go = lambda: t.init(period=50, callback=lambda t: n.append(1))");
    // One line, so that no typing counts.
    let ticks = s.python("go() or time.sleep_ms(1020) or t.deinit() or len(n)");
    let ticks: u32 = ticks.parse().unwrap();
    assert!((18..=22).contains(&ticks), "{ticks}");
    // RTC memory over resets by the program, deep sleep and the watchdog.
    assert_eq!(s.python("machine.reset_cause() == machine.PWRON_RESET"), "True");
    s.python("rtc = machine.RTC()");
    s.python("rtc.memory(b'survives')");
    s.line("machine.reset()");
    s.board.line("reset: asked for by the program");
    s.booted();
    s.python("import machine");
    assert_eq!(s.python("machine.RTC().memory()"), "b'survives'");
    s.python("rtc = machine.RTC()");
    s.python("rtc.irq(trigger=rtc.ALARM0, wake=machine.DEEPSLEEP)");
    s.python("rtc.alarm(rtc.ALARM0, 500)");
    s.line("machine.deepsleep()");
    s.board.line("reset: end of deep sleep");
    s.booted();
    s.python("import machine");
    assert_eq!(s.python("machine.reset_cause() == machine.DEEPSLEEP_RESET"), "True");
    assert_eq!(s.python("machine.RTC().memory()"), "b'survives'");
    assert_eq!(s.python("len(open('note').read())"), "1500");
    s.line("machine.disable_irq(); [0 for _ in iter(int, 1)]");
    s.board.line("reset: watchdog");
    s.booted();
    assert_eq!(s.python("1 + 1"), "2");
}

/// As the README has it: its image is made for a chip of any size, and its header names the smallest.
#[test]
fn micropython_is_flashed_as_the_readme_says() {
    let firmware = image("micropython-1.10.0.bin");
    let builder = || VirtualBoard::builder().unpaced();
    let mut board = builder().firmware(&firmware).build().unwrap();
    board.wait_for(">>> ", PATIENCE).unwrap();
    assert!(!board.console().contains("header"), "{}", board.console());
    // As it is, it resets itself again and again, and one line says why.
    let mut board = builder().image(0, &firmware).build().unwrap();
    board.wait_for("system param error", PATIENCE).unwrap();
    board.run(Duration::from_secs(1));
    let line = "the image's header says 512 KiB of flash, the chip has 4096: esptool write-flash \
                --flash-size detect\n";
    assert_eq!(board.console().matches(line).count(), 1, "{}", board.console());
    // By esptool, to a board and to a file.
    let work = tempfile::tempdir().unwrap();
    let [flash, merged, link] = ["flash.bin", "merged.bin", "port"].map(|it| work.path().join(it));
    let file = folder().join("micropython-1.10.0.bin");
    let link = link.to_str().unwrap();
    let mut board = Process::new(&flash, &["--net", "none", "--gpio0-low", "--pty", link]);
    board.port();
    let esptool = |options: &[&str], rest: &[&str]| {
        let mut command = Command::new(esptool::program());
        command.args(options).args(["--flash-size", rest[0]]).args(&rest[1..]).arg("0").arg(&file);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    };
    let to_board = ["--port", link, "--before", "no-reset", "--after", "no-reset", "write-flash"];
    esptool(&to_board, &["detect"]);
    drop(board);
    let to_file = ["--chip", "esp8266", "merge-bin"];
    esptool(&to_file, &["4MB", "--output", merged.to_str().unwrap()]);
    for made in [flash, merged] {
        let mut board = builder().flash_file(made).build().unwrap();
        board.wait_for(">>> ", PATIENCE).unwrap();
    }
}

/// Booted once; from then on each test starts at the prompt, with what the ones before it did undone.
#[test]
fn a_booted_micropython_is_saved_and_starts_at_its_prompt() {
    fn wait(board: &mut VirtualBoard, text: &str) {
        board.wait_for(text, PATIENCE).unwrap();
    }
    let contents = flash("micropython-1.10.0.bin", 4);
    let mut board = VirtualBoard::builder().unpaced().image(0, &contents).build().unwrap();
    wait(&mut board, ">>> ");
    board.machine.type_in(b"import machine; kept = [3 * n for n in range(9)]\r");
    wait(&mut board, ">>> ");
    let snapshot = board.save().unwrap();
    for n in 1..4 {
        let mut board = VirtualBoard::builder().unpaced().snapshot(&snapshot).build().unwrap();
        board.machine.type_in(format!("kept.append({n}); print(kept)\r").as_bytes());
        wait(&mut board, &format!("[0, 3, 6, 9, 12, 15, 18, 21, 24, {n}]"));
        wait(&mut board, ">>> ");
        // Timers and the watchdog go on too.
        board.machine.type_in(b"import time; time.sleep_ms(30); open('f', 'w').write('abc')\r");
        wait(&mut board, "\r\n3\r\n");
    }
}

/// What MicroPython brings drivers for, by those drivers: each knows its device better than we do.
#[test]
fn micropythons_drivers_find_the_parts() {
    let mut board = VirtualBoard::builder()
        .unpaced()
        .image(0, &flash("micropython-1.10.0.bin", 4))
        .part("ds18b20:D5,temperature=21.5,name=cold")
        .part("ds18b20:D5,temperature=-0.5,serial=0000000000a7,name=colder")
        .part("dht22:D6,temperature=-3.5,humidity=44")
        .part("bme280:D2+D1,temperature=25.08")
        .part("ssd1306:D2+D1")
        .part("servo:D7")
        .part("button:D3,name=key")
        .build()
        .unwrap();
    board.wait_for(">>> ", PATIENCE).unwrap();
    fn ask(board: &mut VirtualBoard, line: &str) -> String {
        board.machine.type_in(format!("{line}\r").as_bytes());
        board.wait_for(&format!("{line}\r\n"), PATIENCE).unwrap();
        board.wait_for(">>> ", PATIENCE).unwrap().trim_end_matches(">>> ").trim().to_owned()
    }
    let b = &mut board;
    ask(b, "import machine, time, onewire, ds18x20, dht, ssd1306");
    ask(b, "P = machine.Pin");
    ask(b, "d = ds18x20.DS18X20(onewire.OneWire(P(14)))");
    assert_eq!(ask(b, "r = d.scan(); len(r)"), "2");
    ask(b, "d.convert_temp() or time.sleep_ms(750)");
    assert_eq!(ask(b, "sorted([d.read_temp(x) for x in r])"), "[-0.5, 21.5]");
    ask(b, "h = dht.DHT22(P(12)); h.measure()");
    assert_eq!(ask(b, "h.temperature(), h.humidity()"), "(-3.5, 44.0)");
    ask(b, "i = machine.I2C(scl=P(5), sda=P(4))");
    assert_eq!(ask(b, "i.scan(), i.readfrom_mem(0x76, 0xD0, 1)"), "([60, 118], b'`')");
    ask(b, "s = ssd1306.SSD1306_I2C(128, 64, i)");
    ask(b, "s.fill(0); s.text('T', 0, 0); s.pixel(127, 63, 1); s.show()");
    let screen = b.part("ssd1306").unwrap();
    let row = |y: usize| screen["screen"][y].as_str().unwrap().to_owned();
    // MicroPython's font has the T in seven rows, its bar above.
    assert_eq!([&row(0)[..8], &row(3)[..8], &row(6)[..8]], [".######.", "...##...", "...##..."]);
    assert!(row(63).ends_with(".#"), "{}", row(63));
    // By FRC1, which interrupts at each edge of the pulses.
    ask(b, "w = machine.PWM(P(13), freq=50, duty=77)");
    ask(b, "time.sleep_ms(200)");
    let servo = b.part("servo").unwrap();
    let angle = servo["angle"].as_f64().unwrap();
    assert!(servo["held"] == true && (88.0..93.0).contains(&angle), "{servo}");
    ask(b, "k = P(0, P.IN); n = []");
    ask(b, "k.irq(trigger=P.IRQ_FALLING, handler=lambda p: n.append(p()))");
    b.set_part("key", "pressed", "on").unwrap();
    assert_eq!(ask(b, "time.sleep_ms(50) or (k(), len(n) > 0)"), "(0, True)");
    // This SDK's library stretches what it measures.
    b.set_adc(512);
    assert_eq!(ask(b, "machine.ADC(0).read()"), (512 * 279 / 256).to_string());
}

/// A page server on this host; what its client asked for comes out.
fn page_server() -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, requests) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\na page for who joined").unwrap();
        send.send(String::from_utf8(request).unwrap()).unwrap();
    });
    (port, requests)
}

/// Why it was reset lies in RTC memory and in a register beside it, where its libraries leave it.
#[test]
fn micropython_knows_why_it_was_reset() {
    let mut board = VirtualBoard::builder()
        .unpaced()
        .image(0, &flash("micropython-1.10.0.bin", 4))
        .build()
        .unwrap();
    board.wait_for(">>> ", PATIENCE).unwrap();
    let expect = |board: &mut VirtualBoard, cause: u32, after: &str| {
        let line = "import machine; print('cause', machine.reset_cause())\r";
        board.machine.type_in(line.as_bytes());
        let said = board.wait_for("\r\n>>> ", PATIENCE).unwrap();
        assert!(said.contains(&format!("\r\ncause {cause}")), "{after}: {said}");
    };
    let again = |board: &mut VirtualBoard| {
        board.wait_for("MicroPython v", PATIENCE).unwrap();
        board.wait_for(">>> ", PATIENCE).unwrap();
    };
    expect(&mut board, 0, "power on");
    board.machine.type_in(b"machine.reset()\r");
    again(&mut board);
    expect(&mut board, 4, "reset by the program");
    board.reset();
    again(&mut board);
    expect(&mut board, 6, "the button RST");
    // A wait that feeds nothing: the first stage bites, and the libraries reset.
    board.machine.type_in(b"machine.time_pulse_us(machine.Pin(4), 1, 20000000)\r");
    again(&mut board);
    expect(&mut board, 3, "the watchdog's first stage");
    // With interrupts off only the second stage acts, and nobody leaves a word.
    board.machine.type_in(b"machine.disable_irq()\r");
    board.wait_for_console("reset: watchdog", PATIENCE).unwrap();
    again(&mut board);
    expect(&mut board, 0, "the watchdog's second stage");
    board.power_cycle();
    again(&mut board);
    expect(&mut board, 0, "power off and on");
}

/// By the radio that its own libraries drive, WPA2 included.
#[test]
fn micropython_joins_an_access_point_and_fetches_a_page() {
    let (port, requests) = page_server();
    let mut board = VirtualBoard::builder()
        .image(0, &flash("micropython-1.10.0.bin", 4))
        .access_point("ssid=home,psk=correct horse")
        .build()
        .unwrap();
    let mut ask = |line: &str| {
        board.machine.type_in(format!("{line}\r").as_bytes());
        board.wait_for(line, PATIENCE).unwrap();
        board.wait_for(">>> ", PATIENCE).unwrap()
    };
    ask("");
    ask("import network, socket, time");
    ask("w = network.WLAN(network.STA_IF)");
    ask("w.active(True)");
    assert!(ask("[x[0] for x in w.scan()]").contains("b'home'"));
    ask("w.connect('home', 'correct horse')");
    let joined =
        ask("[time.sleep_ms(100) for n in range(300) if not w.isconnected()] and w.ifconfig()");
    assert!(joined.contains("10.0.2.15"), "{joined}");
    ask("s = socket.socket()");
    ask(&format!("s.connect(('10.0.2.2', {port}))"));
    ask("s.send(b'GET /it HTTP/1.0\\r\\n\\r\\n')");
    assert!(ask("s.read()").contains("a page for who joined"));
    assert!(requests.recv_timeout(PATIENCE).unwrap().starts_with("GET /it "));
    assert!(board.console().contains("joined by WPA2"), "{}", board.console());
}

#[test]
fn an_arduino_sketch_joins_an_access_point() {
    let mut board = VirtualBoard::builder()
        .image(0, &flash("esp-linker-esp8266.bin", 4))
        .access_point("ssid=home,psk=passphrase")
        .build()
        .unwrap();
    board.wait_for("ESP-Linker ready", PATIENCE).unwrap();
    board.send("WIFI_CONFIG:home,passphrase\r\n");
    board.wait_for("SUCCESS: WiFi connected!", PATIENCE).unwrap();
    assert!(board.console().contains("joined by WPA2"), "{}", board.console());
    assert_eq!(board.console().matches("reset:").count(), 1, "{}", board.console());
}

/// What stopped them before: the watchdog that their radio's timer feeds, and an assertion at the
/// end of a frame.
#[test]
fn programs_of_older_sdks_are_not_reset() {
    for (name, mib, words) in [
        ("punyforth-0.5.bin", 4, "(stack)"),
        ("nodemcu-1.5.4.1.bin", 4, "> "),
        ("esp8266basic-3.0alpha.bin", 4, "MAC:"),
        ("espruino-1v99.bin", 1, ">"),
    ] {
        let builder = VirtualBoard::builder().unpaced().flash_size(mib << 20);
        let mut board = builder.image(0, &flash(name, mib)).build().unwrap();
        board.wait_for(words, PATIENCE).unwrap();
        board.run(Duration::from_secs(12));
        let resets = board.console().matches("reset: watchdog").count();
        assert_eq!(resets, 0, "{name}: {}", board.serial());
    }
}

#[test]
fn older_micropythons_and_circuitpythons_reach_their_prompt() {
    for name in [
        "micropython-1.9.4.bin",
        "micropython-1.9.3.bin",
        "micropython+blinka-0.0.0.bin",
        "circuitpython-2.3.1.bin",
        "circuitpython-3.0.0-beta.1.bin",
    ] {
        let mut s = Session::new(name, 4, &[]);
        if name.starts_with("circuit") {
            s.until("boot.py output:");
            s.line("");
            s.until("Press any key to enter the REPL");
            s.line("");
            s.until("Adafruit CircuitPython");
        }
        s.until(">>> ");
        assert_eq!(s.python("3 * 1.5, 7 ** 30"), "(4.5, 22539340290692258087863249)", "{name}");
    }
}

#[test]
fn nodemcu_lua_computes_and_keeps_files() {
    let mut s = Session::new("nodemcu-1.5.4.1.bin", 4, &[]);
    s.until("lua: cannot open init.lua");
    s.until("> ");
    assert_eq!(s.lua("=7/2, math.sqrt(2)"), "3.5\t1.4142135623731");
    s.lua("file.open('a','w') file.write('kept') file.close()");
    assert_eq!(s.lua("file.open('a') print(file.read()) file.close()"), "kept");
    s.lua("n=0 tmr.alarm(0,20,1,function() n=n+1 if n==20 then print('twenty') end end)");
    s.until("twenty");
    s.lua("gpio.mode(4,gpio.OUTPUT) gpio.write(4,0)");
    s.board.line("LED blue (GPIO2) on");
}

#[test]
fn espruino_computes_and_counts() {
    let mut s = Session::new("espruino-1v99.bin", 1, &[]);
    s.until("http://espruino.com/Donate");
    s.until(">");
    s.line("1+2*3.5");
    s.until("=8");
    s.line("var n=0;var i=setInterval(function(){if(++n==9){console.log('nine');clearInterval(i)}},30)");
    s.until("nine");
}

#[test]
fn an_arduino_sketch_starts_its_access_point() {
    let mut s = Session::new("esp-linker-esp8266.bin", 4, &[]);
    s.until("HTTP server started on port 80");
    s.until("ESP-Linker ready");
}

/// A program in Python that somebody else wrote, from among the packages.
fn tool(program: &[&str], work: &Path) -> Command {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/esptool/bin/python");
    let mut command = Command::new(python);
    let folders = [folder(), folder().join("esptool-2.8")];
    command
        .args(program)
        .env("PYTHONPATH", std::env::join_paths(folders).unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .env("HOME", work)
        .current_dir(work);
    command
}

/// Runs it to its end; what it said, errors behind it.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).replace('\r', "");
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn mpremote_and_ampy_reach_micropython() {
    let mut s = Session::new("micropython-1.10.0.bin", 4, &[]);
    s.until(">>> ");
    let work = s.folder.path().to_owned();
    let Session { board: _board, port, folder: _folder, .. } = s;
    // One at a time has the port.
    drop(port);
    std::fs::write(work.join("here.py"), "kept = 6 * 7\n".repeat(100)).unwrap();
    std::fs::write(work.join("run.py"), "import there\nprint('there', there.kept)\n").unwrap();
    let ampy = |rest: &[&str]| said(tool(&["-m", "ampy.cli", "--port", "port"], &work).args(rest));
    let mut mpremote = tool(&["-m", "mpremote", "connect", "port"], &work);
    let told = said(mpremote.args("eval 2**70 + fs cp here.py :there.py + fs ls".split(' ')));
    assert!(told.contains("1180591620717411303424") && told.contains("1300 there.py"), "{told}");
    assert_eq!(ampy(&["run", "run.py"]), "there 42\n");
    ampy(&["put", "run.py", "new.py"]);
    assert_eq!(ampy(&["ls"]), "/boot.py\n/new.py\n/there.py\n");
    ampy(&["get", "there.py", "back.py"]);
    let read = |name: &str| std::fs::read(work.join(name)).unwrap();
    assert!(read("back.py") == read("here.py"));
}

/// It knows no port by its URL, and a pseudo-terminal has no RTS, which it sets.
#[test]
fn nodemcu_uploader_reaches_lua() {
    const PROGRAM: &str = "import serial; serial.Serial = serial.serial_for_url; \
                           from nodemcu_uploader.main import main_func; main_func()";
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    std::fs::write(work.join("flash.bin"), flash("nodemcu-1.5.4.1.bin", 4)).unwrap();
    let mut board = Process::new(&work.join("flash.bin"), &["--net", "none"]);
    let port = board.port();
    std::fs::write(work.join("here.lua"), "print('from a file', 6 * 7)\n".repeat(30)).unwrap();
    let uploader =
        |rest: &str| said(tool(&["-c", PROGRAM, "--port", &port], work).args(rest.split(' ')));
    uploader("upload here.lua:there.lua");
    let told = uploader("file do there.lua");
    assert!(told.contains("from a file\t42"), "{told}");
    uploader("download there.lua:back.lua");
    let read = |name: &str| std::fs::read(work.join(name)).unwrap();
    assert!(read("back.lua") == read("here.lua"));
}

/// ESPHome's and Tasmota's.
#[test]
fn flashers_flash_and_show_the_log() {
    for (program, options) in [("esphomeflasher", &["--esp8266"][..]), ("esp_flasher", &[])] {
        let tries = (1..=5).find(|_| flashed_by(program, options));
        assert!(tries.is_some(), "{program}: the board never answered in time");
    }
}

/// Whether this program flashed a board and then showed the sketch's log; if not, it did not wait.
fn flashed_by(program: &str, options: &[&str]) -> bool {
    let work = tempfile::tempdir().unwrap();
    let work = work.path();
    let mut board = Process::new(&work.join("flash.bin"), &["--net", "none"]);
    let port = board.port();
    let mut flasher = tool(&["-m", program, "--port", &port], work)
        .args(options)
        .arg(folder().join("esp-linker-esp8266.bin"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let mut log = String::new();
    let mut buffer = [0; 4096];
    let mut output = flasher.stdout.take().unwrap();
    while !log.contains("ESP-Linker ready") {
        assert!(start.elapsed() < PATIENCE, "{log}");
        let count = output.read(&mut buffer).unwrap();
        if count == 0 {
            flasher.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            assert!(did_not_wait(&log), "{log}");
            flasher.wait().unwrap();
            return false;
        }
        log.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    flasher.kill().unwrap();
    flasher.wait().unwrap();
    assert!(log.contains("Hash of data verified"), "{log}");
    true
}

#[test]
fn old_esptools_flash_with_their_stubs() {
    for version in ["2.8", "3.3.3", "4.8.1"] {
        let tries = (1..=5).find(|_| flashed_by_old_esptool(version));
        assert!(tries.is_some(), "{version}: the board never answered in time");
    }
}

/// Whether an old esptool ended because no answer came in time: it gives the answer to the command that
/// starts its stub 50 ms (4.8: 200 ms), and a block of data three seconds, for which the board's process
/// may not run enough on a busy machine. Everything else that fails is a fault.
fn did_not_wait(said: &str) -> bool {
    ["StopIteration", "There was no response", "stopped responding"]
        .iter()
        .any(|it| said.contains(it))
}

/// Whether this release of esptool flashed a board; if not, it did not wait.
fn flashed_by_old_esptool(version: &str) -> bool {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/esptool/bin/python");
    let work = tempfile::tempdir().unwrap();
    let (flash, link) = (work.path().join("flash.bin"), work.path().join("port"));
    let options = ["--net", "none", "--gpio0-low", "--pty", link.to_str().unwrap()];
    let mut board = Process::new(&flash, &options);
    board.port();
    let bytes: Vec<u8> = (0..40_000u32).map(|n| (n * n / 128) as u8).collect();
    let file = work.path().join("data");
    std::fs::write(&file, &bytes).unwrap();
    let output = Command::new(&python)
        .arg(folder().join(format!("esptool-{version}/esptool.py")))
        .args(["--chip", "esp8266", "--before", "no_reset", "--after", "no_reset", "--port"])
        .arg(&link)
        .args(["write_flash", "0x20000"])
        .arg(&file)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let all = said.clone() + String::from_utf8_lossy(&output.stderr);
    if did_not_wait(&all) {
        return false;
    }
    assert!(output.status.success(), "{version}: {said}");
    assert!(
        said.contains("Stub running...") && said.contains("Hash of data verified"),
        "{version}: {said}"
    );
    let written = std::fs::read(&flash).unwrap();
    assert_eq!(written[0x20000..0x20000 + bytes.len()], bytes, "{version}");
    true
}
