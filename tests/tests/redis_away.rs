//! Without Redis, gone or silent, everything is answered: it is only a copy.

use std::time::{Duration, Instant};

use goch_tests::{Answer, Member, Metrics, Servers, Socket, System, texts, unique, until};
use reqwest::Method;
use serde_json::{Value, json};

/// How long an answer may take while Redis says nothing. Generous: a loaded machine is no defect.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// How long a read waits for Redis before that is found out to be silent.
const FOUND_OUT_WITHIN: Duration = Duration::from_millis(300);

/// How long a request and its answer took, which must not be long.
async fn soon<T>(what: &str, answer: impl Future<Output = T>) -> T {
    let asked = Instant::now();
    let answer = answer.await;
    let took = asked.elapsed();
    assert!(took < ANSWER_WITHIN, "{what} took {took:?}");
    answer
}

/// Channels that ann and ben are members of, with one message of ann's in each.
struct Chats {
    channels: Vec<String>,
    ann: Vec<Member>,
    ben: Vec<Member>,
}

impl Chats {
    async fn begin(system: &System) -> Self {
        let (mut channels, mut ann, mut ben) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let channel = system.channel().await;
            ann.push(Member::join(system.gateway(), &channel, "ann").await);
            ben.push(Member::join(system.gateway(), &channel, "ben").await);
            let (mut socket, _) = ann[ann.len() - 1].enter(system.gateway()).await;
            socket.say(&channel, "first").await;
            channels.push(channel);
        }
        channels.sort();
        ann.sort_by(|one, other| one.channel.cmp(&other.channel));
        ben.sort_by(|one, other| one.channel.cmp(&other.channel));
        Self { channels, ann, ben }
    }
}

async fn get(system: &System, path: &str) -> Value {
    soon(path, system.admin().get(path)).await.expect(200).body
}

fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn names(list: &Value) -> Vec<&str> {
    each(&list["channels"]).filter_map(|channel| channel["name"].as_str()).collect()
}

fn uids(members: &Value) -> Vec<&str> {
    each(members).filter_map(|member| member["uid"].as_str()).collect()
}

/// What ticketing asks for.
async fn ticketing_is_answered(system: &System, chats: &Chats, latest: &str) {
    let list = get(system, "/v1/admin/channels").await;
    assert_eq!(names(&list), chats.channels);
    for channel in each(&list["channels"]) {
        assert_eq!(channel["member_count"], 2);
        assert_eq!(channel["last_message"]["text"], latest);
    }
    // Page by page, in the same order.
    let mut after = "";
    for channel in &chats.channels {
        let one = get(system, &format!("/v1/admin/channels?limit=1&after={after}")).await;
        assert_eq!(names(&one), [channel]);
        assert_eq!(one["more"], Some(channel) != chats.channels.last());
        after = channel;
    }
    let expected: &[&str] = if latest == "first" { &["first"] } else { &["first", latest] };
    for channel in &chats.channels {
        let path = format!("/v1/admin/channels/{channel}");
        let shown = get(system, &path).await;
        assert_eq!(shown["last_message"]["text"], latest);
        assert_eq!(shown["member_count"], 2);
        assert_eq!(uids(&get(system, &format!("{path}/members")).await["members"]), ["ann", "ben"]);
        assert_eq!(texts(&get(system, &format!("{path}/messages")).await), expected);
        let unread = get(system, &format!("{path}/members/ben")).await;
        assert_eq!(unread["unread"], expected.len());
    }
}

/// Everybody subscribes, says something and hears it, looks back and watches.
async fn members_are_served(system: &System, chats: &Chats, text: &str) {
    for (ann, ben) in chats.ann.iter().zip(&chats.ben) {
        let channel = &ann.channel;
        let (mut at_ann, _) = soon("ann subscribes", ann.enter(&system.gateways[0])).await;
        let (mut at_ben, page) = soon("ben subscribes", ben.enter(&system.gateways[1])).await;
        assert_eq!(texts(&page), ["first"]);
        assert_eq!(page["unread"], 1, "{page}");
        soon("a send", at_ann.say(channel, text)).await;
        assert_eq!(soon("a live event", at_ben.expect_text()).await, text);
        let history = soon("a page", at_ben.whole_history(channel, 500)).await;
        let said: Vec<_> = history.iter().filter_map(|event| event["text"].as_str()).collect();
        assert_eq!(said, ["first", text]);
    }
    let mut socket = Socket::connect(&system.gateways[1]).await;
    let watched: Vec<_> = chats
        .ben
        .iter()
        .map(|ben| json!({"channel": ben.channel, "uid": ben.uid, "secret": ben.secret}))
        .collect();
    socket.send(&json!({"type": "watch", "id": "watch", "channels": watched})).await;
    for ben in &chats.ben {
        let is_answer = |frame: &Value| frame["id"] == "watch" && frame["channel"] == *ben.channel;
        let told = soon("a count", socket.expect_where("the answer to watch", is_answer)).await;
        assert_eq!(told["count"], 2, "{told}");
    }
}

/// Channels and members come and go.
async fn things_change(system: &System) {
    let channel = unique("zz-new");
    let created = json!({"name": channel, "is_private": false});
    soon("a new channel", system.admin().post("/v1/admin/channels", &created)).await.expect(201);
    let cid = soon("a join", Member::join(system.gateway(), &channel, "cid")).await;
    let (mut socket, _) = soon("cid subscribes", cid.enter(system.gateway())).await;
    soon("a send", socket.say(&channel, "Hello")).await;
    let path = format!("/v1/admin/channels/{channel}");
    soon("a removal", remove(system, &format!("{path}/members/cid"))).await.expect(204);
    // What Redis may hold is taken away when it is back.
    soon("a deletion", remove(system, &path)).await.expect(202);
    soon("what is gone", system.admin().get(&path)).await.expect(404);
}

