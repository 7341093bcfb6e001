//! A headless Chromium, driven by its DevTools protocol.

// Each test program uses its own part.
#![allow(dead_code)]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// How long something may take on a busy machine before it counts as not happening.
const PATIENCE: Duration = Duration::from_secs(120);

/// The browser with one page; killed when dropped.
pub struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
    socket: WebSocket<TcpStream>,
    session: String,
    next: u64,
    /// What the page's console and the browser complained about.
    pub complaints: Vec<String>,
}

/// Chromium, or Chrome.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.exists())
        .expect("no Chromium: `make page-test` installs it (Debian: apt-get install chromium)")
}

impl Browser {
    /// Opens `url`.
    pub fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new(program())
            .args(["--headless=new", "--remote-debugging-port=0", "--no-first-run"])
            .args(["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"])
            // Whoever is root, as in a container, has no sandbox; the page is our own.
            .args(["--no-sandbox", "--window-size=1500,1150"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("DevTools listening on ")?.to_owned()))
            .expect("Chromium says where it listens");
        // Read to its end, so that it never waits for a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let host = address.split('/').nth(2).unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(&address, stream).unwrap();
        let mut browser = Self {
            child,
            _profile: profile,
            socket,
            session: String::new(),
            next: 1,
            complaints: Vec::new(),
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        browser.call("Runtime.enable", json!({}));
        browser.call("Log.enable", json!({}));
        browser.call("Page.enable", json!({}));
        browser.call("Page.navigate", json!({ "url": url }));
        browser
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let mut request = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            request["sessionId"] = self.session.as_str().into();
        }
        self.socket.send(Message::text(request.to_string())).unwrap();
        loop {
            let message = self.socket.read().unwrap_or_else(|error| panic!("{method}: {error}"));
            let Message::Text(text) = message else { continue };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => self.complaints.push(message.to_string()),
                Some("Log.entryAdded") if message["params"]["entry"]["level"] == "error" => {
                    self.complaints.push(message["params"]["entry"].to_string());
                }
                _ => {}
            }
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    /// What comes of a JavaScript expression.
    fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.call("Runtime.evaluate", parameters)
    }

    /// The value of a JavaScript expression.
    pub fn value(&mut self, expression: &str) -> Value {
        let mut result = self.evaluate(expression);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until an expression is true; one that fails is not, as of a page that is still blank.
    pub fn until(&mut self, expression: &str) {
        let start = Instant::now();
        while self.evaluate(expression)["result"]["value"] != true {
            if start.elapsed() > PATIENCE {
                let page = self.value("document.body.innerText");
                panic!("never: {expression}\n{page}\n{:#?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn mouse(&mut self, selector: &str, kind: &str) {
        let at = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: \
             'center' }}); const box = e.getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let at = self.value(&at);
        let event = json!({
            "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1,
        });
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Presses the mouse's button on an element, without letting it go.
    pub fn press(&mut self, selector: &str) {
        self.mouse(selector, "mousePressed");
    }

    /// Lets the mouse's button go.
    pub fn release(&mut self, selector: &str) {
        self.mouse(selector, "mouseReleased");
    }

    /// Clicks an element.
    pub fn click(&mut self, selector: &str) {
        self.press(selector);
        self.release(selector);
    }

    /// Types into what has the focus; `\n` is the key Enter.
    pub fn type_in(&mut self, text: &str) {
        for c in text.chars() {
            let event = match c {
                '\n' => json!({
                    "type": "keyDown", "key": "Enter", "code": "Enter", "text": "\r",
                    "windowsVirtualKeyCode": 13,
                }),
                c => json!({ "type": "keyDown", "key": c.to_string(), "text": c.to_string() }),
            };
            self.call("Input.dispatchKeyEvent", event);
            self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": c.to_string() }));
        }
    }

    /// Writes a picture of the page to the folder that PAGE_PICTURES names, if it names one.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("PAGE_PICTURES") else { return };
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.call("Page.captureScreenshot", parameters);
        let text = shot["data"].as_str().unwrap();
        let bytes = data_encoding::BASE64.decode(text.as_bytes()).unwrap();
        std::fs::write(PathBuf::from(folder).join(name), bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
