//! What was said is kept, whatever ends, stops or forgets in the meantime.

use goch_tests::{Member, Metrics, Proxy, Servers, Service, System, events, numbers, texts, until};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_said_while_history_is_away_is_there_when_it_is_back() {
    let mut system = System::builder().start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    socket.say(&channel, "before").await;

    assert!(system.ingest_history.stop().await.success());
    socket.say(&channel, "meanwhile").await;
    // Nothing is hidden until then: pages come from the log, and what cannot be told is left out.
    let path = format!("/v1/admin/channels/{channel}/messages");
    let page = system.admin().get(&path).await.expect(200).body;
    assert_eq!(texts(&page), ["before", "meanwhile"]);
    let (_, subscribed) = ann.enter(system.gateway()).await;
    assert_eq!(texts(&subscribed), ["before", "meanwhile"]);
    let shown = system.admin().get(&format!("/v1/admin/channels/{channel}")).await.expect(200).body;
    assert_eq!(shown.get("last_message"), None);

    system.ingest_history.start().await;
    until("history has caught up", async || {
        let channel = format!("/v1/admin/channels/{channel}");
        let shown = system.admin().get(&channel).await.expect(200).body;
        (shown["last_message"]["text"] == "meanwhile").then_some(())
    })
    .await;
    assert_eq!(texts(&system.admin().get(&path).await.body), ["before", "meanwhile"]);
    let count = system.admin().get(&format!("/v1/admin/channels/{channel}/members/ann")).await;
    assert_eq!(count.expect(200).body["unread"], 0);
}

#[tokio::test]
async fn pages_reach_further_back_than_the_history_that_redis_holds() {
    let system = System::builder()
        .env("ingest-history", "HISTORY_WINDOW", "10")
        .env("gateway", "FRAMES_PER_SECOND", "10000")
        .start()
        .await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    for number in 0..200 {
        let id = number.to_string();
        socket.send(&json!({"type": "send", "id": id, "channel": channel, "text": id})).await;
    }
    socket.answer_to("199").await;
    let expected: Vec<u64> = (0..200).collect();
    for limit in [7, 500] {
        let events = socket.whole_history(&channel, limit).await;
        assert_eq!(numbers(&events), expected);
        for pair in events.windows(2) {
            assert_eq!(pair[1]["prev"], pair[0]["seq"]);
        }
    }
    let path = format!("/v1/admin/channels/{channel}/messages?limit=500");
    let page = system.admin().get(&path).await.expect(200).body;
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(202));
    let (_, subscribed) = ann.enter_with(system.gateway(), &json!({"limit": 500})).await;
    assert_eq!(subscribed["messages"], page["messages"]);
}

#[tokio::test]
async fn an_emptied_redis_fills_again_to_the_same_content() {
    let system = System::builder().servers(Servers::new()).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_ben, _) = ben.enter(system.gateway()).await;
    let mut seqs = Vec::new();
    for number in 0..20 {
        seqs.push(at_ann.say(&channel, &number.to_string()).await["seq"].clone());
    }
    at_ben.send(&json!({"type": "read", "channel": channel, "seq": seqs[11]})).await;
    at_ben.ping().await;

    let base = format!("/v1/admin/channels/{channel}");
    let paths = [
        "/v1/admin/channels".to_owned(),
        base.clone(),
        format!("{base}/members"),
        format!("{base}/messages"),
        format!("{base}/members/ann"),
        format!("{base}/members/ben"),
    ];
    let admin = system.admin();
    let look = async || {
        let mut seen = Vec::new();
        for path in &paths {
            let answer = admin.get(path).await;
            seen.push((answer.status, answer.body));
        }
        seen
    };
    let before = until("all of it is in Redis", async || {
        let seen = look().await;
        let is_whole = seen[1].1["last_message"]["text"] == "19"
            && seen[0].1["channels"][0] == seen[1].1
            && seen[5].1["unread"] == 8;
        is_whole.then_some(seen)
    })
    .await;

    system.servers().redis.flush().await;
    until("all of it is in Redis again", async || (look().await == before).then_some(())).await;
    // And it goes on.
    at_ann.say(&channel, "20").await;
    until("unread messages are counted on", async || {
        let count = admin.get(&paths[5]).await.body["unread"].clone();
        (count == 9).then_some(())
    })
    .await;
}

