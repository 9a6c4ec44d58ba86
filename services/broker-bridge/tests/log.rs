//! The log as other services see it: whole, in order, and there again when it was lost.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod broker;
mod revised;

use goch_contract::{
    ErrorCode, Seq, UnixMillis,
    services::{
        broker::TAILS_MAX,
        history::{PAGE_BYTES_MAX, Page, Window},
    },
};

use self::broker::{Broker, chain, chain_of, channel, until};

/// Events of channel `a`, between those of others.
async fn interleaved(broker: &Broker, count: usize) -> Vec<u64> {
    let mut acks = Vec::new();
    for n in 0..count {
        broker.publish("b", "bob", "elsewhere", 1).await;
        if n % 3 == 0 {
            broker.publish("c", "bob", "elsewhere", 1).await;
        }
        acks.push(broker.publish("a", "ann", "here", 1).await);
    }
    let mut seqs = Vec::new();
    for ack in acks {
        seqs.push(ack.await.unwrap().sequence);
    }
    seqs
}

/// All of a channel by pages forwards.
async fn forwards(broker: &Broker, name: &str, limit: u32) -> Vec<(u64, u64)> {
    let mut events = Vec::new();
    let mut after = Seq(0);
    loop {
        let answer = broker.catch_up(name, after, limit).await;
        check(&answer.page, limit);
        events.extend(chain(&answer.page));
        after = answer.page.events.last().map_or(after, |logged| logged.seq);
        if !answer.page.more {
            assert_eq!(answer.last_seq, after);
            return events;
        }
    }
}

/// All of a channel by pages backwards.
async fn backwards(broker: &Broker, name: &str, limit: u32) -> Vec<(u64, u64)> {
    let mut pages = Vec::new();
    let mut window = Window::Latest;
    loop {
        let page = broker.page(name, window, limit).await;
        check(&page, limit);
        pages.push(chain(&page));
        if !page.more {
            return pages.into_iter().rev().flatten().collect();
        }
        window = Window::Before(page.events[0].seq);
    }
}

fn check(page: &Page, limit: u32) {
    let bytes: usize = page.events.iter().map(|logged| logged.event.get().len()).sum();
    assert!(page.events.len() <= limit as usize && bytes <= PAGE_BYTES_MAX);
    assert!(
        !page.more || !page.events.is_empty(),
        "a page with more to come must have a beginning"
    );
}

#[tokio::test]
async fn a_long_channel_is_whole_in_both_directions() {
    let broker = Broker::start(&[]).await;
    let expected = chain_of(&interleaved(&broker, 1_700).await);
    assert_eq!(forwards(&broker, "a", 500).await, expected);
    assert_eq!(backwards(&broker, "a", 500).await, expected);
    assert_eq!(backwards(&broker, "a", 100).await, expected);
    let latest = broker.page("a", Window::Latest, 1).await;
    assert_eq!((chain(&latest), latest.more), (expected[1_699..].to_vec(), true));
    broker.finish();
}

#[tokio::test]
async fn the_consumers_of_a_read_are_gone_soon_after() {
    let broker = Broker::start(&[]).await;
    interleaved(&broker, 300).await;
    backwards(&broker, "a", 100).await;
    forwards(&broker, "a", 100).await;
    until("only ingest-history's consumer is left", async || {
        broker.log().await.cached_info().state.consumer_count == 1
    })
    .await;
    broker.finish();
}

#[tokio::test]
async fn a_small_hole_is_filled_and_chains_to_what_is_known() {
    let broker = Broker::start(&[]).await;
    let seqs = interleaved(&broker, 5).await;
    let answer = broker.catch_up("a", Seq(seqs[2]), 500).await;
    assert_eq!(chain(&answer.page), [(seqs[2], seqs[3]), (seqs[3], seqs[4])]);
    assert_eq!((answer.page.more, answer.last_seq), (false, Seq(seqs[4])));
    let answer = broker.catch_up("a", Seq(seqs[2]), 1).await;
    assert_eq!((chain(&answer.page).len(), answer.page.more), (1, true));
    let answer = broker.catch_up("a", Seq(seqs[4]), 500).await;
    assert_eq!((answer.page.events.len(), answer.last_seq), (0, Seq(seqs[4])));
    let answer = broker.catch_up("nobody", Seq(0), 500).await;
    assert_eq!((answer.page.events.len(), answer.last_seq), (0, Seq(0)));
    // Another channel's sequence: what is before the first event is not known.
    let page = broker.page("a", Window::After(Seq(seqs[4] - 1)), 1).await;
    assert_eq!((chain(&page), page.more), (vec![(0, seqs[4])], false));
    broker.finish();
}

