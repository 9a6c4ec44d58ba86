//! Members who are far behind: counted exactly, and the log is read once for all of them.

use goch_tests::{Member, Metrics, Servers, Socket, System, until};
use reqwest::Method;
use serde_json::{Value, json};

/// A system in which Redis holds a channel's last few events only.
async fn system() -> System {
    let builder = System::builder()
        .gateways(2)
        .servers(Servers::new())
        .env("gateway", "FRAMES_PER_SECOND", "10000")
        .env("gateway", "MEMBER_MESSAGES_PER_SECOND", "0")
        .env("ingest-history", "HISTORY_WINDOW", "10");
    builder.start().await
}

/// Says so many messages; their sequences.
async fn talk(socket: &mut Socket, channel: &str, messages: usize) -> Vec<Value> {
    let mut seqs = Vec::new();
    for number in 0..messages {
        seqs.push(socket.say(channel, &number.to_string()).await["seq"].clone());
    }
    seqs
}

async fn unread(system: &System, member: &Member) -> u64 {
    let path = format!("/v1/admin/channels/{}/members/{}", member.channel, member.uid);
    system.admin().get(&path).await.expect(200).body["unread"].as_u64().unwrap_or_default()
}

/// How often the log has been counted in.
async fn passes(system: &System) -> u64 {
    Metrics::of(&system.broker_bridge).await.sum("goch_requests_total", "endpoint=\"count\"")
}

/// Waits until a member's unread messages are so many, without a look into the log.
async fn until_kept(system: &System, member: &Member, expected: u64) {
    until(&format!("{expected} unread, kept"), async || {
        let before = passes(system).await;
        let count = unread(system, member).await;
        (count == expected && passes(system).await == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_log_is_counted_once_for_all_who_have_read_as_far() {
    let system = system().await;
    let channel = system.channel().await;
    let mut members = Vec::new();
    for number in 0..8 {
        members.push(Member::join(system.gateway(), &channel, &format!("member-{number}")).await);
    }
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let mut at_first = members[0].enter(system.gateway()).await.0;
    // One is by somebody who is counted for.
    at_first.say(&channel, "mine").await;
    let mut seqs = Vec::new();
    // More than a room remembers; a few more, which follow what is kept; more than Redis holds.
    for more in [199, 8, 8, 60, 8] {
        seqs.extend(talk(&mut at_ann, &channel, more).await);
        let expected =
            |member: &Member| (seqs.len() + usize::from(member.uid != members[0].uid)) as u64;
        until_kept(&system, &members[0], expected(&members[0])).await;
        let before = passes(&system).await;
        for member in &members {
            assert_eq!(unread(&system, member).await, expected(member), "{}", member.uid);
            for gateway in &system.gateways {
                let (_, subscribed) = member.enter(gateway).await;
                assert_eq!(subscribed["unread"], expected(member), "{}", member.uid);
            }
        }
        // None, unless the machine is so slow that Redis is taken to be behind.
        let passes = passes(&system).await - before;
        assert!(passes < members.len() as u64, "the log was looked into {passes} times");
    }
    // Who reads on is counted from there.
    let (mut second, _) = members[1].enter(system.gateway()).await;
    second.send(&json!({"type": "read", "channel": channel, "seq": seqs[99]})).await;
    until_kept(&system, &members[1], seqs.len() as u64 - 100).await;
    until_kept(&system, &members[2], seqs.len() as u64 + 1).await;
}

#[tokio::test]
async fn a_kept_count_goes_with_what_it_counted() {
    let system = system().await;
    let channel = system.channel().await;
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|uid| (uid, channel.clone()));
    let join =
        async |(uid, channel): (&str, String)| Member::join(system.gateway(), &channel, uid).await;
    let (ann, bob, eve) = (join(ann).await, join(bob).await, join(eve).await);
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_eve, _) = eve.enter(system.gateway()).await;
    talk(&mut at_eve, &channel, 50).await;
    let first = at_ann.say(&channel, "first").await["seq"].clone();
    talk(&mut at_ann, &channel, 159).await;
    until_kept(&system, &bob, 210).await;

    let rest = system.admin();
    let eve = format!("/v1/admin/channels/{channel}/guests/eve");
    rest.send(rest.request(Method::DELETE, &eve)).await.expect(204);
    assert_eq!(unread(&system, &bob).await, 160);
    until_kept(&system, &bob, 160).await;

    let message = format!("/v1/admin/channels/{channel}/messages/{first}");
    rest.send(rest.request(Method::DELETE, &message)).await.expect(204);
    assert_eq!(unread(&system, &bob).await, 159);
    until_kept(&system, &bob, 159).await;
    // One who comes to a gateway that has not had the channel before.
    let (_, subscribed) = bob.enter(&system.gateways[1]).await;
    assert_eq!(subscribed["unread"], 159);

    system.servers().redis.flush().await;
    assert_eq!(unread(&system, &bob).await, 159);
    until_kept(&system, &bob, 159).await;
}
