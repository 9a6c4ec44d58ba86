//! What ends: channels are closed and deleted, members removed and banned, people forgotten.

use goch_tests::{
    Answer, Member, Metrics, Rest, Servers, Socket, System, events, members_path, texts, unique,
    until,
};
use reqwest::Method;
use serde_json::{Value, json};

async fn call(rest: &Rest, method: Method, path: &str) -> Answer {
    rest.send(rest.request(method, path)).await
}

async fn delete(rest: &Rest, path: &str) -> Answer {
    call(rest, Method::DELETE, path).await
}

async fn post(rest: &Rest, path: &str) -> Answer {
    call(rest, Method::POST, path).await
}

/// A system in which nothing that is deleted leaves a marker for long.
async fn system() -> System {
    System::builder().gateways(2).env("chat-admin", "DELETE_MARKERS_SECONDS", "5").start().await
}

fn send(channel: &str, text: &str) -> Value {
    json!({"type": "send", "id": unique("m"), "channel": channel, "text": text})
}

/// How many members ticketing is told of.
async fn member_count(admin: &Rest, channel: &str) -> Value {
    let path = format!("/v1/admin/channels/{channel}");
    admin.get(&path).await.expect(200).body["member_count"].clone()
}

#[tokio::test]
async fn who_is_banned_or_was_removed_or_only_posted_is_not_counted_as_a_member() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let (admin, channel) = (system.admin(), system.channel().await);
    let base = format!("/v1/admin/channels/{channel}");
    let body = json!({"text": "Hello", "from_uid": "agent-7"});
    admin.post(&format!("{base}/messages"), &body).await.expect(201);
    call(&admin, Method::PUT, &format!("{base}/bans/mallory")).await.expect(200);
    assert_eq!(member_count(&admin, &channel).await, 0);
    for uid in ["ann", "ben", "cid"] {
        Member::join(system.gateway(), &channel, uid).await;
    }
    assert_eq!(member_count(&admin, &channel).await, 3);
    call(&admin, Method::PUT, &format!("{base}/bans/ann")).await.expect(200);
    delete(&admin, &format!("{base}/members/ben")).await.expect(204);
    assert_eq!(member_count(&admin, &channel).await, 1);
    // Whoever is let in again, or comes back, is one.
    delete(&admin, &format!("{base}/bans/ann")).await.expect(204);
    for uid in ["ann", "ben"] {
        Member::join(system.gateway(), &channel, uid).await;
    }
    assert_eq!(member_count(&admin, &channel).await, 3);
    system.own_servers().redis.flush().await;
    until("the copy is made again", async || {
        assert_eq!(member_count(&admin, &channel).await, 3);
        let whole = Metrics::of(&system.chat_admin).await.sum("goch_projection_builds_total", "");
        (whole > 1).then_some(())
    })
    .await;
    assert_eq!(member_count(&admin, &channel).await, 3);
    system.own_servers().redis.stop().await;
    assert_eq!(member_count(&admin, &channel).await, 3);
}

