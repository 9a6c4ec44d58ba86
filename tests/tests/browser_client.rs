//! `/client.js` in a real browser: watched chats and tokens, over reconnects. Skipped where there is no
//! browser, unless `BROWSER_TESTS=required`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt as _, StreamExt as _};
use goch_tests::{Browser, Member, System, TokenKey, WebDriver, until};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::server::{Request, Response},
};

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

/// Tokens are good for a few seconds more than they say, because clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// Makes a client whose events are kept. `window.token` is what `getToken` gives, if it is set.
const CLIENT: &str = "
    const { ChatClient, indexedDbOutbox } = await import(`${value}/client.js`);
    const seen = { unread: {}, texts: {}, states: [], refused: {}, faults: [], gaps: [], asked: 0, outgoing: {} };
    const getToken = () => {
      seen.asked += 1;
      if (!window.token) throw new Error('nobody is logged in');
      return window.token;
    };
    const storage = indexedDbOutbox('outbox');
    const client = new ChatClient({ getToken, storage, backoffBaseMs: 100 });
    const on = (type, see) => client.addEventListener(type, ({ detail }) => see(detail));
    on('unread', ({ channel, count }) => { seen.unread[channel] = count; });
    on('events', ({ channel, events }) => {
      const texts = events.filter(({ type }) => type === 'message').map(({ text }) => text);
      seen.texts[channel] = [...(seen.texts[channel] ?? []), ...texts];
    });
    on('state', ({ state }) => seen.states.push(state));
    on('refused', ({ channel, error }) => { seen.refused[channel] = error.code; });
    on('fault', ({ error }) => seen.faults.push(error.message));
    on('outgoing', ({ text, status }) => { seen.outgoing[text] = status; });
    on('gap', ({ after, before }) => seen.gaps.push([after, before]));
    Object.assign(window, { client, seen });";

/// A browser on the gateway's page, with a client of its own.
struct Client(Browser);

impl Client {
    async fn start(driver: &WebDriver, system: &System) -> Self {
        Self::start_at(driver, &system.gateway().address()).await
    }

    async fn start_at(driver: &WebDriver, address: &str) -> Self {
        Self::start_on(driver, address, address).await
    }

    /// On the page of one address, with the client of another one.
    async fn start_on(driver: &WebDriver, page: &str, address: &str) -> Self {
        let client = Self(driver.browser().await);
        client.load(page, address).await;
        client
    }

    /// Opens the page, which may be the one that is open.
    async fn load(&self, page: &str, address: &str) {
        self.0.open(&format!("http://{page}/")).await;
        self.run(CLIENT, &json!(format!("http://{address}"))).await;
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
    let path = format!("/v1/admin/channels/{channel}/messages");
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
        .post(&format!("/v1/admin/channels/{later}/messages"), &json!({"text": "new"}))
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

/// A server with the client and with a gateway that answers each `subscribe` with what `answer` makes of its
/// `after`, and then says `live` once. Tells its address.
async fn scripted(answer: impl Fn(&Value) -> Value + Send + 'static, live: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4_096];
            let length = connection.peek(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            if head.starts_with("GET /connect") {
                return converse(connection, answer, live).await;
            }
            serve(connection, head.starts_with("GET /client.js")).await;
        }
    });
    address
}

/// Answers an HTTP request with the client, or with an empty page.
async fn serve(mut connection: TcpStream, wants_client: bool) {
    let client = include_str!("../../services/gateway/web/client.js");
    let (kind, body) = if wants_client { ("text/javascript", client) } else { ("text/html", "") };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    let _ = connection.read(&mut [0; 4_096]).await;
    let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
}

