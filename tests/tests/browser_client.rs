//! `/client.js` in a real browser: watched chats and tokens, over reconnects. Skipped where there is no
//! browser, unless `BROWSER_TESTS=required`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use goch_tests::{Browser, Member, System, TokenKey, WebDriver, until};
use serde_json::{Value, json};

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

/// Tokens are good for a few seconds more than they say, because clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// Makes a client whose events are kept. `window.token` is what `getToken` gives, if it is set.
const CLIENT: &str = "
    const { ChatClient } = await import(`${location.origin}/client.js`);
    const seen = { unread: {}, texts: {}, states: [], refused: {}, faults: [], asked: 0 };
    const getToken = () => {
      seen.asked += 1;
      if (!window.token) throw new Error('nobody is logged in');
      return window.token;
    };
    const client = new ChatClient({ getToken, backoffBaseMs: 100 });
    const on = (type, see) => client.addEventListener(type, ({ detail }) => see(detail));
    on('unread', ({ channel, count }) => { seen.unread[channel] = count; });
    on('events', ({ channel, events }) => {
      const texts = events.filter(({ type }) => type === 'message').map(({ text }) => text);
      seen.texts[channel] = [...(seen.texts[channel] ?? []), ...texts];
    });
    on('state', ({ state }) => seen.states.push(state));
    on('refused', ({ channel, error }) => { seen.refused[channel] = error.code; });
    on('fault', ({ error }) => seen.faults.push(error.message));
    Object.assign(window, { client, seen });";

/// A browser on the gateway's page, with a client of its own.
struct Client(Browser);

impl Client {
    async fn start(driver: &WebDriver, system: &System) -> Self {
        let browser = driver.browser().await;
        browser.open(&format!("http://{}/", system.gateway().address())).await;
        let client = Self(browser);
        client.run(CLIENT, &Value::Null).await;
        client
    }

    /// Runs a script, which has `value`, and waits for what it returns.
    async fn run(&self, script: &str, value: &Value) -> Value {
        let script = format!("return (async () => {{ const value = {value}; {script} }})()");
        self.0.evaluate(&script).await
    }

    /// Waits until this is among what the client has told.
    async fn sees(&self, path: &str, expected: Value) {
        until(&format!("{path} is {expected}"), async || {
            let seen = self.0.evaluate("return window.seen").await;
            (seen.pointer(path) == Some(&expected)).then_some(())
        })
        .await;
    }

    async fn is_in_state(&self, state: &str) {
        until(&format!("the client is {state}"), async || {
            (self.0.evaluate("return window.client.state").await == state).then_some(())
        })
        .await;
    }

    async fn watch(&self, credentials: &Value) {
        self.run("window.client.watch(value)", credentials).await;
    }

    async fn subscribe(&self, credentials: &Value) {
        self.run("window.client.subscribe(value)", credentials).await;
    }

    /// What the next `getToken` gives.
    async fn log_in(&self, token: Option<&str>) {
        self.run("window.token = value", &json!(token)).await;
    }
}

fn credentials(member: &Member) -> Value {
    json!({"channel": member.channel, "uid": member.uid, "secret": member.secret})
}