#[tokio::test]
async fn a_closed_channel_takes_no_message_from_anybody_until_it_is_reopened() {
    let system = System::shared().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(&system.gateways[1]).await;
    socket.say(&channel, "before").await;

    let path = format!("/v1/admin/channels/{channel}");
    let closed = post(&admin, &format!("{path}/close")).await.expect(200).body;
    assert!(closed["closed_at"].is_u64(), "{closed}");
    let event = socket.expect("closed").await;
    assert_eq!(event["channel"], channel.as_str());
    assert_eq!(event["time"], closed["closed_at"]);
    assert!(event["seq"].as_u64() > event["prev"].as_u64());

    socket.send(&send(&channel, "after")).await;
    socket.expect_error("channel_closed", Some("channel")).await;
    let message = json!({"text": "from the system"});
    let posted = admin.post(&format!("{path}/messages"), &message).await;
    posted.expect_problem(409, "channel_closed", None);

    // Closing again changes nothing, and says so to nobody.
    let again = post(&admin, &format!("{path}/close")).await.expect(200).body;
    assert_eq!(again["closed_at"], closed["closed_at"]);

    // Whoever comes now may read, and is refused too.
    let (mut late, page) = ann.enter(system.gateway()).await;
    assert_eq!(texts(&page), ["before"]);
    late.send(&send(&channel, "late")).await;
    late.expect_error("channel_closed", Some("channel")).await;

    let reopened = post(&admin, &format!("{path}/reopen")).await.expect(200).body;
    assert_eq!(reopened["closed_at"], Value::Null);
    socket.expect("reopened").await;
    socket.say(&channel, "again").await;
    late.expect("reopened").await;
    late.say(&channel, "me too").await;

    // The second time is an event of its own.
    post(&admin, &format!("{path}/close")).await.expect(200);
    socket.expect("closed").await;
    until("history has it", async || {
        let page = admin.get(&format!("{path}/messages")).await.expect(200).body;
        let kinds = page["messages"].as_array().unwrap().iter().map(|event| &event["type"]);
        let turns = kinds.filter(|kind| *kind == "closed" || *kind == "reopened").count();
        (turns == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_removed_member_leaves_every_gateway_at_once_and_may_come_back() {
    let system = System::shared().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut one, _) = ann.enter(&system.gateways[0]).await;
    let (mut other, _) = ann.enter(&system.gateways[1]).await;
    let (mut bens, _) = ben.enter(&system.gateways[1]).await;

    let path = format!("/v1/admin/channels/{channel}/members/ann");
    delete(&admin, &path).await.expect(204);
    for socket in [&mut one, &mut other] {
        assert_eq!(socket.expect("left").await["uid"], "ann");
        assert_eq!(socket.expect_close().await, 4001);
    }
    assert_eq!(bens.expect("left").await["uid"], "ann");
    bens.say(&channel, "we are alone").await;

    // The old secret opens nothing, however fresh the gateway's memory of it is.
    for gateway in &system.gateways {
        let mut socket = Socket::connect(gateway).await;
        socket.send(&ann.subscribe_frame()).await;
        socket.expect_error("unauthorized", None).await;
    }
    delete(&admin, &path).await.expect_problem(404, "not_found", Some("uid"));
    let members =
        admin.get(&format!("/v1/admin/channels/{channel}/members")).await.expect(200).body;
    assert_eq!(members["members"].as_array().unwrap().len(), 1, "{members}");

    let ann = Member::join(system.gateway(), &channel, "ann").await;
    assert_eq!(bens.expect("joined").await["uid"], "ann");
    let (mut again, page) = ann.enter(system.gateway()).await;
    assert_eq!(texts(&page), ["we are alone"]);
    again.say(&channel, "I am back").await;
}

#[tokio::test]
async fn a_banned_person_cannot_join_until_the_ban_is_lifted() {
    let system = System::shared().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;

    let path = format!("/v1/admin/channels/{channel}/bans");
    let ban = call(&admin, Method::PUT, &format!("{path}/ann")).await.expect(200).body;
    assert_eq!(socket.expect("left").await["uid"], "ann");
    assert_eq!(socket.expect_close().await, 4001);
    // Somebody who never was a member, too; and twice is once.
    call(&admin, Method::PUT, &format!("{path}/mallory")).await.expect(200);
    let again = call(&admin, Method::PUT, &format!("{path}/ann")).await.expect(200).body;
    assert_eq!(again, ban);
    let bans = admin.get(&path).await.expect(200).body;
    let uids: Vec<_> = bans["bans"].as_array().unwrap().iter().map(|ban| &ban["uid"]).collect();
    assert_eq!(uids, ["ann", "mallory"]);

    for uid in ["ann", "mallory"] {
        let body = json!({"uid": uid, "display_name": "x", "email": "x@x.org",
                          "secret": ann.secret});
        let refused = system.gateways[1].rest().post(&members_path(&channel), &body).await;
        refused.expect_problem(403, "forbidden", Some("uid"));
    }
    delete(&admin, &format!("{path}/ann")).await.expect(204);
    delete(&admin, &format!("{path}/ann")).await.expect_problem(404, "not_found", Some("uid"));
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    ann.enter(system.gateway()).await;
}

#[tokio::test]
async fn of_a_deleted_channel_nothing_is_left_and_its_name_is_free() {
    let system = system().await;
    let admin = system.admin();
    let channel = unique("ticket-to-be-deleted");
    system.create_channel(&channel, false).await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    call(&admin, Method::PUT, &format!("/v1/admin/channels/{channel}/bans/mallory"))
        .await
        .expect(200);
    let (mut anns, _) = ann.enter(&system.gateways[0]).await;
    let (mut bens, _) = ben.enter(&system.gateways[1]).await;
    let mut last = Value::Null;
    for number in 0..20 {
        last = anns.say(&channel, &format!("message {number}")).await;
    }
    bens.send(&json!({"type": "read", "channel": channel, "seq": last["seq"]})).await;
    anns.expect("read").await;
    // Read once, so that Redis is filled.
    admin.get(&format!("/v1/admin/channels/{channel}/messages")).await.expect(200);
    assert!(!system.servers().traces_of(&channel).await.is_empty());

    let path = format!("/v1/admin/channels/{channel}");
    delete(&admin, &path).await.expect(204);
    assert_eq!(anns.expect_close().await, 4001);
    assert_eq!(bens.expect_close().await, 4001);
    admin.get(&path).await.expect_problem(404, "not_found", Some("name"));
    delete(&admin, &path).await.expect(204);
    let mut socket = Socket::connect(system.gateway()).await;
    socket.send(&ann.subscribe_frame()).await;
    socket.expect_error("unauthorized", None).await;
    system.servers().until_without_trace(&channel).await;

    // The new channel knows nothing of the old one.
    system.create_channel(&channel, false).await;
    let cem = Member::join(system.gateway(), &channel, "mallory").await;
    let (mut cems, page) = cem.enter(system.gateway()).await;
    assert_eq!(texts(&page), [""; 0]);
    cems.say(&channel, "a new beginning").await;
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_is_finished_and_keeps_the_name_until_then() {
    let mut system = system().await;
    let channel = unique("ticket-half-deleted");
    system.create_channel(&channel, false).await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    socket.say(&channel, "soon gone").await;

    // Without broker-bridge nobody can empty the log.
    system.broker_bridge.stop().await;
    let path = format!("/v1/admin/channels/{channel}");
    delete(&system.admin(), &path).await.expect(202);
    assert_eq!(socket.expect_close().await, 4001);
    system.chat_admin.kill();
    system.chat_admin.start().await;
    let admin = system.admin();
    admin.get(&path).await.expect_problem(404, "not_found", Some("name"));
    let taken = admin.post("/v1/admin/channels", &json!({"name": channel})).await;
    taken.expect_problem(409, "being_deleted", Some("name"));

    system.broker_bridge.start().await;
    until("the name is free", async || {
        let created = admin.post("/v1/admin/channels", &json!({"name": channel})).await;
        (created.status == 201).then_some(())
    })
    .await;
    let messages = admin.get(&format!("{path}/messages")).await.expect(200).body;
    let kinds: Vec<_> = events(&messages).iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["created"]);
}

#[tokio::test]
async fn of_an_erased_person_nothing_is_left_and_others_keep_theirs() {
    let system = system().await;
    let admin = system.admin();
    let uid = unique("person-to-be-erased");
    let channels = [system.channel().await, system.channel().await];
    let ben = Member::join(system.gateway(), &channels[0], "ben").await;
    let (mut bens, _) = ben.enter(system.gateway()).await;
    bens.say(&channels[0], "I stay").await;
    let mut sockets = Vec::new();
    for channel in &channels {
        let member = Member::put_in(&admin, channel, &uid).await;
        let (mut socket, _) = member.enter(&system.gateways[1]).await;
        let said = socket.say(channel, "my secret").await;
        socket.send(&json!({"type": "read", "channel": channel, "seq": said["seq"]})).await;
        socket.ping().await;
        admin.get(&format!("/v1/admin/channels/{channel}/messages")).await.expect(200);
        sockets.push(socket);
    }
    // An agent's answer in a channel whose member the agent never was.
    let third = system.channel().await;
    let body = json!({"text": "from outside", "from_uid": uid});
    admin.post(&format!("/v1/admin/channels/{third}/messages"), &body).await.expect(201);

    let person = format!("/v1/admin/accounts/{uid}");
    let export = admin.get(&format!("{person}/export")).await.expect(200).body;
    assert_eq!(export["memberships"].as_array().unwrap().len(), 2, "{export}");
    assert_eq!(export["memberships"][0]["email"], format!("{uid}@example.org"));
    let events = export["events"].as_array().unwrap();
    let said: Vec<_> = events.iter().filter_map(|event| event["text"].as_str()).collect();
    assert_eq!(said, ["my secret", "my secret", "from outside"], "{export}");
    assert_eq!(events.len(), 5, "two comings, three messages: {export}");

    delete(&admin, &person).await.expect(204);
    for socket in &mut sockets {
        assert_eq!(socket.expect_close().await, 4001);
    }
    system.servers().until_without_trace(&uid).await;
    let export = admin.get(&format!("{person}/export")).await.expect(200).body;
    let nothing = json!({"uid": uid, "suspended_at": null, "memberships": [],
                         "more_memberships": false, "events": []});
    assert_eq!(export, nothing);

    let path = format!("/v1/admin/channels/{}/messages", channels[0]);
    let page = admin.get(&path).await.expect(200).body;
    assert_eq!(texts(&page), ["I stay"]);
    bens.say(&channels[0], "and go on").await;
}

#[tokio::test]
async fn a_transcript_has_everything_however_long_the_channel_is() {
    let system = System::shared().await;
    let admin = system.admin();
    let channel = system.channel().await;
    Member::join(system.gateway(), &channel, "ann").await;
    let path = format!("/v1/admin/channels/{channel}");
    for number in 0..620 {
        let body = json!({"text": format!("line {number}\nand more"), "from_name": "Bea"});
        admin.post(&format!("{path}/messages"), &body).await.expect(201);
    }
    post(&admin, &format!("{path}/close")).await.expect(200);

    let json = admin.get(&format!("{path}/transcript")).await.expect(200);
    assert_eq!(json.content_type, "application/json");
    assert_eq!(json.body["channel"], channel.as_str());
    assert_eq!(json.body["members"][0]["uid"], "ann");
    let events = json.body["events"].as_array().unwrap();
    assert_eq!(events.len(), 623);
    assert!(events.iter().is_sorted_by_key(|event| event["seq"].as_u64()));

    let request = admin.request(Method::GET, &format!("{path}/transcript"));
    let text = admin.send(request.header("accept", "text/plain")).await.expect(200);
    assert_eq!(text.content_type, "text/plain");
    let lines: Vec<_> = text.text.lines().collect();
    assert!(lines[0].starts_with(&format!("Channel {channel}, created ")), "{}", lines[0]);
    assert!(lines[2].ends_with("* the channel was created"), "{}", lines[2]);
    assert!(lines[3].ends_with("* ANN (ann, guest) joined"), "{}", lines[3]);
    assert!(lines[4].ends_with("Bea (system, system): line 0"), "{}", lines[4]);
    assert_eq!(lines[5], "    and more");
    assert!(lines.last().unwrap().ends_with("* the channel was closed"));
    let same = admin.get(&format!("{path}/transcript?format=text")).await.expect(200);
    assert_eq!(same.text, text.text);
    admin.get(&format!("{path}/transcript?format=pdf")).await.expect_problem(
        400,
        "bad_request",
        Some("format"),
    );
}