#[tokio::test]
async fn large_events_make_more_pages() {
    let broker = Broker::start(&[]).await;
    let text = "x".repeat(60_000);
    let mut seqs = Vec::new();
    for _ in 0..40 {
        seqs.push(broker.say("a", "ann", &text).await.0);
    }
    assert_eq!(forwards(&broker, "a", 500).await, chain_of(&seqs));
    assert_eq!(backwards(&broker, "a", 500).await, chain_of(&seqs));
    broker.finish();
}

#[tokio::test]
async fn since_goes_by_the_events_own_time() {
    let broker = Broker::start(&[]).await;
    let now = UnixMillis::now().0;
    let mut seqs = Vec::new();
    // The clock of one gateway is behind, that of another ahead.
    for offset in [-9_000, -5_000, -7_000, 2_000, -6_000] {
        let ack = broker.publish("a", "ann", "Hello", now.saturating_add_signed(offset)).await;
        seqs.push(ack.await.unwrap().sequence);
    }
    let since = |millis| Window::Since(UnixMillis(millis));
    let page = broker.page("a", since(now - 5_000), 500).await;
    assert_eq!(chain(&page), chain_of(&seqs)[1..]);
    let page = broker.page("a", since(now - 5_000), 2).await;
    assert_eq!((chain(&page), page.more), (chain_of(&seqs)[1..3].to_vec(), true));
    assert_eq!(chain(&broker.page("a", since(0), 500).await), chain_of(&seqs));
    assert!(broker.page("a", since(now + 900_000), 500).await.events.is_empty());
    assert!(broker.page("nobody", since(0), 500).await.events.is_empty());
    broker.finish();
}

#[tokio::test]
async fn count_has_the_messages_of_others_strictly_between() {
    let broker = Broker::start(&[]).await;
    let first = broker.say("a", "bob", "1").await;
    broker.say("b", "bob", "elsewhere").await;
    for n in 0..3_000 {
        broker.publish("a", if n % 3 == 0 { "ann" } else { "bob" }, "2", 1).await;
    }
    let joined = r#"{"type":"joined","channel":"a","time":1,"uid":"eve","display_name":"Eve"}"#;
    broker.jetstream.publish("goch.log.a", joined.into()).await.unwrap().await.unwrap();
    let last = broker.say("a", "bob", "3").await;
    assert_eq!(broker.count("a", first, last, "ann").await, 2_000);
    assert_eq!(broker.count("a", Seq(0), Seq(u64::MAX), "ann").await, 2_002);
    assert_eq!(broker.count("a", Seq(0), Seq(u64::MAX), "eve").await, 3_002);
    assert_eq!(broker.count("a", last, Seq(u64::MAX), "ann").await, 0);
    assert_eq!(broker.count("nobody", Seq(0), Seq(u64::MAX), "ann").await, 0);
    broker.finish();
}