async fn say(system: &System, channel: &str, text: &str) {
    let path = format!("/admin/channels/{channel}/messages");
    system.admin().post(&path, &json!({"text": text})).await.expect(201);
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[tokio::test]
async fn watched_chats_tell_what_is_unread_over_a_reconnect() {
    let Some(driver) = WebDriver::start().await else { return };
    let mut system = System::builder().start().await;
    let (open, one, two) = (system.channel().await, system.channel().await, system.channel().await);
    let join = async |channel: &str| Member::join(system.gateway(), channel, "ann").await;
    let (at_open, at_one, at_two) = (join(&open).await, join(&one).await, join(&two).await);
    say(&system, &one, "before").await;

    let client = Client::start(&driver, &system).await;
    for member in [&at_one, &at_two] {
        client.watch(&credentials(member)).await;
    }
    // Watching is enough to be connected for, and one of the chats may be opened beside it.
    client.sees("/unread", json!({&one: 1, &two: 0})).await;
    client.is_in_state("online").await;
    client.subscribe(&credentials(&at_open)).await;
    client.subscribe(&credentials(&at_two)).await;
    say(&system, &two, "now").await;
    client.sees(&format!("/texts/{two}"), json!(["now"])).await;
    client.sees("/unread", json!({&one: 1, &two: 1})).await;

    system.gateways[0].kill();
    client.is_in_state("reconnecting").await;
    say(&system, &one, "meanwhile").await;
    say(&system, &open, "meanwhile").await;
    system.gateways[0].start().await;
    client.is_in_state("online").await;
    client.sees("/unread", json!({&one: 2, &two: 1})).await;
    client.sees(&format!("/texts/{open}"), json!(["meanwhile"])).await;

    // What is read on another device counts here too.
    let (mut device, page) = at_one.enter(system.gateway()).await;
    device.send(&json!({"type": "read", "channel": one, "seq": page["last_seq"]})).await;
    client.sees("/unread", json!({&one: 0, &two: 1})).await;

    // Who leaves a chat goes on watching it; who does not watch it any more hears no more of it.
    client.run("window.client.unsubscribe(value)", &json!(two)).await;
    say(&system, &two, "after").await;
    client.sees("/unread", json!({&one: 0, &two: 2})).await;
    client.run("window.client.unwatch(value)", &json!(one)).await;
    say(&system, &one, "unheard").await;
    say(&system, &two, "heard").await;
    client.sees("/unread", json!({&one: 0, &two: 3})).await;
    let stranger = json!({"channel": one, "uid": "ann", "secret": "not-the-secret-of-ann"});
    client.watch(&stranger).await;
    client.sees(&format!("/refused/{one}"), json!("unauthorized")).await;
    client.is_in_state("online").await;
    client.sees("/texts", json!({&two: ["now"], &open: ["meanwhile"]})).await;

    // The last one switches off the light.
    client.run("window.client.unwatch(value)", &json!(two)).await;
    client.run("window.client.unsubscribe(value)", &json!(open)).await;
    client.is_in_state("closed").await;
    client.sees("/faults", json!([])).await;
}

#[tokio::test]
async fn a_token_is_renewed_in_time_and_nothing_is_interrupted() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::builder().env("gateway", "TOKEN_SECRET", TOKEN_SECRET).start().await;
    let (open, list, later) =
        (system.channel().await, system.channel().await, system.channel().await);
    let key = TokenKey::shared(TOKEN_SECRET);
    let token = |channels: &[&String], seconds| {
        key.sign(&json!({"sub": "bea", "channels": channels}), seconds)
    };
    let client = Client::start(&driver, &system).await;
    let (short, short_ends) = (token(&[&open, &list], 8), now() + Duration::from_secs(8));
    client.log_in(Some(&short)).await;
    client.subscribe(&json!({"channel": open})).await;
    client.watch(&json!({"channel": list})).await;
    client.is_in_state("online").await;
    client.sees("/unread", json!({&list: 0})).await;
    client.log_in(Some(&token(&[&open, &list], 600))).await;
    until("the first token has ended", async || (now() > short_ends + CLOCK_SKEW).then_some(()))
        .await;
    say(&system, &open, "still here").await;
    say(&system, &list, "still there").await;
    client.sees(&format!("/texts/{open}"), json!(["still here"])).await;
    client.sees("/unread", json!({&list: 1})).await;
    client.sees("/states", json!(["connecting", "online"])).await;

    // What is one's own is known by its id: nobody has told the client who it is.
    let say =
        "window.client.send(value, 'mine').stored.then(({ seq }) => window.seen.stored = seq > 0)";
    client.run(say, &json!(open)).await;
    client.sees("/stored", json!(true)).await;
    client.sees(&format!("/texts/{open}"), json!(["still here", "mine"])).await;

    // A channel that came later than the token: with a new one it can be used.
    client.log_in(Some(&token(&[&open, &list, &later], 600))).await;
    client.subscribe(&json!({"channel": later})).await;
    system
        .admin()
        .post(&format!("/admin/channels/{later}/messages"), &json!({"text": "new"}))
        .await;
    client.sees(&format!("/texts/{later}"), json!(["new"])).await;
    // And one that no token is for cannot.
    client.watch(&json!({"channel": "somebody-elses"})).await;
    client.sees("/refused", json!({"somebody-elses": "unauthorized"})).await;
    client.sees("/states", json!(["connecting", "online"])).await;
    client.sees("/faults", json!([])).await;
}

#[tokio::test]
async fn who_has_no_token_for_a_while_comes_back_with_the_next_one() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::builder().env("gateway", "TOKEN_SECRET", TOKEN_SECRET).start().await;
    let (open, list) = (system.channel().await, system.channel().await);
    let key = TokenKey::shared(TOKEN_SECRET);
    let token = |seconds| key.sign(&json!({"sub": "bea", "channels": [open, list]}), seconds);
    let client = Client::start(&driver, &system).await;
    // At first there is none: whoever subscribes waits.
    client.subscribe(&json!({"channel": open})).await;
    client.watch(&json!({"channel": list})).await;
    until("a token is asked for", async || {
        let asked = client.0.evaluate("return window.seen.asked").await;
        (asked.as_u64()? > 0).then_some(())
    })
    .await;
    client.log_in(Some(&token(4))).await;
    client.is_in_state("online").await;
    client.sees("/unread", json!({&list: 0})).await;

    client.log_in(None).await;
    client.is_in_state("reconnecting").await;
    say(&system, &open, "missed").await;
    say(&system, &list, "missed").await;
    client.log_in(Some(&token(600))).await;
    client.is_in_state("online").await;
    client.sees(&format!("/texts/{open}"), json!(["missed"])).await;
    client.sees("/unread", json!({&list: 1})).await;
    client.sees("/refused", json!({})).await;
    client.sees("/faults", json!([])).await;
}
