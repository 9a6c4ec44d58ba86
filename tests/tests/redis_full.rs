//! A Redis without memory for more is done without for what it refuses, and makes room before that.

use std::time::{Duration, Instant, UNIX_EPOCH};

use goch_tests::{Answer, Member, Metrics, Servers, Service, Socket, System, events, until};
use reqwest::Method;
use serde_json::{Value, json};

/// How long an answer may take. Generous: a loaded machine is no defect.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a request and its answer took, which must not be long.
async fn soon<T>(what: &str, answer: impl Future<Output = T>) -> T {
    let asked = Instant::now();
    let answer = answer.await;
    let took = asked.elapsed();
    assert!(took < ANSWER_WITHIN, "{what} took {took:?}");
    answer
}

async fn get(system: &System, path: &str) -> Value {
    soon(path, system.admin().get(path)).await.expect(200).body
}

async fn remove(system: &System, path: &str) -> Answer {
    let admin = system.admin();
    soon(path, admin.send(admin.request(Method::DELETE, path))).await
}

async fn metric(service: &Service, name: &str) -> u64 {
    Metrics::of(service).await.sum(name, "")
}

async fn until_metric(service: &Service, name: &str, expected: u64) {
    let what = format!("{name} of {} is {expected}", service.binary());
    until(&what, async || (metric(service, name).await == expected).then_some(())).await;
}

/// What the messages of a page say.
fn messages(page: &Value) -> Vec<&str> {
    let messages = events(page).iter().filter(|event| event["type"] == "message");
    messages.filter_map(|message| message["text"].as_str()).collect()
}

/// A channel, and what was said in it.
struct Chat {
    channel: String,
    ann: Member,
    socket: Socket,
    said: Vec<String>,
}

impl Chat {
    async fn begin(system: &System, name: &str) -> Self {
        let body = json!({"name": name, "is_private": false});
        soon("a new channel", system.admin().post("/v1/admin/channels", &body)).await.expect(201);
        let ann = soon("a join", Member::join(system.gateway(), name, "ann")).await;
        soon("a join", Member::join(system.gateway(), name, "ben")).await;
        let (socket, _) = ann.enter(system.gateway()).await;
        Self { channel: name.to_owned(), ann, socket, said: Vec::new() }
    }

    /// Says something, which is acked; its sequence.
    async fn say(&mut self, text: &str) -> u64 {
        let ack = soon("a send", self.socket.say(&self.channel, text)).await;
        self.said.push(text.to_owned());
        ack["seq"].as_u64().unwrap_or_default()
    }

    fn path(&self) -> String {
        format!("/v1/admin/channels/{}", self.channel)
    }

    /// Everything that ticketing and members are told of it is what was said.
    async fn is_told_right(&self, system: &System) {
        let path = self.path();
        let page = get(system, &format!("{path}/messages?limit=500")).await;
        assert_eq!(messages(&page), self.said);
        let shown = get(system, &path).await;
        assert_eq!(shown["last_message"]["text"].as_str(), self.said.last().map(String::as_str));
        assert_eq!(shown["member_count"], 2);
        let listed = get(system, &format!("{path}/members")).await;
        let members = listed["members"].as_array().into_iter().flatten();
        let uids: Vec<_> = members.filter_map(|member| member["uid"].as_str()).collect();
        assert_eq!(uids, ["ann", "ben"]);
        let unread = get(system, &format!("{path}/members/ben")).await;
        assert_eq!(unread["unread"], self.said.len());
        let (_, subscribed) = soon("a subscribe", self.ann.enter(system.gateway())).await;
        assert_eq!(messages(&subscribed), self.said);
    }
}