/// A service's counter, with those of its labels that begin with `labels`.
async fn counted(service: &Service, name: &str, labels: &str) -> u64 {
    Metrics::of(service).await.sum(name, labels)
}

/// A channel that Redis knows, in which ann talks and ben has read nothing.
struct Talk {
    channel: String,
    ann: Member,
    ben: Member,
    said: u64,
}

impl Talk {
    async fn begin(system: &System) -> Self {
        let channel = system.channel().await;
        let ann = Member::join(system.gateway(), &channel, "ann").await;
        let ben = Member::join(system.gateway(), &channel, "ben").await;
        Self { channel, ann, ben, said: 0 }
    }

    /// Has Redis refuse writes, and ann talk until `holder` has in hand what Redis does not take.
    async fn go_on_until_held(&mut self, system: &System, holder: &Service) {
        let failures = async || counted(holder, "goch_history_write_failures_total", "").await;
        let before = failures().await;
        let (mut socket, _) = self.ann.enter(system.gateway()).await;
        system.servers().redis.refuse_writes().await;
        until("Redis does not take events", async || {
            // One after the other, so that each replica gets some.
            for _ in 0..3 {
                socket.say(&self.channel, &self.said.to_string()).await;
                self.said += 1;
            }
            (failures().await > before).then_some(())
        })
        .await;
    }

    /// Ticketing and ben are told of everything, from the log and, once `answering` has it, from Redis.
    async fn is_told_whole(&self, system: &System, answering: &Service) {
        let base = format!("/v1/admin/channels/{}", self.channel);
        let expected: Vec<u64> = (0..self.said).collect();
        let from_redis = async |name: &str| counted(answering, name, r#"source="redis""#).await;
        let before = (
            from_redis("goch_history_pages_total").await,
            from_redis("goch_history_unread_counts_total").await,
        );
        until("Redis has it", async || {
            let page = system.admin().get(&format!("{base}/messages?limit=500")).await.expect(200);
            assert_eq!(numbers(events(&page.body)), expected);
            let unread = system.admin().get(&format!("{base}/members/ben")).await.expect(200);
            assert_eq!(unread.body["unread"], self.said);
            let pages = from_redis("goch_history_pages_total").await;
            let counts = from_redis("goch_history_unread_counts_total").await;
            (pages > before.0 && counts > before.1).then_some(())
        })
        .await;
        let (mut socket, subscribed) = self.ben.enter(system.gateway()).await;
        assert_eq!(subscribed["unread"], self.said);
        assert_eq!(numbers(&socket.whole_history(&self.channel, 500).await), expected);
    }
}

#[tokio::test]
async fn what_history_had_in_hand_when_it_was_killed_is_in_redis_in_the_end() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let mut talk = Talk::begin(&system).await;
    talk.is_told_whole(&system, &system.ingest_history).await;
    talk.go_on_until_held(&system, &system.ingest_history).await;
    system.ingest_history.kill();
    system.servers().redis.take_writes().await;
    system.ingest_history.start().await;
    talk.is_told_whole(&system, &system.ingest_history).await;
}

#[tokio::test]
async fn what_a_killed_replica_of_history_had_in_hand_is_written_by_the_other() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = system.ingest_history.replica("ingest-history-2", folder.path());
    other.start().await;
    let mut talk = Talk::begin(&system).await;
    // Whichever is asked.
    for one in [&system.ingest_history, &other] {
        talk.is_told_whole(&system, one).await;
    }
    talk.go_on_until_held(&system, &system.ingest_history).await;
    system.ingest_history.kill();
    system.servers().redis.take_writes().await;
    talk.is_told_whole(&system, &other).await;
}

