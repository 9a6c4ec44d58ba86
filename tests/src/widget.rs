//! What a browser shows in the widget's shadow root.

use serde_json::Value;

use crate::{wait::until, webdriver::Browser};

impl Browser {
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