#[expect(clippy::result_large_err, reason = "tungstenite asks for it")]
async fn converse(connection: TcpStream, answer: impl Fn(&Value) -> Value, live: Value) {
    // Browsers end a connection of which no subprotocol is selected that they have offered.
    let select = |_: &Request, mut response: Response| {
        response.headers_mut().insert("sec-websocket-protocol", "goch.v1".parse().unwrap());
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(connection, select).await.unwrap();
    let mut live = Some(live);
    while let Some(Ok(message)) = socket.next().await {
        let Ok(text) = message.into_text() else { return };
        let Ok(asked) = serde_json::from_str::<Value>(&text) else { return };
        let mut subscribed = answer(&asked["after"]);
        subscribed["type"] = json!("subscribed");
        subscribed["id"] = asked["id"].clone();
        subscribed["channel"] = asked["channel"].clone();
        for frame in [Some(subscribed), live.take()].into_iter().flatten() {
            let _ = socket.send(Message::text(frame.to_string())).await;
        }
    }
}

#[tokio::test]
async fn a_page_of_which_all_is_deleted_is_not_the_end_of_what_was_missed() {
    let Some(driver) = WebDriver::start().await else { return };
    let said = |seq: u64, prev: u64| {
        json!({"type": "message", "channel": "c", "time": 1, "id": format!("m{seq}"),
               "from_uid": "ben", "from_name": "Ben", "from_role": "guest",
               "text": seq.to_string(), "seq": seq, "prev": prev})
    };
    // Of what follows the first message, the first page has been deleted a moment ago.
    let answer = move |after: &Value| match after.as_u64() {
        None => json!({"messages": [said(1, 0)], "more": false, "last_seq": 1}),
        Some(1) => json!({"messages": [], "more": true, "last_seq": 5}),
        Some(5) => json!({"messages": [said(7, 5)], "more": true, "last_seq": 7}),
        Some(7) => json!({"messages": [said(9, 7)], "more": false, "last_seq": 10}),
        after => panic!("nobody has {after:?}"),
    };
    let address = scripted(answer, said(10, 9)).await;
    let client = Client::start_at(&driver, &address).await;
    client.subscribe(&json!({"channel": "c", "uid": "ann", "secret": "s"})).await;
    client.sees("/texts/c", json!(["1", "7", "9", "10"])).await;
    client.sees("/gaps", json!([])).await;
}

#[tokio::test]
async fn a_service_that_is_slow_to_answer_costs_no_socket() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::builder().start().await;
    let mut members = Vec::new();
    for _ in 0..4 {
        members.push(Member::join(system.gateway(), &system.channel().await, "ann").await);
    }
    let client = Client::start(&driver, &system).await;
    client.subscribe(&credentials(&members[0])).await;
    client.is_in_state("online").await;
    // It is there, and answers nothing: each subscribe waits until the gateway asks the log instead.
    system.ingest_history.pause();
    let rest: Vec<_> = members[1..].iter().map(credentials).collect();
    client
        .run(
            "window.opened = 0; for (const one of value) {
        window.client.subscribe(one).then(() => { window.opened += 1; }); }",
            &json!(rest),
        )
        .await;
    until("all channels are open", async || {
        (client.0.evaluate("return window.opened").await == rest.len()).then_some(())
    })
    .await;
    system.ingest_history.resume();
    client.sees("/states", json!(["connecting", "online"])).await;
    for member in &members {
        say(&system, &member.channel, "still here").await;
        client.sees(&format!("/texts/{}", member.channel), json!(["still here"])).await;
    }
    client.sees("/states", json!(["connecting", "online"])).await;
}

/// The address of a server whose every page is empty.
async fn another_origin() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            serve(connection, false).await;
        }
    });
    address
}

#[tokio::test]
async fn a_page_of_another_origin_imports_the_client_and_chats() {
    let Some(driver) = WebDriver::start().await else { return };
    let shop = another_origin().await;
    let origin = format!("http://{shop}");
    let system = System::builder().env("gateway", "ALLOWED_ORIGINS", &origin).start().await;
    let channel = system.channel().await;
    let member = Member::join(system.gateway(), &channel, "ann").await;
    let client = Client::start_on(&driver, &shop, &system.gateway().address()).await;
    client.subscribe(&credentials(&member)).await;
    say(&system, &channel, "hello, shop").await;
    client.sees(&format!("/texts/{channel}"), json!(["hello, shop"])).await;

    // The demo page's own files are nobody else's.
    let fetched = "fetch(value).then(() => 'allowed', () => 'refused')";
    for (file, expected) in [("page.js", "refused"), ("", "refused"), ("client.js", "allowed")] {
        let url = format!("http://{}/{file}", system.gateway().address());
        let answer = client.run(&format!("return await {fetched}"), &json!(url)).await;
        assert_eq!(answer, expected, "{file}");
    }
}