async fn remove(system: &System, path: &str) -> Answer {
    let admin = system.admin();
    admin.send(admin.request(Method::DELETE, path)).await
}

async fn restart_everything(system: &mut System) {
    for service in system.services() {
        assert!(service.stop().await.success());
    }
    system.spawn();
    system.ready().await;
    for service in system.services() {
        assert_eq!(service.readiness().await.status, 200);
    }
}

async fn nothing_is_unfinished(system: &System) {
    until("what was begun is finished", async || {
        let waiting = Metrics::of(&system.chat_admin).await.sum("goch_lifecycle_unfinished", "");
        (waiting == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn everything_is_restarted_without_redis_and_nothing_is_missing() {
    let mut system = System::builder().servers(Servers::new()).gateways(2).start().await;
    let chats = Chats::begin(&system).await;
    system.own_servers().redis.stop().await;
    restart_everything(&mut system).await;

    ticketing_is_answered(&system, &chats, "first").await;
    members_are_served(&system, &chats, "second").await;
    ticketing_is_answered(&system, &chats, "second").await;
    things_change(&system).await;

    // What is left to be done is known to who starts now, and done when Redis is back.
    system.chat_admin.stop().await;
    system.chat_admin.start().await;
    until("what is unfinished is found", async || {
        let waiting = Metrics::of(&system.chat_admin).await.sum("goch_lifecycle_unfinished", "");
        (waiting == 1).then_some(())
    })
    .await;
    system.own_servers().redis.start().await;
    system.connected_to_redis().await;
    nothing_is_unfinished(&system).await;
    until("the copy is whole", async || {
        let whole = Metrics::of(&system.chat_admin).await.sum("goch_projection_whole", "");
        (whole == 1).then_some(())
    })
    .await;
    ticketing_is_answered(&system, &chats, "second").await;
}

#[tokio::test]
async fn everything_is_restarted_beside_a_redis_that_hangs_and_nobody_waits_for_it() {
    let mut system = System::builder().servers(Servers::new()).gateways(2).start().await;
    let chats = Chats::begin(&system).await;
    system.own_servers().redis.pause();
    restart_everything(&mut system).await;

    ticketing_is_answered(&system, &chats, "first").await;
    members_are_served(&system, &chats, "second").await;
    ticketing_is_answered(&system, &chats, "second").await;
    things_change(&system).await;

    system.own_servers().redis.resume();
    system.connected_to_redis().await;
    nothing_is_unfinished(&system).await;
    ticketing_is_answered(&system, &chats, "second").await;
}

#[tokio::test]
async fn a_redis_that_begins_to_hang_holds_up_no_answer() {
    let mut system = System::builder().servers(Servers::new()).gateways(2).start().await;
    let chats = Chats::begin(&system).await;
    until("the copy is whole", async || {
        let whole = Metrics::of(&system.chat_admin).await.sum("goch_projection_whole", "");
        (whole == 1).then_some(())
    })
    .await;
    ticketing_is_answered(&system, &chats, "first").await;

    system.own_servers().redis.pause();
    ticketing_is_answered(&system, &chats, "first").await;
    members_are_served(&system, &chats, "second").await;
    // By now it is known, and requests do not wait one by one: each would for as long as this.
    let path = format!("/v1/admin/channels/{}", chats.channels[0]);
    let mut at_once = 0;
    for _ in 0..10 {
        for path in [format!("{path}/members/ben"), format!("{path}/messages")] {
            let asked = Instant::now();
            system.admin().get(&path).await.expect(200);
            at_once += usize::from(asked.elapsed() < FOUND_OUT_WITHIN);
        }
    }
    assert!(at_once >= 10, "{at_once} of 20 answers did not wait");
    for service in [&system.chat_admin, &system.ingest_history] {
        let connected = Metrics::of(service).await.sum("goch_redis_connected", "");
        assert_eq!(connected, 0, "{}", service.log());
        assert_eq!(service.readiness().await.status, 200);
    }
    things_change(&system).await;

    system.own_servers().redis.resume();
    system.connected_to_redis().await;
    nothing_is_unfinished(&system).await;
    ticketing_is_answered(&system, &chats, "second").await;
}

#[tokio::test]
async fn who_was_removed_long_before_redis_is_back_is_not_listed_then() {
    // How long the removal's marker stays in its bucket, and half as long again at most.
    const MARKER: Duration = Duration::from_secs(5);
    let mut system = System::builder()
        .servers(Servers::new())
        .env("chat-admin", "DELETE_MARKERS_SECONDS", &MARKER.as_secs().to_string())
        .start()
        .await;
    let channel = system.channel().await;
    for uid in ["ann", "ben"] {
        Member::join(system.gateway(), &channel, uid).await;
    }
    let path = format!("/v1/admin/channels/{channel}/members");
    let copy_is_whole = async |system: &System| {
        until("the copy is whole", async || {
            let whole = Metrics::of(&system.chat_admin).await.sum("goch_projection_whole", "");
            (whole == 1).then_some(())
        })
        .await;
    };
    copy_is_whole(&system).await;
    let everybody = async |system: &System| get(system, &path).await["members"].clone();
    assert_eq!(uids(&everybody(&system).await), ["ann", "ben"]);

    // It comes back with what it had.
    system.own_servers().redis.stop().await;
    remove(&system, &format!("{path}/ben")).await.expect(204);
    let removed = Instant::now();
    until("the marker's time is over", async || (removed.elapsed() > MARKER * 2).then_some(()))
        .await;
    system.own_servers().redis.start().await;
    system.connected_to_redis().await;
    copy_is_whole(&system).await;
    assert_eq!(uids(&everybody(&system).await), ["ann"]);
}
