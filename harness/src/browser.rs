//! A browser without a window, for pages that must be seen to work.
//!
//! It is Chromium, driven by the protocol of its developer tools over a pair of pipes
//! (`--remote-debugging-pipe`): requests, answers and events are JSON texts that end with NUL. So no
//! library and no web socket is needed. Mouse, keyboard and dropped files are real input, which goes the
//! whole way that a person's would.
//!
//! Every wait is for an answer or an event, with a fail-safe that is reached only when something is
//! wrong; then the test panics. The browser and all its processes end when it is dropped.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The fail-safe of every wait: a cold start of a browser on a busy machine takes seconds.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A running browser.
pub struct Browser {
    child: Child,
    orders: RefCell<ChildStdin>,
    messages: Receiver<Value>,
    /// Events that nobody has asked for yet, in order.
    events: RefCell<VecDeque<Value>>,
    last_id: Cell<u64>,
    home: TempDir,
}

impl Browser {
    /// Starts a browser, or gives the reason why there is none.
    pub fn start() -> Result<Browser, String> {
        let program = ["chromium", "chromium-browser", "google-chrome", "chrome"]
            .into_iter()
            .find_map(in_path)
            .ok_or("no Chromium is installed")?;
        let home = tempfile::Builder::new().prefix("browser-").tempdir().expect("a folder");
        let mut command = Command::new("sh");
        // The browser speaks on descriptors 3 and 4. A shell puts them there, where Rust would need unsafe code.
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"]);
        command.arg(program).args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--disable-gpu",
            "--disable-sync",
            "--hide-scrollbars",
            // Names under .test lead to this machine, as an attacker's may.
            "--host-resolver-rules=MAP *.test 127.0.0.1",
            "--no-proxy-server",
            "--password-store=basic",
        ]);
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        command.arg(format!("--user-data-dir={}", home.path().join("profile").display()));
        command.arg("about:blank");
        command.env("HOME", home.path()).env("TZ", "UTC").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| format!("no browser starts: {error}"))?;
        let orders = RefCell::new(child.stdin.take().expect("piped"));
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, messages) = channel();
        // Ends with the pipe, which ends with the browser.
        thread::spawn(move || {
            for message in answers.split(0) {
                let parsed = message.ok().and_then(|text| serde_json::from_slice(&text).ok());
                if parsed.is_none_or(|message| sender.send(message).is_err()) {
                    return;
                }
            }
        });
        let (events, last_id) = (RefCell::default(), Cell::new(0));
        let browser = Browser { child, orders, messages, events, last_id, home };
        browser.call("", "Browser.getVersion", json!({}));
        Ok(browser)
    }

    /// A new page, and what is to be known of it from its first request on.
    #[track_caller]
    pub fn page(&self) -> Page<'_> {
        let made = self.call("", "Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": made["targetId"], "flatten": true});
        let attached = self.call("", "Target.attachToTarget", attach);
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let page = Page { browser: self, session };
        for domain in ["Page", "Runtime", "Log", "Network", "Accessibility", "DOM"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page
    }

    /// A folder for files of this browser, such as what it saves.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Lets every page save files into `folder`, and tells of each by an event.
    #[track_caller]
    pub fn save_into(&self, folder: &Path) {
        let allow = json!({"behavior": "allow", "downloadPath": folder, "eventsEnabled": true});
        self.call("", "Browser.setDownloadBehavior", allow);
    }

    /// Sends an order and waits for its answer; events that come first are kept.
    #[track_caller]
    fn call(&self, session: &str, method: &str, params: Value) -> Value {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let mut order = json!({"id": id, "method": method, "params": params});
        if !session.is_empty() {
            order["sessionId"] = session.into();
        }
        let sent = self.orders.borrow_mut().write_all(format!("{order}\0").as_bytes());
        sent.unwrap_or_else(|error| panic!("{method}: the browser is gone: {error}"));
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let mut message = self.message(deadline, method);
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.borrow_mut().push_back(message);
        }
    }

    #[track_caller]
    fn message(&self, deadline: Instant, what: &str) -> Value {
        match self.messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("{what}: nothing within {TIMEOUT:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("{what}: the browser has ended"),
        }
    }

    /// Takes the first event of this name that is as `wanted`, and waits for it if need be.
    #[track_caller]
    pub fn event(&self, method: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let fits = |event: &Value| event["method"] == method && wanted(&event["params"]);
        let kept = self.events.borrow().iter().position(fits);
        if let Some(at) = kept {
            let event = self.events.borrow_mut().remove(at);
            return event.expect("it was just there")["params"].take();
        }
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let mut message = self.message(deadline, method);
            if fits(&message) {
                return message["params"].take();
            }
            self.events.borrow_mut().push_back(message);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It is not reaped before this point, so the group's id is still its own.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A page of a browser.
pub struct Page<'b> {
    browser: &'b Browser,
    session: String,
}

