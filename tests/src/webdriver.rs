//! A browser, driven through the W3C `WebDriver` protocol by chromedriver.

use std::{
    env,
    io::{Read as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{ports, process::Process, programs, rest::Rest, wait::until};

/// The key under which `WebDriver` tells an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long a browser may take to close.
const QUIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A running chromedriver.
#[derive(Debug)]
pub struct WebDriver {
    rest: Rest,
    address: String,
    browser: PathBuf,
    folder: TempDir,
    _process: Process,
}

impl WebDriver {
    /// Starts chromedriver; none where there is no browser.
    ///
    /// # Panics
    /// When there is no browser and `BROWSER_TESTS` is `required`.
    pub async fn start() -> Option<Self> {
        let browser = programs::find("CHROMIUM", "chromium");
        let driver = programs::find("CHROMEDRIVER", "chromedriver");
        let (Some(browser), Some(driver)) = (browser, driver) else {
            let is_required = env::var("BROWSER_TESTS").is_ok_and(|value| value == "required");
            assert!(!is_required, "there is no chromium or no chromedriver");
            eprintln!("skipped: there is no chromium or no chromedriver");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let arguments = [format!("--port={port}")];
        let environment = env::vars();
        let log = folder.path().join("chromedriver.log");
        let process = Process::start(&driver, arguments, environment, &log);
        let address = format!("127.0.0.1:{port}");
        let rest = Rest::new(&address);
        until("chromedriver is ready", async || {
            let answer = rest.try_get("/status").await?;
            (answer.body["value"]["ready"] == true).then_some(())
        })
        .await;
        Some(Self { rest, address, browser, folder, _process: process })
    }

    /// Opens a browser of its own, as if on another computer.
    pub async fn browser(&self) -> Browser {
        let profile = tempfile::tempdir_in(self.folder.path()).unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({"binary": self.browser, "args": arguments});
        let capabilities = json!({"alwaysMatch": {"goog:chromeOptions": options}});
        let answer = self.rest.post("/session", &json!({"capabilities": capabilities})).await;
        let id = answer.body["value"]["sessionId"].as_str().expect(&answer.text).to_owned();
        Browser { rest: self.rest.clone(), address: self.address.clone(), id, _profile: profile }
    }
}

/// A browser with one window. It is closed when this is dropped.
#[derive(Debug)]
pub struct Browser {
    rest: Rest,
    address: String,
    id: String,
    _profile: TempDir,
}

impl Browser {
    async fn command(&self, method: Method, path: &str, body: &Value) -> Result<Value, Value> {
        let path = format!("/session/{}{path}", self.id);
        let request = self.rest.request(method.clone(), &path);
        let request = if method == Method::POST { request.json(body) } else { request };
        let answer = self.rest.send(request).await;
        let value = answer.body["value"].clone();
        if answer.status == 200 { Ok(value) } else { Err(value) }
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.command(Method::POST, "/url", &json!({"url": url})).await.unwrap();
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.command(Method::POST, "/refresh", &json!({})).await.unwrap();
    }

    /// The element that a page marks with `data-testid`, or the widget with `part`, once it is there and shown.
    async fn element(&self, name: &str) -> String {
        let script = format!(
            "const chat = document.querySelector('goch-chat')?.shadowRoot;
            const found = [...document.querySelectorAll('[data-testid=\"{name}\"]'),
              ...(chat?.querySelectorAll('[part~=\"{name}\"]') ?? [])];
            return found.find((one) => one.checkVisibility()) ?? null"
        );
        until(&format!("{name} is shown"), async || {
            self.evaluate(&script).await[ELEMENT].as_str().map(ToOwned::to_owned)
        })
        .await
    }

    /// Types into an element; `\u{e007}` is the Enter key.
    pub async fn type_into(&self, name: &str, text: &str) {
        let path = format!("/element/{}/value", self.element(name).await);
        self.command(Method::POST, &path, &json!({"text": text})).await.unwrap();
    }

    /// Clicks an element.
    pub async fn click(&self, name: &str) {
        let path = format!("/element/{}/click", self.element(name).await);
        self.command(Method::POST, &path, &json!({})).await.unwrap();
    }

    /// Presses keys, one after the other, wherever the focus is; `\u{e004}` is Tab, `\u{e00c}` Escape. Of several that are
    /// given as one, the first ones are held: `\u{e008}\u{e004}` goes back.
    pub async fn press(&self, keys: &[&str]) {
        for chord in keys {
            let key = |kind: &str, key: char| json!({"type": kind, "value": key.to_string()});
            let down = chord.chars().map(|it| key("keyDown", it));
            let up = chord.chars().rev().map(|it| key("keyUp", it));
            let actions: Vec<Value> = down.chain(up).collect();
            let actions =
                json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
            self.command(Method::POST, "/actions", &actions).await.unwrap();
        }
    }

    /// Has the browser's own tools do something: a method of the Chrome `DevTools` protocol.
    pub async fn devtools(&self, method: &str, parameters: &Value) -> Value {
        let body = json!({"cmd": method, "params": parameters});
        self.command(Method::POST, "/goog/cdp/execute", &body).await.unwrap()
    }

    /// What a script returns.
    pub async fn evaluate(&self, script: &str) -> Value {
        let body = json!({"script": script, "args": []});
        self.command(Method::POST, "/execute/sync", &body).await.unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without a runtime, which may be on its way out.
        let quit = || -> std::io::Result<()> {
            let mut connection = std::net::TcpStream::connect(&self.address)?;
            write!(connection, "DELETE /session/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", self.id)?;
            connection.set_read_timeout(Some(QUIT_TIMEOUT))?;
            connection.read(&mut [0; 1]).map(drop)
        };
        if let Err(error) = quit() {
            eprintln!("a browser could not be closed: {error}");
        }
    }
}
