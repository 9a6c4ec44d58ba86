//! What a browser shows in the widget's shadow root.

use serde_json::{Value, json};

use crate::{member::Member, wait::until, webdriver::Browser};

impl Browser {
    /// Makes an empty page of what is at this address, and puts the widget there, for a member who has a secret.
    /// `window.told` is what its listeners are told.
    pub async fn place_widget(&self, address: &str, member: &Member, attributes: &Value) {
        self.open(&format!("http://{address}/")).await;
        let script = format!(
            "document.title = 'Shop';
            const shop = document.createElement('main');
            shop.innerHTML = '<h1>Shop</h1><button>Buy</button>';
            document.body.replaceChildren(shop);
            await import('/widget.js');
            const placed = document.createElement('goch-chat');
            placed.setAttribute('channel', {channel});
            for (const [name, value] of Object.entries({attributes})) placed.setAttribute(name, value);
            placed.member = {{ uid: {uid}, secret: {secret} }};
            window.told = [];
            for (const type of ['opened', 'closed', 'unread', 'ended', 'reopened', 'error']) {{
              placed.addEventListener(type, ({{ detail }}) => {{
                told.push([type, detail?.count ?? detail?.error?.code ?? null]);
              }});
            }}
            document.body.append(placed);",
            channel = json!(member.channel),
            uid = json!(member.uid),
            secret = json!(member.secret),
        );
        self.widget(&script).await;
    }

    /// The same, with the conversation open, online, and its first page there.
    pub async fn open_widget(&self, address: &str, member: &Member, attributes: &Value) {
        self.place_widget(address, member, attributes).await;
        self.click("launcher").await;
        self.is_in_state("online").await;
        let is_loaded = "const [older] = all('older'); return older.hidden || !older.disabled";
        self.widget_is(is_loaded, true).await;
    }

    /// Makes the window as large as this, in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await;
    }

    /// What a script returns that has the element as `chat`, its shadow root as `root`, and all elements of a part by
    /// `all(part)`. It may wait.
    pub async fn widget(&self, script: &str) -> Value {
        self.evaluate(&format!(
            "return (async () => {{
              const chat = document.querySelector('goch-chat');
              const root = chat?.shadowRoot;
              const all = (part) => [...(root?.querySelectorAll(`[part~=\"${{part}}\"]`) ?? [])];
              const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
              {script}
            }})()"
        ))
        .await
    }

    /// Waits until a script of [`Self::widget`] returns this.
    pub async fn widget_is(&self, script: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        let mut last = Value::Null;
        until(&format!("{script} is {expected}"), async || {
            let found = self.widget(script).await;
            if found != last {
                eprintln!("the widget: {found}");
                last.clone_from(&found);
            }
            (found == expected).then_some(())
        })
        .await;
    }

    /// The texts of the messages that are in the log, in their order.
    pub async fn texts(&self) -> Vec<String> {
        let script = "return all('text').filter((node) => Number.isFinite(Number(node.closest('.row').dataset.seq)))
            .map((node) => node.textContent)";
        let texts = self.widget(script).await;
        texts
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|text| text.as_str().map(Into::into))
            .collect()
    }

    /// Waits until these are the messages.
    pub async fn shows(&self, expected: &[&str]) {
        until(&format!("the widget shows {expected:?}"), async || {
            (self.texts().await == expected).then_some(())
        })
        .await;
    }

    /// Waits until the widget's connection is in this state.
    pub async fn is_in_state(&self, state: &str) {
        until(&format!("the widget is {state}"), async || {
            (self.widget("return chat?.state").await == state).then_some(())
        })
        .await;
    }
}