#[tokio::test]
async fn tails_come_in_the_order_of_the_request() {
    let broker = Broker::start(&[]).await;
    let a = broker.say("a", "ann", "Hello").await;
    let b = broker.say("b", "ann", "Hello").await;
    assert_eq!(broker.tails(&["b", "nobody", "a"]).await.unwrap(), [b, Seq(0), a]);
    assert_eq!(broker.tails(&["a"; TAILS_MAX]).await.unwrap(), [a; TAILS_MAX]);
    let error = broker.tails(&["a"; TAILS_MAX + 1]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::BadRequest);
    broker.finish();
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_of_the_chain() {
    let broker = Broker::start(&[]).await;
    let mut seqs = interleaved(&broker, 100).await;
    for junk in ["junk", "[]", "{\"type\":\"message\",\"channel\":\""] {
        broker.jetstream.publish("goch.log.a", junk.into()).await.unwrap().await.unwrap();
    }
    seqs.push(broker.say("a", "ann", "after it").await.0);
    for limit in [30, 500] {
        assert_eq!(forwards(&broker, "a", limit).await, chain_of(&seqs));
        assert_eq!(backwards(&broker, "a", limit).await, chain_of(&seqs));
    }
    let page = broker.page("a", Window::Since(UnixMillis(1)), 500).await;
    assert_eq!(chain(&page), chain_of(&seqs));
    broker.finish();
}

#[tokio::test]
async fn what_is_deleted_leaves_no_hole_in_the_chain() {
    let broker = Broker::start(&[]).await;
    let mut seqs = interleaved(&broker, 400).await;
    let log = broker.log().await;
    // In the middle, at the end, and all of the beginning.
    for index in [399, 398, 350, 200, 199] {
        log.delete_message(seqs.remove(index)).await.unwrap();
    }
    log.purge().filter("goch.log.a").sequence(seqs[50]).await.unwrap();
    seqs.drain(..50);
    for limit in [30, 500] {
        assert_eq!(forwards(&broker, "a", limit).await, chain_of(&seqs));
        assert_eq!(backwards(&broker, "a", limit).await, chain_of(&seqs));
    }
    assert_eq!(broker.tails(&["a"]).await.unwrap(), [Seq(seqs[seqs.len() - 1])]);
    // A client that has seen an event which is deleted now goes on behind it.
    let answer = broker.catch_up("a", Seq(seqs[149] + 1), 1).await;
    assert_eq!(answer.page.events[0].seq, Seq(seqs[150]));
    log.purge().filter("goch.log.a").await.unwrap();
    assert!(forwards(&broker, "a", 500).await.is_empty());
    assert!(backwards(&broker, "a", 500).await.is_empty());
    assert_eq!(broker.tails(&["a"]).await.unwrap(), [Seq(0)]);
    broker.finish();
}

#[tokio::test]
async fn a_limit_out_of_range_is_refused() {
    let broker = Broker::start(&[]).await;
    for limit in [0, 501] {
        let request = goch_contract::services::broker::Catchup {
            channel: channel("a"),
            after: Seq(0),
            limit,
        };
        let error = broker.services.call(&request).await.unwrap_err();
        assert_eq!((error.code, error.field.as_deref()), (ErrorCode::BadRequest, Some("limit")));
    }
    broker.finish();
}

#[tokio::test]
async fn a_full_log_refuses_messages_and_keeps_the_old_ones() {
    let broker = Broker::start(&[("LOG_MAX_BYTES", "20000")]).await;
    let first = broker.say("a", "ann", "the first").await;
    let text = "x".repeat(4_000);
    let mut stored = 1;
    while broker.publish("a", "ann", &text, 1).await.await.is_ok() {
        stored += 1;
        assert!(stored < 10, "the log has no limit");
    }
    let page = broker.page("a", Window::Latest, 500).await;
    assert_eq!((page.events[0].seq, page.events.len()), (first, stored));
    broker.finish();
}

#[tokio::test]
async fn a_changed_setting_is_applied_and_the_log_kept() {
    let mut broker = Broker::start(&[]).await;
    let seq = broker.say("a", "ann", "Hello").await;
    broker
        .restart_bridge(&[("LOG_MAX_AGE_SECONDS", "86400"), ("DEDUPLICATION_SECONDS", "60")])
        .await;
    let config = broker.log().await.cached_info().config.clone();
    assert_eq!((config.max_age.as_secs(), config.duplicate_window.as_secs()), (86_400, 60));
    assert_eq!(broker.tails(&["a"]).await.unwrap(), [seq]);
    broker.finish();
}

#[tokio::test]
async fn everything_is_put_back_when_nats_comes_back_empty() {
    let mut broker = Broker::start(&[]).await;
    broker.say("a", "ann", "lost").await;
    broker.lose_nats().await;
    let bucket = broker.subjects.positions_bucket();
    until("the last bucket is back", async || {
        broker.jetstream.get_key_value(&bucket).await.is_ok()
    })
    .await;
    broker.answers().await;
    let seq = broker.say("a", "ann", "anew").await;
    assert_eq!(chain(&broker.page("a", Window::Latest, 10).await), [(0, seq.0)]);
    broker.finish();
}