#[tokio::test]
async fn what_one_page_could_not_send_the_next_one_does_once() {
    let Some(driver) = WebDriver::start().await else { return };
    let mut system = System::builder().start().await;
    let channel = system.channel().await;
    let member = Member::join(system.gateway(), &channel, "ann").await;
    let page = another_origin().await;
    let client = Client::start(&driver, &system).await;
    client.subscribe(&credentials(&member)).await;
    client.is_in_state("online").await;
    system.gateways[0].kill();
    client.is_in_state("reconnecting").await;
    for text in ["one", "two"] {
        client.run(&format!("window.client.send(value, '{text}')"), &json!(channel)).await;
    }
    let kept =
        "return new Promise((done) => { indexedDB.open('outbox').onsuccess = ({ target }) => {
        target.result.transaction('messages').objectStore('messages').count().onsuccess =
            (counted) => done(counted.target.result); }; })";
    until("both are on disk", async || (client.run(kept, &Value::Null).await == 2).then_some(()))
        .await;

    client.0.open(&format!("http://{page}/")).await;
    system.gateways[0].start().await;
    client.load(&system.gateway().address(), &system.gateway().address()).await;
    client.sees("/outgoing", json!({"one": "pending", "two": "pending"})).await;
    // What was not sent waits for whoever opens the channel.
    client.subscribe(&credentials(&member)).await;
    client.sees("/outgoing", json!({"one": "sent", "two": "sent"})).await;
    client.sees(&format!("/texts/{channel}"), json!(["one", "two"])).await;
    until("nothing is left", async || (client.run(kept, &Value::Null).await == 0).then_some(()))
        .await;
    client.load(&system.gateway().address(), &system.gateway().address()).await;
    client.subscribe(&credentials(&member)).await;
    client.sees(&format!("/texts/{channel}"), json!(["one", "two"])).await;
    client.sees("/outgoing", json!({})).await;
}

#[tokio::test]
async fn two_pages_of_a_browser_do_not_send_each_others_messages() {
    let Some(driver) = WebDriver::start().await else { return };
    let mut system = System::builder().start().await;
    let channel = system.channel().await;
    let member = Member::join(system.gateway(), &channel, "ann").await;
    let client = Client::start(&driver, &system).await;
    client.subscribe(&credentials(&member)).await;
    client.is_in_state("online").await;
    system.gateways[0].kill();
    client.is_in_state("reconnecting").await;
    client.run("window.client.send(value, 'mine')", &json!(channel)).await;
    client.sees("/outgoing", json!({"mine": "pending"})).await;
    let take = "const { indexedDbOutbox } = await import(`${value}/client.js`);
        return (await indexedDbOutbox('outbox').load()).map(({ text }) => text)";
    // The module is there already, though its gateway is not.
    let gateway = json!(format!("http://{}", system.gateway().address()));
    assert_eq!(client.run(take, &gateway).await, json!([]), "the first page is still there");
    system.gateways[0].start().await;
    client.sees("/outgoing", json!({"mine": "sent"})).await;
    client.sees(&format!("/texts/{channel}"), json!(["mine"])).await;
}

#[tokio::test]
async fn a_page_that_comes_back_from_the_back_forward_cache_is_online_again() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let member = Member::join(system.gateway(), &channel, "ann").await;
    let client = Client::start_at(&driver, &system.gateway().address()).await;
    client.subscribe(&credentials(&member)).await;
    client.is_in_state("online").await;
    let turn = "dispatchEvent(new PageTransitionEvent(value, { persisted: true }))";
    client.run(turn, &json!("pagehide")).await;
    client.is_in_state("reconnecting").await;
    say(&system, &channel, "meanwhile").await;
    client.run(turn, &json!("pageshow")).await;
    client.is_in_state("online").await;
    client.sees(&format!("/texts/{channel}"), json!(["meanwhile"])).await;
}

#[tokio::test]
async fn a_policy_that_forbids_the_connection_is_told_and_tried_again() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let member = Member::join(system.gateway(), &channel, "ann").await;
    let client = Client::start_at(&driver, &system.gateway().address()).await;
    // What browsers throw for a policy, or for ws: on a page over https.
    let forbid = "const { ChatClient } = await import(`${location.origin}/client.js`);
        const Forbidden = function (url) {
          if (!window.isAllowed) throw new DOMException('insecure', 'SecurityError');
          return new WebSocket(url);
        };
        window.client = new ChatClient({ backoffBaseMs: 100, WebSocket: Forbidden });
        window.client.addEventListener('fault', ({ detail }) => window.seen.faults.push(detail.error.code));";
    client.run(forbid, &Value::Null).await;
    client.run("window.client.subscribe(value)", &credentials(&member)).await;
    client.sees("/faults/1", json!("network")).await;
    client.run("window.isAllowed = true", &Value::Null).await;
    client.is_in_state("online").await;
}
