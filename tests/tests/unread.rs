//! Several chats at once: unread counts of those that are not open, live and exact.

use goch_tests::{Member, Metrics, Servers, Socket, System, until};
use reqwest::Method;
use serde_json::{Value, json};

fn watch_frame(id: &str, members: &[&Member]) -> Value {
    let channels: Vec<Value> = members
        .iter()
        .map(|m| json!({"channel": m.channel, "uid": m.uid, "secret": m.secret}))
        .collect();
    json!({"type": "watch", "id": id, "channels": channels})
}

/// Watches channels; their counts, in order.
async fn watch(socket: &mut Socket, members: &[&Member]) -> Vec<Value> {
    socket.send(&watch_frame("watch", members)).await;
    let mut counts = Vec::new();
    for member in members {
        let is_answer =
            |frame: &Value| frame["id"] == "watch" && frame["channel"] == member.channel;
        let unread = socket.expect_where("the answer to watch", is_answer).await;
        assert_eq!(unread["type"], "unread", "{unread}");
        counts.push(unread["count"].clone());
    }
    counts
}

/// Waits until the latest count that was told is the expected.
async fn expect_unread(socket: &mut Socket, channel: &str, expected: u64) {
    let what = format!("{expected} unread in {channel}");
    let is_it = |frame: &Value| {
        frame["type"] == "unread" && frame["channel"] == channel && frame["count"] == expected
    };
    socket.expect_where(&what, is_it).await;
}

async fn read(socket: &mut Socket, channel: &str, seq: &Value) {
    socket.send(&json!({"type": "read", "channel": channel, "seq": seq})).await;
}

#[tokio::test]
async fn an_agent_sees_the_unread_of_several_chats_on_one_socket() {
    let system = System::shared().await;
    let mut chats = Vec::new();
    for _ in 0..3 {
        let channel = system.channel().await;
        let agent = Member::join(system.gateway(), &channel, "agent").await;
        let ann = Member::join(system.gateway(), &channel, "ann").await;
        let (mut at_ann, _) = ann.enter(&system.gateways[1]).await;
        at_ann.say(&channel, "before").await;
        chats.push((agent, at_ann));
    }
    let mut at_agent = Socket::connect(&system.gateways[0]).await;
    let agents: Vec<&Member> = chats.iter().map(|(agent, _)| agent).collect();
    assert_eq!(watch(&mut at_agent, &agents).await, [1, 1, 1]);

    let (first, at_ann) = &mut chats[0];
    let channel = first.channel.clone();
    at_ann.say(&channel, "one").await;
    let last = at_ann.say(&channel, "two").await;
    expect_unread(&mut at_agent, &channel, 3).await;
    // The agent's other device, at the other gateway: what it says counts for others only, what it
    // reads counts here too.
    let (mut other_device, subscribed) = first.enter(&system.gateways[1]).await;
    assert_eq!(subscribed["unread"], 3);
    other_device.say(&channel, "my own").await;
    read(&mut other_device, &channel, &last["seq"]).await;
    expect_unread(&mut at_agent, &channel, 0).await;
    at_ann.say(&channel, "three").await;
    expect_unread(&mut at_agent, &channel, 1).await;
    // Nothing was told of chats in which nothing happened.
    at_agent.ping().await;
    assert!(at_agent.kept().iter().all(|frame| frame["channel"] == channel.as_str()));
}

#[tokio::test]
async fn a_watch_is_answered_channel_by_channel() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let stranger = Member { channel: system.channel().await, ..ann.clone() };
    let mut socket = Socket::connect(system.gateway()).await;
    socket.send(&watch_frame("w", &[&stranger, &ann])).await;
    let mut answers = [socket.answer_to("w").await, socket.answer_to("w").await];
    answers.sort_by_key(|answer| answer["type"] == "unread");
    let [error, unread] = answers;
    assert_eq!(error["code"], "unauthorized", "{error}");
    assert_eq!(error["field"], "channels");
    assert_eq!(error["channel"], stranger.channel.as_str());
    assert_eq!(unread, json!({"type": "unread", "id": "w", "channel": channel, "count": 0}));
    // As another member the channel cannot be had on the same socket.
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    socket.send(&watch_frame("w2", &[&ben])).await;
    assert_eq!(socket.answer_to("w2").await["code"], "bad_request");
}

