"""A virtual NodeMCU in a Python test: starts the program and talks to its control socket.

Needs Python 3.9 and nothing else. CONTROL.md, beside this folder, lists the requests.
"""

import codecs
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time


class BoardError(Exception):
    """What the board says is wrong with a request, or that it is gone."""


class Board:
    """A board with its own process; a context manager, or close() it.

    flash: the file with the contents of the flash chip. options: further ones for the program, as
    "--part", "dht22:D5". program: otherwise what VIRTUAL_NODEMCU names, or virtual-nodemcu in PATH.
    serial is all that the board said, as UTF-8; U+FFFD is what is none.
    """

    def __init__(self, flash, *options, program=None):
        program = program or os.environ.get("VIRTUAL_NODEMCU") or "virtual-nodemcu"
        self._folder = tempfile.mkdtemp(prefix="virtual-nodemcu-")
        path = os.path.join(self._folder, "control")
        log = open(os.path.join(self._folder, "console"), "wb")
        self._process = subprocess.Popen(
            [program, "--flash", str(flash), "--control", path, *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        log.close()
        self._socket = None
        try:
            self._socket = self._connect(path)
            self._lines = self._socket.makefile("r", encoding="utf-8")
            self._id = 0
            self._unread = ""
            self.serial = ""
            self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
            self.events = []
            hello = json.loads(self._lines.readline())
            if hello.get("protocol") != 1:
                raise BoardError(f"it speaks another protocol: {hello}")
            self.ask("listen", serial=True)
            # What was said before this client came.
            recent = self.ask("recent")["serial"]
            self._decoder.reset()
            self._unread = self.serial = self._text(recent)
            self.events.clear()
        except BaseException:
            self.close()
            raise

    def _connect(self, path, patience=60):
        end = time.monotonic() + patience
        while True:
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.settimeout(patience)
            try:
                client.connect(path)
                return client
            except OSError:
                client.close()
                if self._process.poll() is not None or time.monotonic() > end:
                    with open(os.path.join(self._folder, "console"), encoding="utf-8") as log:
                        raise BoardError(f"the board did not start: {log.read()}") from None
                time.sleep(0.02)

    def ask(self, do, **request):
        """Sends a request and returns what the board answers; raises BoardError."""
        self._id += 1
        line = json.dumps({"do": do, "id": self._id, **request}) + "\n"
        self._socket.sendall(line.encode())
        while True:
            message = self._message()
            if message.get("id") == self._id:
                if "error" in message:
                    raise BoardError(message["error"])
                return message["ok"]

    def _message(self):
        line = self._lines.readline()
        if not line:
            raise BoardError("the board is gone")
        message = json.loads(line)
        if message.get("event") == "serial":
            text = self._text(message["data"])
            self.serial += text
            self._unread += text
        elif "event" in message:
            self.events.append(message)
        return message

    def _text(self, data):
        # The socket has bytes as characters; a text's come in pieces.
        return self._decoder.decode(data.encode("latin-1"))

    def wait_for(self, text, patience=60):
        """Waits until the serial port has said text, after what was waited for before; what came."""
        end = time.monotonic() + patience
        while text not in self._unread:
            left = end - time.monotonic()
            if left <= 0:
                raise BoardError(f"no {text!r} in {patience} s; it said {self._unread!r}")
            # An answer comes at once: a board that says nothing is asked again and again.
            self.ask("adc")
            time.sleep(min(left, 0.02))
        came, self._unread = self._unread.split(text, 1)
        return came + text

    def type(self, text):
        """Types into the serial port."""
        self.ask("serial", text=text.encode().decode("latin-1"))

    def pin(self, pin, **how):
        """The state of a pin; level="low", "high" or "open" and pull="up", "down" or "none" change it."""
        return self.ask("pin", pin=pin, **how)

    def part(self, name, **settings):
        """The state of a part, after changing settings."""
        return self.ask("part", part=name, **settings)

    def led(self, name="blue"):
        """Whether an LED of the board is lit."""
        leds = {led["name"]: led["lit"] for led in self.ask("status")["leds"]}
        return leds[name]

    def reset(self):
        """The button RST."""
        self.ask("reset")

    def close(self):
        """Switches the board off."""
        if self._socket:
            self._socket.close()
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