#[tokio::test]
async fn history_goes_on_when_it_is_not_told_that_a_pull_brings_no_more() {
    let mut system = System::builder().build().await;
    let targets = system.servers().nats_addresses();
    let proxy = Proxy::before(&mut system.ingest_history, &targets).await;
    system.spawn();
    system.ready().await;
    let mut talk = Talk::begin(&system).await;
    let (mut socket, _) = talk.ann.enter(system.gateway()).await;
    proxy.lose_ends_of_pulls(true);
    for _ in 0..3 {
        socket.say(&talk.channel, &talk.said.to_string()).await;
        talk.said += 1;
        let before = proxy.lost();
        until("an end is lost", async || (proxy.lost() > before).then_some(())).await;
    }
    proxy.lose_ends_of_pulls(false);
    talk.is_told_whole(&system, &system.ingest_history).await;
}

#[tokio::test]
async fn a_member_who_reconnects_sees_what_was_said_meanwhile() {
    let mut system = System::builder().gateways(2).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[1]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[0]).await;
    at_ann.say(&channel, "0").await;
    let mut seen = vec![at_ben.expect("message").await];

    // First from the memory of the gateway that was left, then from one that remembers nothing,
    // then from the other one, in pages.
    for (round, gateway, is_restarted) in [(0, 0, false), (1, 0, true), (2, 1, false)] {
        drop(at_ben);
        let after = seen.last().expect("a message")["seq"].clone();
        for number in 1..=10 {
            at_ann.say(&channel, &(round * 10 + number).to_string()).await;
        }
        if is_restarted {
            system.gateways[gateway].stop().await;
            system.gateways[gateway].start().await;
        }
        let mut fields = json!({"after": after, "limit": 4});
        let mut page;
        (at_ben, page) = ben.enter_with(&system.gateways[gateway], &fields).await;
        loop {
            seen.extend(events(&page).iter().cloned());
            if page["more"] == false {
                break;
            }
            fields["after"] = seen.last().expect("a message")["seq"].clone();
            page = at_ben.subscribe_with(&ben, &fields).await;
        }
    }
    assert_eq!(numbers(&seen), (0..=30).collect::<Vec<_>>());
    for pair in seen.windows(2) {
        assert_eq!(pair[1]["prev"], pair[0]["seq"]);
    }
}

#[tokio::test]
async fn the_clients_of_a_killed_gateway_resume_on_another() {
    let mut system = System::builder().gateways(2).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[1]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[0]).await;
    let mut seen = Vec::new();
    for number in 0..30 {
        at_ann.say(&channel, &number.to_string()).await;
        if number == 10 {
            system.gateways[0].kill();
        }
    }
    while seen.len() < 30 {
        match at_ben.next().await {
            Some(frame) if frame["type"] == "message" => seen.push(frame),
            Some(_) => {}
            None => {
                let after = seen.last().map_or(json!(0), |event: &Value| event["seq"].clone());
                let fields = json!({"after": after});
                let (socket, page) = ben.enter_with(&system.gateways[1], &fields).await;
                at_ben = socket;
                let events = events(&page).iter();
                seen.extend(events.filter(|event| event["type"] == "message").cloned());
            }
        }
    }
    assert_eq!(numbers(&seen), (0..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn everything_killed_at_once_comes_back_with_all_that_was_acked() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let (channel, secret) = system.private_channel().await;
    let ann = Member::join_private(system.gateway(), &channel, Some(&secret), "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    for number in 0..20 {
        socket.say(&channel, &number.to_string()).await;
    }
    for service in system.services() {
        service.kill();
    }
    system.own_servers().nats.kill();
    system.own_servers().redis.kill();
    assert_eq!(socket.expect_close().await, 0);

    system.own_servers().start().await;
    system.spawn();
    system.ready().await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let events = socket.whole_history(&channel, 100).await;
    assert_eq!(numbers(&events), (0..20).collect::<Vec<_>>());
    Member::join_private(system.gateway(), &channel, Some(&secret), "ben").await;
    // An id from before is known still.
    let again = json!({"type": "send", "id": events.last().expect("an event")["id"],
                       "channel": channel, "text": "again"});
    assert_eq!(socket.ask(&again, "ack").await["duplicate"], true);
}
