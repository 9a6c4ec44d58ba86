//! Who is online: across gateways and devices, and without ghosts.

use std::time::{Duration, Instant};

use goch_tests::{Builder, Member, Servers, Socket, System, until};
use serde_json::{Value, json};

const TTL: Duration = Duration::from_secs(4);
const GRACE: Duration = Duration::from_secs(1);

/// Two gateways that are quick to see who has gone.
fn two_gateways() -> Builder {
    System::builder()
        .gateways(2)
        .env("gateway", "PRESENCE_TTL_SECONDS", &TTL.as_secs().to_string())
        .env("gateway", "PRESENCE_GRACE_SECONDS", &GRACE.as_secs().to_string())
}

async fn expect_presence(socket: &mut Socket, uid: &str, online: bool) {
    let frame = socket.expect("presence").await;
    assert_eq!((&frame["uid"], &frame["online"]), (&json!(uid), &json!(online)), "{frame}");
}

fn presences(socket: &Socket) -> Vec<Value> {
    socket.kept().into_iter().filter(|frame| frame["type"] == "presence").collect()
}

/// Members who are online, as answers have them.
fn guests(uids: &[&str]) -> Value {
    uids.iter().map(|uid| json!({"uid": uid, "role": "guest"})).collect()
}

/// Subscribes again, which tells who is online, until that is the expected.
async fn until_online(socket: &mut Socket, member: &Member, expected: &Value) {
    until(&format!("{expected} are online"), async || {
        let subscribed = socket.subscribe(member).await;
        (subscribed["online"] == *expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_member_is_online_until_the_last_device_at_any_gateway_has_gone() {
    let system = two_gateways().start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, subscribed) = ann.enter(&system.gateways[0]).await;
    assert_eq!(subscribed["online"], json!([]));

    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    expect_presence(&mut at_ann, "ben", true).await;
    // Whoever comes to a gateway that has just opened the channel is told soon.
    until_online(&mut at_ben, &ben, &guests(&["ann"])).await;

    let (second_device, _) = ben.enter(&system.gateways[0]).await;
    drop(at_ben);
    // Nothing is told for longer than a member counts as online after the last device.
    tokio::time::sleep(GRACE * 3).await;
    at_ann.ping().await;
    assert_eq!(presences(&at_ann), Vec::<Value>::new());
    drop(second_device);
    expect_presence(&mut at_ann, "ben", false).await;
    until_online(&mut at_ann, &ann, &json!([])).await;
}

#[tokio::test]
async fn a_killed_gateways_members_go_offline_in_time() {
    let mut system = two_gateways().start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (_at_ben, _) = ben.enter(&system.gateways[1]).await;
    expect_presence(&mut at_ann, "ben", true).await;
    // Reports are renewed: a gateway that lives keeps its members online.
    tokio::time::sleep(TTL * 2).await;
    at_ann.ping().await;
    assert_eq!(presences(&at_ann), Vec::<Value>::new());

    system.gateways[1].kill();
    let killed = Instant::now();
    expect_presence(&mut at_ann, "ben", false).await;
    assert!(killed.elapsed() < TTL + Duration::from_secs(3), "after {:?}", killed.elapsed());
    // Ticketing does not even wait for that.
    let path = format!("/v1/admin/channels/{channel}/presence");
    assert_eq!(system.admin().get(&path).await.expect(200).body["online"], guests(&["ann"]));
}

#[tokio::test]
async fn a_reconnect_does_not_flicker_even_if_the_gateway_drains() {
    let mut system = two_gateways().env("gateway", "DRAIN_SPREAD_SECONDS", "4").start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (at_ben, _) = ben.enter(&system.gateways[1]).await;
    expect_presence(&mut at_ann, "ben", true).await;
    drop(at_ben);
    let (_at_ben, _) = ben.enter(&system.gateways[1]).await;
    system.gateways[1].stop().await;
    let (at_ben, _) = ben.enter(&system.gateways[0]).await;
    tokio::time::sleep(GRACE * 5).await;
    at_ann.ping().await;
    assert_eq!(presences(&at_ann), Vec::<Value>::new());
    drop(at_ben);
    expect_presence(&mut at_ann, "ben", false).await;
}

#[tokio::test]
async fn ticketing_can_ask_who_is_online() {
    let system = two_gateways().start().await;
    let channel = system.channel().await;
    let path = format!("/v1/admin/channels/{channel}/presence");
    let expected = json!({"channel": channel, "online": [], "more": false});
    assert_eq!(system.admin().get(&path).await.expect(200).body, expected);
    let mut sockets = Vec::new();
    for (index, uid) in ["ben", "ann", "cid"].into_iter().enumerate() {
        let member = Member::join(system.gateway(), &channel, uid).await;
        sockets.push(member.enter(&system.gateways[index % 2]).await);
    }
    let expected =
        json!({"channel": channel, "online": guests(&["ann", "ben", "cid"]), "more": false});
    assert_eq!(system.admin().get(&path).await.expect(200).body, expected);
    drop(sockets);
    until("nobody is online", async || {
        let answer = system.admin().get(&path).await.expect(200);
        (answer.body["online"] == json!([])).then_some(())
    })
    .await;
    let unknown = system.admin().get("/v1/admin/channels/nowhere/presence").await;
    unknown.expect_problem(404, "not_found", Some("name"));
}

#[tokio::test]
async fn a_crowd_is_told_nothing_until_it_dissolves() {
    let system = two_gateways().env("gateway", "PRESENCE_MAX", "4").start().await;
    let channel = system.channel().await;
    let mut sockets = Vec::new();
    for number in 0..6 {
        let member = Member::join(system.gateway(), &channel, &format!("m{number}")).await;
        let (socket, _) = member.enter(&system.gateways[number % 2]).await;
        sockets.push((member, socket));
    }
    let (first, mut at_first) = sockets.remove(0);
    until("a crowd", async || {
        let subscribed = at_first.subscribe(&first).await;
        subscribed.get("online").is_none().then_some(())
    })
    .await;
    let typing = json!({"type": "typing", "channel": channel});
    let (_, at_last) = sockets.last_mut().unwrap();
    at_last.send(&typing).await;
    at_last.say(&channel, "Hello").await;
    assert_eq!(at_first.expect_text().await, "Hello");
    assert!(at_first.kept().iter().all(|frame| frame["type"] != "typing"));
    sockets.truncate(1);
    let left = guests(&[&sockets[0].0.uid]);
    until_online(&mut at_first, &first, &left).await;
}

#[tokio::test]
async fn presence_needs_no_more_rights_than_the_services_have() {
    let mut servers = Servers::new();
    servers.nats.with_users();
    let builder = System::builder().gateways(2).servers(servers).prefix("goch");
    let system = builder.start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (_at_ben, _) = ben.enter(&system.gateways[1]).await;
    expect_presence(&mut at_ann, "ben", true).await;
    let path = format!("/v1/admin/channels/{channel}/presence");
    for _ in 0..3 {
        let answer = system.admin().get(&path).await.expect(200);
        assert_eq!(answer.body["online"], guests(&["ann", "ben"]));
    }
}