impl Page<'_> {
    /// Gives an order of the protocol to this page.
    #[track_caller]
    pub fn call(&self, method: &str, params: Value) -> Value {
        self.browser.call(&self.session, method, params)
    }

    /// Waits for an event of this page.
    #[track_caller]
    pub fn event(&self, method: &str) -> Value {
        self.browser.event(method, |_| true)
    }

    /// Opens an address and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.forget("Page.loadEventFired");
        let outcome = self.call("Page.navigate", json!({"url": url}));
        assert!(outcome["errorText"].is_null(), "{url}: {}", outcome["errorText"]);
        self.event("Page.loadEventFired");
    }

    /// Does what leads to another document, and waits until that is loaded.
    #[track_caller]
    pub fn follow(&self, act: impl FnOnce(&Self)) {
        self.forget("Page.loadEventFired");
        act(self);
        self.event("Page.loadEventFired");
    }

    fn forget(&self, method: &str) {
        let is_other =
            |event: &Value| event["method"] != method || event["sessionId"] != self.session;
        self.browser.events.borrow_mut().retain(is_other);
    }

    /// The value of an expression, or of the promise that it gives.
    #[track_caller]
    pub fn eval(&self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let mut outcome = self.call("Runtime.evaluate", params);
        let trouble = &outcome["exceptionDetails"];
        assert!(trouble.is_null(), "{expression}: {trouble}");
        outcome["result"]["value"].take()
    }

    /// The text that an expression gives.
    #[track_caller]
    pub fn text(&self, expression: &str) -> String {
        let value = self.eval(expression);
        value.as_str().unwrap_or_else(|| panic!("no text: {expression} gives {value}")).to_owned()
    }

    /// Waits until a condition on the document holds: it is looked at again whenever anything changes.
    #[track_caller]
    pub fn until(&self, condition: &str) {
        let outcome = self.eval(&format!(
            "new Promise((done) => {{
                const look = () => {{ if ({condition}) {{ watch.disconnect(); clearTimeout(end); done(true); }} }};
                const watch = new MutationObserver(look);
                const all = {{ subtree: true, childList: true, attributes: true, characterData: true }};
                const end = setTimeout(() => done(document.body.innerText), {});
                watch.observe(document, all);
                look();
            }})",
            TIMEOUT.as_millis() / 2
        ));
        assert_eq!(outcome, true, "never came true: {condition}");
    }

    /// The middle of an element, by its selector.
    #[track_caller]
    fn place(&self, selector: &str) -> (f64, f64) {
        let place = self.eval(&format!(
            "(() => {{ const element = document.querySelector({}); element.scrollIntoView({{block: 'center'}});
               const box = element.getBoundingClientRect();
               return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
        ));
        let number = |at: usize| place[at].as_f64().expect("a place");
        (number(0), number(1))
    }

    /// Clicks on an element with the mouse.
    #[track_caller]
    pub fn click(&self, selector: &str) {
        let (x, y) = self.place(selector);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let params = json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", params);
        }
    }

    /// Presses and releases a key, such as `Tab` or `Enter`.
    #[track_caller]
    pub fn press(&self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            " " => 32,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let params = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Chooses files in an input, as its dialogue would.
    #[track_caller]
    pub fn choose(&self, selector: &str, files: &[&Path]) {
        let document = self.call("DOM.getDocument", json!({}));
        let query = json!({"nodeId": document["root"]["nodeId"], "selector": selector});
        let node = self.call("DOM.querySelector", query);
        self.call("DOM.setFileInputFiles", json!({"nodeId": node["nodeId"], "files": files}));
    }

    /// Drags files over the middle of an element; with `drop`, lets go of them there.
    #[track_caller]
    pub fn drag(&self, selector: &str, files: &[&Path], drop: bool) {
        let (x, y) = self.place(selector);
        let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
        let kinds = ["dragEnter", "dragOver", if drop { "drop" } else { "dragCancel" }];
        for kind in kinds {
            let params = json!({"type": kind, "x": x, "y": y, "data": data});
            self.call("Input.dispatchDragEvent", params);
        }
    }

    /// What a screen reader is told: role and name of everything that is not ignored.
    #[track_caller]
    pub fn accessibility_tree(&self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().expect("nodes");
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let shown = nodes.iter().filter(|node| node["ignored"] != true);
        shown.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
    }

    /// Sets the width and height of the window in pixels of the page, and the colours that the user prefers: `light`,
    /// `dark`, or `forced` for those of the system alone. A narrow one is a telephone's, which has no mouse.
    #[track_caller]
    pub fn emulate(&self, width: u32, height: u32, colours: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size);
        self.call("Emulation.setTouchEmulationEnabled", json!({"enabled": width < 600}));
        let features = match colours {
            "forced" => json!([{"name": "forced-colors", "value": "active"}]),
            scheme => json!([{"name": "prefers-color-scheme", "value": scheme}]),
        };
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Whether scripts of the page run; from the next document on.
    #[track_caller]
    pub fn run_scripts(&self, run: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({"value": !run}));
    }

    /// Writes a picture of the page as PNG.
    #[track_caller]
    pub fn picture(&self, path: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let bytes = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The addresses that this page has asked for since it was last asked, in order.
    #[track_caller]
    pub fn requests(&self) -> Vec<String> {
        let events = self.take(&["Network.requestWillBeSent"]);
        let url = |event: &Value| event["request"]["url"].as_str().unwrap_or_default().to_owned();
        events.iter().map(url).collect()
    }

    /// What the console has complained of since it was last asked: exceptions, errors, violations of a policy.
    #[track_caller]
    pub fn console_errors(&self) -> Vec<String> {
        let events =
            self.take(&["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"]);
        let is_quiet = |event: &&Value| {
            let level = event["entry"]["level"].as_str().or(event["type"].as_str());
            matches!(level, Some("verbose" | "info" | "log" | "debug"))
        };
        events.iter().filter(|event| !is_quiet(event)).map(Value::to_string).collect()
    }

    /// Takes all events of these names that have come.
    #[track_caller]
    fn take(&self, methods: &[&str]) -> Vec<Value> {
        self.call("Runtime.evaluate", json!({"expression": "0"})); // what came before the answer is here now
        let mut events = self.browser.events.borrow_mut();
        let is_wanted = |event: &Value| {
            event["sessionId"] == *self.session
                && methods.iter().any(|name| event["method"] == *name)
        };
        let (taken, kept): (VecDeque<_>, VecDeque<_>) = events.drain(..).partition(is_wanted);
        *events = kept;
        taken.into_iter().map(|mut event| event["params"].take()).collect()
    }
}

/// The whole path of a program.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&path).map(|folder| folder.join(OsStr::new(name)));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_found() {
        assert!(in_path("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(in_path("no such program"), None);
    }
}
