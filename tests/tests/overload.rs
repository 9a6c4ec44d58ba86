//! Too much for somebody: a reader that stops reading, a log that is full.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::{Duration, Instant};

use goch_tests::{Member, Metrics, Socket, System, events, until};
use serde_json::{Value, json};

/// Characters of a message that fills buffers.
const LARGE: usize = 60_000;

/// More of them than any buffers between a gateway and a socket hold.
const LARGE_MAX: usize = 1_000;

/// Others hear a message within this time, whoever does not read. A gateway that waited for a slow
/// reader would keep them for as long as that sleeps.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

fn seq(frame: &Value) -> u64 {
    frame["seq"].as_u64().unwrap()
}

/// Everything after `after`: the rest of a resumed channel.
async fn resume(member: &Member, system: &System, after: u64) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    let mut socket = Socket::connect(system.gateway()).await;
    loop {
        let after = all.last().map_or(after, seq);
        let page = socket.subscribe_with(member, &json!({"after": after})).await;
        all.extend(events(&page).iter().cloned());
        if page["more"] == false {
            return all;
        }
    }
}

#[tokio::test]
async fn a_reader_that_stops_is_told_to_resume_and_misses_nothing_while_others_go_on() {
    let system = System::builder()
        .env("gateway", "TEXT_MAX", &LARGE.to_string())
        .env("gateway", "FRAME_BYTES", "131072")
        .env("gateway", "MEMBER_MESSAGES_PER_SECOND", "0")
        .env("gateway", "FRAMES_PER_SECOND", "100000")
        .start()
        .await;
    let channel = system.channel().await;
    let [ann, ben, slow] =
        ["ann", "ben", "slow"].map(|uid| Member::join(system.gateway(), &channel, uid));
    let (ann, ben, slow) = (ann.await, ben.await, slow.await);
    let mut at_slow = Socket::connect_with_small_buffer(system.gateway()).await;
    let subscribed = at_slow.subscribe(&slow).await;
    let mut last = seq(&json!({"seq": subscribed["last_seq"]}));
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_ben, _) = ben.enter(system.gateway()).await;

    let mut said = Vec::new();
    let too_slow =
        || async { Metrics::of(system.gateway()).await.sum("goch_closes_total", "code=\"4000\"") };
    while too_slow().await == 0 {
        assert!(said.len() < LARGE_MAX, "no buffer was ever full");
        let begun = Instant::now();
        let text = format!("{:LARGE$}", said.len());
        said.push(seq(&at_ann.say(&channel, &text).await));
        let heard = at_ben.expect("message").await;
        assert_eq!(seq(&heard), *said.last().unwrap());
        assert!(begun.elapsed() < HEARD_WITHIN, "others wait for a slow reader");
        at_ann.expect("message").await;
    }
    // Somebody speaks while the slow one is away.
    said.push(seq(&at_ann.say(&channel, "meanwhile").await));

    // The slow one reads on: what was under way, then why it ends, then the rest.
    assert_eq!(at_slow.expect_close().await, 4000);
    let mut given: Vec<Value> =
        at_slow.kept().into_iter().filter(|frame| frame["prev"].is_u64()).collect();
    let under_way = given.len();
    given.extend(resume(&slow, &system, given.last().map_or(last, seq)).await);
    for event in &given {
        assert_eq!(event["prev"], last);
        last = seq(event);
    }
    let messages = given.iter().filter(|event| event["type"] == "message").map(seq);
    assert_eq!(messages.collect::<Vec<_>>(), said);
    assert!(under_way < said.len(), "nothing was left to be resumed");
}

#[tokio::test]
async fn a_full_log_refuses_what_it_cannot_keep_and_goes_on_being_read() {
    let mut system = System::builder()
        .env("broker-bridge", "LOG_MAX_BYTES", "200000")
        .env("gateway", "MEMBER_MESSAGES_PER_SECOND", "0")
        .env("gateway", "FRAMES_PER_SECOND", "100000")
        .start()
        .await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let frame = |number: usize| {
        let text = format!("{number:1000}");
        json!({"type": "send", "id": format!("m{number}"), "channel": channel, "text": text})
    };

    let mut acked = Vec::new();
    let refused = loop {
        let number = acked.len();
        at_ann.send(&frame(number)).await;
        let answer = at_ann.answer_to(&format!("m{number}")).await;
        if answer["type"] != "ack" {
            break answer;
        }
        acked.push(seq(&answer));
        assert!(acked.len() < 1_000, "the log is never full");
    };
    assert_eq!(refused["code"], "unavailable");
    assert!(acked.len() > 50, "{} messages filled it", acked.len());
    for number in acked.len()..acked.len() + 5 {
        assert_eq!(at_ann.ask(&frame(number), "error").await["code"], "unavailable");
    }

    // What was acked is there, what was refused is not: live, in history and on a new socket.
    let (mut again, _) = ann.enter(system.gateway()).await;
    for socket in [&mut at_ann, &mut again] {
        let history = socket.whole_history(&channel, 40).await;
        let messages = history.iter().filter(|event| event["type"] == "message").map(seq);
        assert_eq!(messages.collect::<Vec<_>>(), acked);
    }
    let live = at_ann.kept().into_iter().filter(|frame| frame["type"] == "message");
    assert_eq!(live.map(|message| seq(&message)).collect::<Vec<_>>(), acked);

    // With more room, what was refused is taken.
    system.broker_bridge.stop().await;
    system.broker_bridge.set("LOG_MAX_BYTES", "2000000");
    system.broker_bridge.start().await;
    let number = acked.len();
    let ack = until("the log takes messages again", async || {
        at_ann.send(&frame(number)).await;
        let answer = at_ann.answer_to(&format!("m{number}")).await;
        (answer["type"] == "ack").then_some(answer)
    })
    .await;
    assert_eq!(ack["duplicate"], false);
    assert!(seq(&ack) > *acked.last().unwrap());
}
