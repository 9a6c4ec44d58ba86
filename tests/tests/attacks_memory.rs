//! Attacks on a gateway's memory: strangers and members who ask and never read.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests may panic, and what was taken is a measurement"
)]

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::join_all, stream};
use goch_tests::{Member, Metrics, PATIENCE, RawConnection, Socket, System, raw_frame};
use tokio::time::sleep;

const MIB: u64 = 1 << 20;

/// Strangers who ping.
const STRANGERS: usize = 20;

/// For how long, unless the gateway ends it or reads no more.
const PINGED_FOR: Duration = Duration::from_secs(8);

/// How much memory they may take: a tenth of what it was.
const STRANGERS_TAKE_MAX: u64 = 16 * MIB;

/// Members who ask for pages and do not read them. `PAGE_READERS=2000` and the like measure more, with
/// what a gateway may keep by default.
const READERS: usize = 200;

/// What may wait for all of them; without a budget each would have more than 500 KiB.
const BUDGET: u64 = 16 * MIB;

/// Pages in the hands of tasks, and what the allocator keeps of what was freed.
const SLACK: u64 = 32 * MIB;

/// A healthy member hears a message within this time. A gateway that waits for others, or swaps, would
/// need longer.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// How long each of 16 attackers waits before the next one comes.
const PAUSE: Duration = Duration::from_millis(50);

/// Messages of the channel, and characters of each.
const MESSAGES: usize = 60;
const LARGE: usize = 3_000;

/// Messages of a page, which a gateway has in memory, and pages that each asks for.
const PAGE: usize = 38;
const PAGES: usize = 60;