/// Channels by name, each with the text of its last message.
async fn listed(system: &System) -> Vec<(String, String)> {
    let list = get(system, "/v1/admin/channels").await;
    let channels = list["channels"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    channels
        .map(|channel| (text(&channel["name"]), text(&channel["last_message"]["text"])))
        .collect()
}

/// Asks until history is answered from Redis.
async fn is_in_redis(system: &System, chat: &Chat) {
    let path = format!("{}/messages", chat.path());
    let of_redis = async || {
        Metrics::of(&system.ingest_history)
            .await
            .sum("goch_history_pages_total", "source=\"redis\"")
    };
    until("pages come from Redis", async || {
        let before = of_redis().await;
        get(system, &path).await;
        (of_redis().await > before).then_some(())
    })
    .await;
}

/// How often a service has logged something.
fn logged(service: &Service, message: &str) -> usize {
    service.log().matches(message).count()
}

#[tokio::test]
async fn what_a_full_redis_refuses_is_answered_from_jetstream_and_comes_back_when_there_is_room() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    until_metric(&system.chat_admin, "goch_projection_whole", 1).await;
    let mut old = Chat::begin(&system, "old").await;
    let mut idle = Chat::begin(&system, "quiet").await;
    for chat in [&mut old, &mut idle] {
        chat.say("before it was full").await;
        is_in_redis(&system, chat).await;
    }

    let redis = &system.servers().redis;
    redis.set_max_memory(redis.used_memory().await / 2).await;
    let mut new = Chat::begin(&system, "recent").await;
    for round in 0..40 {
        old.say(&format!("old {round}")).await;
        new.say(&format!("new {round}")).await;
    }
    // One that ends in an edit, and one that ends in a deletion.
    let (kept, gone) = (old.say("unedited").await, new.say("withdrawn").await);
    let edit =
        json!({"type": "edit", "id": "e", "channel": "old", "seq": kept, "text": "edited text"});
    soon("an edit", old.socket.ask(&edit, "ack")).await;
    old.said.pop();
    old.said.push("edited text".to_owned());
    remove(&system, &format!("{}/messages/{gone}", new.path())).await.expect(204);
    new.said.pop();

    for chat in [&old, &idle, &new] {
        chat.is_told_right(&system).await;
    }
    let expected = [("old", "edited text"), ("quiet", "before it was full"), ("recent", "new 39")];
    let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
    assert_eq!(listed(&system).await, expected);
    // Redis is there and answers, and what it refuses holds up nobody's events.
    for service in [&system.chat_admin, &system.ingest_history] {
        assert_eq!(metric(service, "goch_redis_full").await, 1, "{}", service.log());
        assert_eq!(metric(service, "goch_redis_connected").await, 1);
        assert!(metric(service, "goch_redis_writes_refused_total").await > 0);
        assert_eq!(service.readiness().await.status, 200);
        assert_eq!(logged(service, "Redis is full and refuses writes"), 1, "{}", service.log());
    }
    assert_eq!(metric(&system.chat_admin, "goch_projection_whole").await, 0);
    assert!(Metrics::of(&system.ingest_history).await.has("goch_history_lag"));
    until_metric(&system.ingest_history, "goch_history_lag", 0).await;
    // What is deleted leaves a full Redis, too.
    let unwanted = Chat::begin(&system, "unwanted").await;
    remove(&system, &unwanted.path()).await.expect(204);
    remove(&system, &format!("{}/members/ben", idle.path())).await.expect(204);
    remove(&system, &idle.path()).await.expect(204);
    until("Redis has nothing of it but that it is gone", async || {
        let is_left = |line: &str| line.contains("quiet") && !line.contains("}:gone:");
        system.servers().traces_in_redis(is_left).await.is_empty().then_some(())
    })
    .await;
    system.servers().until_without_trace("withdrawn").await;

    // Who starts now does without it all the same.
    for service in [&mut system.chat_admin, &mut system.ingest_history] {
        assert!(service.stop().await.success());
        service.start().await;
    }
    for chat in [&mut old, &mut new] {
        chat.say("after a restart").await;
        chat.is_told_right(&system).await;
    }
    assert_eq!(system.servers().redis.ask("operator", "PING").await, "+PONG");

    system.servers().redis.set_max_memory(0).await;
    for service in [&system.chat_admin, &system.ingest_history] {
        until_metric(service, "goch_redis_full", 0).await;
    }
    until_metric(&system.chat_admin, "goch_projection_whole", 1).await;
    for chat in [&old, &new] {
        is_in_redis(&system, chat).await;
        chat.is_told_right(&system).await;
        for text in &chat.said {
            let held = system.servers().traces_in_redis(|line| line.contains(text)).await;
            assert!(!held.is_empty(), "Redis lacks {text}");
        }
    }
    let names: Vec<_> = listed(&system).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["old", "recent"]);
}