#[tokio::test]
async fn watched_and_subscribed_channels_share_the_limit_of_a_socket() {
    let builder = System::builder().env("gateway", "SUBSCRIPTIONS_PER_SOCKET", "2");
    let system = builder.start().await;
    let mut members = Vec::new();
    for _ in 0..3 {
        let channel = system.channel().await;
        members.push(Member::join(system.gateway(), &channel, "ann").await);
    }
    let mut socket = Socket::connect(system.gateway()).await;
    watch(&mut socket, &[&members[0], &members[1]]).await;
    // One that is watched may be opened, and is watched on when it is closed.
    socket.subscribe(&members[0]).await;
    let channel = members[0].channel.as_str();
    let leave = json!({"type": "unsubscribe", "id": "u", "channel": channel});
    socket.ask(&leave, "unsubscribed").await;
    socket.send(&watch_frame("w", &[&members[2]])).await;
    assert_eq!(socket.answer_to("w").await["code"], "rate_limited");
    socket.ask(&leave, "unsubscribed").await;
    assert_eq!(socket.ask(&leave, "error").await["code"], "not_subscribed");
    assert_eq!(watch(&mut socket, &[&members[2]]).await, [0]);
}

#[tokio::test]
async fn a_member_far_behind_is_counted_exactly() {
    let builder = System::builder().gateways(2).env("gateway", "FRAMES_PER_SECOND", "10000").env(
        "gateway",
        "MEMBER_MESSAGES_PER_SECOND",
        "0",
    );
    let system = builder.start().await;
    let channel = system.channel().await;
    let agent = Member::join(system.gateway(), &channel, "agent").await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let mut seqs = Vec::new();
    // More than a room remembers.
    for number in 0..400 {
        seqs.push(at_ann.say(&channel, &number.to_string()).await["seq"].clone());
    }
    let mut at_agent = Socket::connect(&system.gateways[1]).await;
    assert_eq!(watch(&mut at_agent, &[&agent]).await, [400]);
    at_ann.say(&channel, "another").await;
    expect_unread(&mut at_agent, &channel, 401).await;
    let (mut other_device, subscribed) = agent.enter(system.gateway()).await;
    assert_eq!(subscribed["unread"], 401);
    read(&mut other_device, &channel, &seqs[99]).await;
    expect_unread(&mut at_agent, &channel, 301).await;
    read(&mut other_device, &channel, &seqs[9]).await;
    at_ann.say(&channel, "and another").await;
    expect_unread(&mut at_agent, &channel, 302).await;
    read(&mut other_device, &channel, &seqs[398]).await;
    expect_unread(&mut at_agent, &channel, 3).await;
}