/// Talks until told to stop. Tells the latest delivery's and the median delay.
async fn talk(
    ann: &mut Socket,
    ben: &mut Socket,
    channel: &str,
    until: &AtomicBool,
) -> [Duration; 2] {
    let mut delays = Vec::new();
    while !until.load(Ordering::Relaxed) || delays.len() < 20 {
        let begun = Instant::now();
        let seq = ann.say(channel, "Are you there?").await["seq"].clone();
        ben.expect_where("what was said", |frame| frame["seq"] == seq).await;
        delays.push(begun.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    delays.sort_unstable();
    [*delays.last().unwrap(), delays[delays.len() / 2]]
}

/// The most memory that the gateway has had while `attack` went on.
async fn most_memory(system: &System, done: &AtomicBool) -> u64 {
    let mut most = 0;
    while !done.load(Ordering::Relaxed) {
        most = most.max(system.gateway().memory().unwrap());
        sleep(Duration::from_millis(20)).await;
    }
    most
}

#[tokio::test]
async fn strangers_who_ping_and_never_read_take_no_memory() {
    let system = System::builder().default_limits().start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let before = system.gateway().memory().unwrap();
    let (pings, begun) = (raw_frame(9, b"").repeat(4_000), Instant::now());
    let attack = async || {
        let mut connection = RawConnection::open_socket(system.gateway(), "").await;
        while begun.elapsed() < PINGED_FOR && connection.write(&pings).await {}
        connection
    };
    let done = AtomicBool::new(false);
    let attacked = async {
        let connections = join_all((0..STRANGERS).map(|_| attack())).await;
        done.store(true, Ordering::Relaxed);
        connections
    };
    let (connections, most) = tokio::join!(attacked, most_memory(&system, &done));
    let most = most.max(system.gateway().memory().unwrap());
    let taken = most.saturating_sub(before);
    println!("{STRANGERS} strangers took {} KiB", taken / 1024);
    assert!(taken < STRANGERS_TAKE_MAX, "{STRANGERS} strangers took {} MiB", taken / MIB);
    // Such sockets are closed, and nobody else is.
    for mut connection in connections {
        assert!(connection.is_ended_within(Duration::from_secs(20)).await, "a socket stays");
    }
    at_ann.say(&channel, "still here").await;
}

#[tokio::test]
async fn members_who_ask_for_pages_and_never_read_are_closed_before_memory_is_short() {
    let asked = env::var("PAGE_READERS").ok().and_then(|count| count.parse().ok());
    let (readers, budget, patience) = match asked {
        Some(readers) => (readers, 256 * MIB, 10 * PATIENCE),
        None => (READERS, BUDGET, PATIENCE),
    };
    let system = System::builder()
        .default_limits()
        .env("gateway", "OUTBOX_TOTAL_BYTES", &budget.to_string())
        .env("gateway", "FRAMES_PER_SECOND", "10000")
        .env("gateway", "MEMBER_MESSAGES_PER_SECOND", "0")
        .env("gateway", "CHANNEL_MESSAGES_PER_SECOND", "0")
        .env("gateway", "LOG_FILTER", "info,async_nats=warn")
        .env("chat-admin", "CHANNEL_MEMBERS_MAX", "0")
        .start()
        .await;
    let gateway = system.gateway();
    let channel = system.channel().await;
    let author = Member::join(gateway, &channel, "author").await;
    let (mut at_author, _) = author.enter(gateway).await;
    let quiet = system.channel().await;
    let [ann, ben] = ["ann", "ben"].map(|uid| Member::join(gateway, &quiet, uid));
    let (ann, ben) = (ann.await, ben.await);
    let ((mut at_ann, _), (mut at_ben, _)) = (ann.enter(gateway).await, ben.enter(gateway).await);
    let rest = gateway.rest();
    let joined = (0..readers).map(async |number| {
        Member::join_over(&rest, &channel, None, &format!("reader-{number}")).await
    });
    let members: Vec<Member> = stream::iter(joined).buffer_unordered(16).collect().await;
    for number in 0..MESSAGES {
        at_author.say(&channel, &format!("{number:LARGE$}")).await;
    }
    drop(at_author);
    let calm = talk(&mut at_ann, &mut at_ben, &quiet, &AtomicBool::new(true)).await;
    let before = gateway.memory().unwrap();
    let taken_max = budget / 8 * 9 + SLACK;

    let attack = async |member: &Member| {
        let mut socket = Socket::connect_with_small_buffer(gateway).await;
        let mut ask = member.subscribe_frame();
        ask["limit"] = PAGE.into();
        for _ in 0..PAGES {
            if socket.try_send_message(ask.to_string().into()).await.is_err() {
                break;
            }
        }
        // More at a time would have those wait who authorise them.
        sleep(PAUSE).await;
        socket
    };
    let done = AtomicBool::new(false);
    let attacked = async {
        let attacks = stream::iter(&members).map(attack).buffer_unordered(16);
        let sockets: Vec<Socket> = attacks.collect().await;
        let deadline = Instant::now() + patience;
        loop {
            let metrics = Metrics::of(gateway).await;
            let taken = gateway.memory().unwrap().saturating_sub(before);
            if metrics.sum("goch_outboxes_shed_total", "") > 0 || taken > taken_max {
                break;
            }
            let waiting = metrics.sum("goch_outbox_bytes", "") / MIB;
            assert!(Instant::now() < deadline, "{} MiB taken, {waiting} wait", taken / MIB);
            sleep(Duration::from_millis(100)).await;
        }
        done.store(true, Ordering::Relaxed);
        sockets
    };
    let talked = talk(&mut at_ann, &mut at_ben, &quiet, &done);
    let (sockets, stormy, most) = tokio::join!(attacked, talked, most_memory(&system, &done));
    let taken = most.saturating_sub(before);
    println!(
        "{readers} readers took {} MiB of {} MiB in all; a message took {calm:?} before and {stormy:?} \
         meanwhile (most, median)",
        taken / MIB,
        most / MIB
    );
    assert!(taken < taken_max, "{readers} readers took {} MiB", taken / MIB);
    assert!(stormy[0] < HEARD_WITHIN, "a healthy member waits for {stormy:?}");
    let closed = Metrics::of(gateway).await.sum("goch_closes_total", "code=\"4000\"");
    assert!(closed > 0, "nobody was told that it is too slow");
    // Whoever was closed comes back and reads.
    drop(sockets);
    let (mut again, _) = members[0].enter(gateway).await;
    assert_eq!(again.whole_history(&channel, 100).await.len(), MESSAGES + readers + 2);
}