#[tokio::test]
async fn what_is_replaced_or_removed_does_not_outlast_that_in_a_redis_that_is_full() {
    let system = System::builder().servers(Servers::new()).start().await;
    let chat = Chat::begin(&system, "changing").await;
    let eve = format!("{}/members/eve", chat.path());
    let put = async |name: &str| {
        let request =
            system.admin().request(Method::PUT, &eve).json(&json!({"display_name": name}));
        soon("a change", system.admin().send(request)).await
    };
    put("Former Name").await.expect(201);
    until_metric(&system.chat_admin, "goch_projection_whole", 1).await;
    let redis = &system.servers().redis;
    let holds = async |text: &str| {
        !system.servers().traces_in_redis(|line| line.contains(text)).await.is_empty()
    };
    until("Redis has it", async || holds("Former Name").await.then_some(())).await;

    redis.set_max_memory(redis.used_memory().await / 2).await;
    put("Later Name").await.expect(200);
    until("Redis has the later name", async || holds("Later Name").await.then_some(())).await;
    until("and not the former", async || (!holds("Former Name").await).then_some(())).await;
    remove(&system, &eve).await.expect(204);
    until("Redis has neither", async || (!holds("Later Name").await).then_some(())).await;
    let shown = get(&system, &format!("{}/members", chat.path())).await;
    assert!(!shown.to_string().contains("eve"), "{shown}");
}

/// The key of a channel's events, and that of when channels were used, once it has the channel.
async fn keys(system: &System, channel: &str) -> (String, String) {
    let redis = &system.servers().redis;
    let one = async |pattern: &str| {
        let script = "return redis.call('KEYS', ARGV[1])[1] or ''";
        redis.command(&["EVAL", script, "0", pattern]).await
    };
    let used = until("it is noted when a channel was used", async || {
        let used = one("*:histories:*").await;
        let script = "return redis.call('ZSCORE', KEYS[1], ARGV[1]) or ''";
        let score = redis.command(&["EVAL", script, "1", &used, channel]).await;
        (!score.is_empty()).then_some(used)
    });
    (one(&format!("*{{{}}}:history:*", goch_tests::token(channel))).await, used.await)
}

/// Has it that a channel was last used so many seconds ago.
async fn set_idle(system: &System, used_key: &str, channel: &str, seconds: u64) {
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let used = (now - seconds).to_string();
    system.servers().redis.command(&["ZADD", used_key, &used, channel]).await;
}

async fn events_in(system: &System, key: &str) -> u64 {
    let count = system.servers().redis.command(&["ZLEXCOUNT", key, "[e", "(f"]).await;
    count.parse().unwrap_or_default()
}