#[tokio::test]
async fn reads_in_a_row_move_the_position_to_the_last_and_tell_all_devices() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let (mut other_device, _) = ben.enter(&system.gateways[0]).await;
    let mut seqs = Vec::new();
    for number in 0..40 {
        seqs.push(at_ann.say(&channel, &number.to_string()).await["seq"].clone());
    }
    assert_eq!(
        at_ben.expect_where("the last", |frame| frame["text"] == "39").await["seq"],
        seqs[39]
    );
    for seq in &seqs {
        read(&mut at_ben, &channel, seq).await;
    }
    for socket in [&mut at_ann, &mut at_ben, &mut other_device] {
        let is_last = |frame: &Value| frame["type"] == "read" && frame["seq"] == seqs[39];
        assert_eq!(socket.expect_where("the last position", is_last).await["uid"], "ben");
        let reads = socket.kept().iter().filter(|frame| frame["type"] == "read").count();
        assert!(reads < 20, "{reads} reads were told one by one");
    }
    let unread = format!("/v1/admin/channels/{channel}/members/ben");
    assert_eq!(system.admin().get(&unread).await.expect(200).body["unread"], 0);
    // Nobody reads what is still to come.
    read(&mut at_ben, &channel, &json!(u64::MAX)).await;
    at_ann.say(&channel, "new").await;
    until("the new one is unread", async || {
        let answer = system.admin().get(&unread).await.expect(200);
        (answer.body["unread"] == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn counts_stay_exact_through_restarts_and_a_flushed_redis() {
    let builder = System::builder().gateways(2).servers(Servers::new());
    let mut system = builder.start().await;
    let channel = system.channel().await;
    let agent = Member::join(system.gateway(), &channel, "agent").await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let mut at_agent = Socket::connect(&system.gateways[0]).await;
    let (mut other_device, _) = agent.enter(&system.gateways[1]).await;
    assert_eq!(watch(&mut at_agent, &[&agent]).await, [0]);
    let mut last = at_ann.say(&channel, "1").await;
    at_ann.say(&channel, "2").await;
    expect_unread(&mut at_agent, &channel, 2).await;

    system.ingest_history.kill();
    at_ann.say(&channel, "3").await;
    expect_unread(&mut at_agent, &channel, 3).await;
    // A position that cannot be stored now is stored later.
    read(&mut other_device, &channel, &last["seq"]).await;
    system.ingest_history.start().await;
    expect_unread(&mut at_agent, &channel, 2).await;

    system.servers().redis.flush().await;
    let mut newcomer = Socket::connect(&system.gateways[1]).await;
    assert_eq!(watch(&mut newcomer, &[&agent]).await, [2]);
    last = at_ann.say(&channel, "4").await;
    expect_unread(&mut at_agent, &channel, 3).await;
    expect_unread(&mut newcomer, &channel, 3).await;

    system.own_servers().nats.stop().await;
    system.own_servers().nats.start().await;
    system.ready().await;
    read(&mut other_device, &channel, &last["seq"]).await;
    expect_unread(&mut at_agent, &channel, 0).await;
    expect_unread(&mut newcomer, &channel, 0).await;

    system.gateways[0].kill();
    system.gateways[0].start().await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    at_ann.say(&channel, "5").await;
    expect_unread(&mut newcomer, &channel, 1).await;
    let mut at_agent = Socket::connect(&system.gateways[0]).await;
    assert_eq!(watch(&mut at_agent, &[&agent]).await, [1]);
}

#[tokio::test]
async fn counts_do_not_drift_under_a_storm_of_messages_and_reads() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let agent = Member::join(system.gateway(), &channel, "agent").await;
    let mut at_agent = Socket::connect(&system.gateways[0]).await;
    watch(&mut at_agent, &[&agent]).await;
    let (mut other_device, _) = agent.enter(&system.gateways[1]).await;
    let mut talkers = Vec::new();
    for (index, uid) in ["ann", "ben"].into_iter().enumerate() {
        let member = Member::join(system.gateway(), &channel, uid).await;
        talkers.push(member.enter(&system.gateways[index]).await.0);
    }
    let mut last_read = Value::Null;
    for round in 0..60 {
        for (index, talker) in talkers.iter_mut().enumerate() {
            let id = format!("{round}-{index}");
            talker.send(&json!({"type": "send", "id": id, "channel": channel, "text": id})).await;
        }
        let own =
            json!({"type": "send", "id": round.to_string(), "channel": channel, "text": "own"});
        other_device.send(&own).await;
        // Reads run after the messages, now near and now far behind.
        if round % 3 == 2 {
            let seen = other_device.expect("message").await;
            read(&mut other_device, &channel, &seen["seq"]).await;
            last_read = seen["seq"].clone();
        }
    }
    // Until it is stored, the count is that of before.
    let is_last = |frame: &Value| frame["type"] == "read" && frame["seq"] == last_read;
    other_device.expect_where("the last read", is_last).await;
    for (index, talker) in talkers.iter_mut().enumerate() {
        talker.answer_to(&format!("59-{index}")).await;
    }
    other_device.answer_to("59").await;
    let path = format!("/v1/admin/channels/{channel}/members/agent");
    let subscribed = other_device.subscribe(&agent).await;
    let truth = subscribed["unread"].as_u64().unwrap();
    assert!(truth > 80, "{truth}");
    until("history agrees", async || {
        let answer = system.admin().get(&path).await.expect(200);
        (answer.body["unread"] == truth).then_some(())
    })
    .await;
    let told = |socket: &Socket| -> Vec<Value> {
        socket.kept().into_iter().filter(|frame| frame["type"] == "unread").collect()
    };
    until("the last count that was told is the truth", async || {
        at_agent.ping().await;
        (told(&at_agent).last()?["count"] == truth).then_some(())
    })
    .await;
    let told = told(&at_agent).len();
    assert!(told < 60, "{told} counts were told one by one");
}

#[tokio::test]
async fn a_member_who_is_removed_while_a_watch_begins_is_told_no_counts() {
    let system = System::builder().gateways(2).start().await;
    let (channel, admin) = (system.channel().await, system.admin());
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ben, _) = ben.enter(&system.gateways[0]).await;
    let authorized = async || {
        let metrics = Metrics::of(&system.chat_admin).await;
        metrics.sum("goch_requests_total", "endpoint=\"authorize\"")
    };
    let before = authorized().await;

    // A room opens with a look into the log: until that is answered, ann is let in and has no seat.
    system.broker_bridge.pause();
    let mut at_ann = Socket::connect(&system.gateways[1]).await;
    at_ann.send(&watch_frame("w", &[&ann])).await;
    until("ann is let in", async || (authorized().await > before).then_some(())).await;
    let path = format!("/v1/admin/channels/{channel}/members/ann");
    admin.send(admin.request(Method::DELETE, &path)).await.expect(204);
    system.broker_bridge.resume();

    let answer = at_ann.answer_to("w").await;
    assert_eq!(answer["code"], "unauthorized", "{answer}");
    at_ben.say(&channel, "we are alone").await;
    at_ann.ping().await;
    let told = at_ann.kept().into_iter().find(|frame| frame["type"] == "unread");
    assert_eq!(told, None);
}