#[tokio::test]
async fn windows_shrink_and_idle_channels_leave_before_redis_is_full() {
    const MESSAGES: usize = 400;
    let system = System::builder()
        .servers(Servers::new())
        .env("gateway", "FRAMES_PER_SECOND", "10000")
        .env("gateway", "MEMBER_MESSAGES_PER_SECOND", "0")
        .start()
        .await;
    let redis = &system.servers().redis;
    let (mut busy, mut idle) =
        (Chat::begin(&system, "busy").await, Chat::begin(&system, "idle").await);
    idle.say("before").await;
    for number in 0..MESSAGES {
        busy.say(&format!("{number} {}", "x".repeat(4_000))).await;
    }
    is_in_redis(&system, &busy).await;
    let (busy_key, used_key) = keys(&system, "busy").await;
    let (idle_key, _) = keys(&system, "idle").await;
    assert!(events_in(&system, &busy_key).await >= MESSAGES as u64);
    assert_eq!(metric(&system.ingest_history, "goch_history_window").await, 1_000);

    // A machine may have been slow: so that nothing has been idle for a minute below.
    set_idle(&system, &used_key, "idle", 0).await;

    // Nine tenths and more are used.
    let nearly_full = async || {
        redis.set_max_memory(redis.used_memory().await * 100 / 94).await;
        until("the window is small", async || {
            let window = metric(&system.ingest_history, "goch_history_window").await;
            (window < 200).then_some(())
        })
        .await;
    };
    nearly_full().await;
    busy.say("the last straw").await;
    until("the channel is cut to its window", async || {
        (events_in(&system, &busy_key).await < 250).then_some(())
    })
    .await;
    // Neither has been idle for a minute.
    assert_eq!(redis.command(&["EXISTS", &idle_key]).await, "1");
    let evicted = async || metric(&system.ingest_history, "goch_history_evictions_total").await;
    assert_eq!(evicted().await, 0);
    // What has left is read from the log.
    let history = soon("a history", busy.socket.whole_history("busy", 100)).await;
    let said: Vec<_> = history.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(said, busy.said);

    // As if one had been for two.
    set_idle(&system, &used_key, "idle", 120).await;
    redis.set_max_memory(redis.used_memory().await * 100 / 94).await;
    until("the idle channel leaves", async || {
        (redis.command(&["EXISTS", &idle_key]).await == "0").then_some(())
    })
    .await;
    assert_eq!(redis.command(&["EXISTS", &busy_key]).await, "1");
    until("it is counted", async || (evicted().await == 1).then_some(())).await;
    idle.is_told_right(&system).await;
    // Nothing was refused for all that.
    assert_eq!(metric(&system.ingest_history, "goch_redis_writes_refused_total").await, 0);

    redis.set_max_memory(0).await;
    until_metric(&system.ingest_history, "goch_history_window", 1_000).await;
    idle.say("after").await;
    is_in_redis(&system, &idle).await;
    idle.is_told_right(&system).await;
}

#[tokio::test]
async fn channels_whose_idle_time_ends_while_there_is_room_are_not_counted_as_evicted() {
    let system = System::builder()
        .servers(Servers::new())
        .env("ingest-history", "HISTORY_IDLE_SECONDS", "3600")
        .start()
        .await;
    let mut chat = Chat::begin(&system, "idle").await;
    chat.say("an hour ago").await;
    is_in_redis(&system, &chat).await;
    let (key, used_key) = keys(&system, "idle").await;
    until("it is forgotten when it was used", async || {
        if system.servers().redis.command(&["EXISTS", &used_key]).await == "0" {
            return Some(());
        }
        // Again, should its filling be noted only now.
        set_idle(&system, &used_key, "idle", 3_700).await;
        None
    })
    .await;
    // The key goes by itself, when its own time is up.
    assert_eq!(system.servers().redis.command(&["EXISTS", &key]).await, "1");
    assert_eq!(metric(&system.ingest_history, "goch_history_evictions_total").await, 0);
}

#[tokio::test]
async fn a_redis_that_was_full_and_does_not_say_that_it_has_room_is_tried_again() {
    let system = System::builder().servers(Servers::new()).start().await;
    until_metric(&system.chat_admin, "goch_projection_whole", 1).await;
    let redis = &system.servers().redis;
    let allow_info = async |sign: &str| {
        let answer = redis.ask("operator", &format!("ACL SETUSER chat-admin {sign}info")).await;
        assert_eq!(answer, "+OK");
    };
    redis.set_max_memory(redis.used_memory().await / 2).await;
    let chat = Chat::begin(&system, "refused").await;
    until_metric(&system.chat_admin, "goch_redis_full", 1).await;
    allow_info("-").await;
    redis.set_max_memory(0).await;
    until_metric(&system.chat_admin, "goch_redis_full", 0).await;
    until_metric(&system.chat_admin, "goch_projection_whole", 1).await;
    chat.is_told_right(&system).await;
    let said = "Redis does not say how full it is; ";
    until("it is said", async || (logged(&system.chat_admin, said) == 1).then_some(())).await;
    allow_info("+").await;
    // It asks on, and what was refused meanwhile is no defect.
    until("Redis says it again", async || {
        Metrics::of(&system.chat_admin).await.has("goch_redis_memory_bytes").then_some(())
    })
    .await;
    redis.forget_refusals().await;
}
