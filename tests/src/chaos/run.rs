//! One run from start to report.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    crew::{Crew, Readers, Writers, channel_name},
    faults::Saboteur,
    plan::Plan,
    quiet,
    report::Report,
    truth::{self, Log},
};
use crate::{
    checker::{Channel, Recording, check},
    proxy::Proxy,
    servers::Servers,
    system::System,
};

/// Subjects and keys of the run; the servers are its own.
pub(super) const PREFIX: &str = "chaos";

/// Small, so that pages reach beyond it into the log.
const HISTORY_WINDOW: &str = "200";

/// How long readers may take to see the end of the log after the last fault is mended. Rooms look
/// into the log by themselves within a minute, so this is what the promise allows.
const QUIET_WITHIN: Duration = Duration::from_secs(90);

/// How long what was left of deletions may take to be finished after the last fault is mended: chat-admin
/// looks for it every 15 seconds, and then waits for up to 20 in case somebody else is at it.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// For which part of a run Redis is away while everything is restarted, and for how long at most.
const WITHOUT_REDIS_PART: u32 = 10;
const WITHOUT_REDIS_MAX: Duration = Duration::from_mins(1);

/// Runs load and faults, and checks what is left.
///
/// # Panics
/// When the system does not come back at all.
pub async fn run(plan: &Plan) -> Report {
    let mut rng = Rng::with_seed(plan.seed);
    let (mut system, proxies) = start(plan).await;
    let (calm, stop_writers, stop_readers) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let gateways: Vec<_> = system.gateways.iter().map(crate::Service::address).collect();
    let crew = Crew {
        system: &system,
        gateways: &gateways,
        calm: &calm,
        stop_writers: &stop_writers,
        stop_readers: &stop_readers,
    };
    let (writers, mut readers) = crew.enter(plan, &mut rng).await;
    let (quiet, listeners) = crew.listen_to_quiet(&mut rng).await;
    readers.extend(listeners);

    let mut saboteur = Saboteur {
        system: &mut system,
        proxies: &proxies,
        quiet,
        pages: (0..plan.channels).map(|number| (channel_name(number), Vec::new())).collect(),
        waits: BTreeMap::new(),
        without_redis: (plan.duration / WITHOUT_REDIS_PART).min(WITHOUT_REDIS_MAX),
        rng: rng.fork(),
        injected: BTreeMap::new(),
        surprises: Vec::new(),
    };
    saboteur.run(Instant::now() + plan.duration).await;
    saboteur.system.ready().await;
    let unrevealed = saboteur.lose_tail().await;
    let Saboteur { injected: faults, quiet, pages, mut waits, mut surprises, .. } = saboteur;
    calm.cancel();
    stop_writers.cancel();
    if let Some(unrevealed) = unrevealed {
        let what = "the tail that nothing reveals";
        match unrevealed.came_after().await {
            Some(took) => _ = waits.insert(what, took),
            None => surprises.push(format!("{what}: too late")),
        }
    }

    let mut report = Report {
        seed: plan.seed,
        duration: plan.duration,
        faults,
        lost: proxies.iter().map(Proxy::lost).sum(),
        waits,
        recording: Recording::default(),
        connects: 0,
        refusals: 0,
        empty_pages: 0,
        violations: Vec::new(),
        surprises,
    };
    collect_writers(writers, &mut report).await;
    for (channel, pages) in pages {
        report.channel(&channel).pages = pages;
    }
    let channel = report.channel(quiet::CHANNEL);
    (channel.sends, channel.acks) = (quiet.sends, quiet.acks);
    let log = Log::open(&system.servers().nats_urls(), PREFIX).await;
    if !log.is_settled(SETTLED_WITHIN).await {
        report.surprises.push("a deletion that was begun is not finished".to_owned());
    }
    let truth = log.read().await;
    wait_for(&readers, &truth, &mut report).await;
    stop_readers.cancel();
    collect_readers(readers, &mut report).await;
    compare(&system, &log, truth, &mut report).await;
    report.violations = check(&report.recording);
    if !report.is_clean() {
        system.keep_logs();
    }
    report
}

async fn start(plan: &Plan) -> (System, Vec<Proxy>) {
    let mut servers = if plan.cluster { Servers::cluster(3) } else { Servers::new() };
    servers.keep_addresses();
    let replicas = if plan.cluster { "3" } else { "1" };
    servers.start().await;
    let mut system = System::builder()
        .gateways(plan.gateways)
        .servers(servers)
        .prefix(PREFIX)
        .env("broker-bridge", "LOG_REPLICAS", replicas)
        .env("ingest-history", "HISTORY_WINDOW", HISTORY_WINDOW)
        .env("gateway", "WORKERS", &plan.workers.to_string())
        .env("gateway", "DRAIN_SPREAD_SECONDS", "2")
        .build()
        .await;
    let proxies = Proxy::before_gateways(&mut system).await;
    system.spawn();
    system.ready().await;
    (system, proxies)
}

async fn collect_writers(writers: Vec<Writers>, report: &mut Report) {
    for writer in writers {
        let written = writer.task.await.expect("a writer does not panic");
        let channel = report.channel(&writer.channel);
        channel.sends.extend(written.sends);
        channel.acks.extend(written.acks);
        channel.revisions.extend(written.revisions);
        channel.revision_acks.extend(written.revision_acks);
        report.connects += written.connects;
        report.refusals += written.refusals;
        report.surprises.extend(written.surprises);
    }
}

/// Waits until every reader has seen the end of the log: the tail, which no later event reveals.
async fn wait_for(
    readers: &[Readers],
    truth: &BTreeMap<String, Vec<crate::checker::Given>>,
    report: &mut Report,
) {
    let end = Instant::now() + QUIET_WITHIN;
    for reader in readers {
        let last = truth.get(&reader.channel).and_then(|events| events.last());
        let tail = last.map_or(0, |given| given.seq);
        while reader.progress.load(Ordering::Relaxed) < tail {
            if Instant::now() > end {
                let seen = reader.progress.load(Ordering::Relaxed);
                let (name, channel) = (&reader.name, &reader.channel);
                let surprise =
                    format!("{name} of {channel} has seen {seen}, and the log ends at {tail}");
                report.surprises.push(surprise);
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn collect_readers(readers: Vec<Readers>, report: &mut Report) {
    for reader in readers {
        let heard = reader.task.await.expect("a reader does not panic");
        report.connects += heard.connects;
        report.empty_pages += heard.empty_pages;
        report.surprises.extend(heard.surprises);
        report.channel(&reader.channel).readers.insert(reader.name, heard.subscriptions);
    }
}

/// Adds what the log, history and ticketing's interface say at the end.
async fn compare(
    system: &System,
    log: &Log,
    truth: BTreeMap<String, Vec<crate::checker::Given>>,
    report: &mut Report,
) {
    let admin = system.admin();
    for (name, events) in truth {
        let history = truth::history(&admin, &name).await;
        let mut unread = BTreeMap::new();
        let seen = report.channel(&name);
        let mut uids: BTreeSet<String> = seen.readers.keys().cloned().collect();
        uids.extend(seen.sends.iter().map(|send| send.uid.clone()));
        for uid in uids.into_iter().filter(|uid| uid != quiet::SPEAKER) {
            let position = log.position(&name, &uid).await;
            let reported = truth::unread(&admin, &name, &uid).await;
            unread.insert(uid, (position, reported));
        }
        let channel = report.channel(&name);
        (channel.log, channel.history, channel.unread) = (events, history, unread);
        let erased = channel.erased_texts();
        let is_erased = |line: &str| erased.iter().any(|text| line.contains(text.as_str()));
        channel.remains = system.servers().traces_in_redis(is_erased).await;
    }
}

impl Report {
    fn channel(&mut self, name: &str) -> &mut Channel {
        self.recording.channels.entry(name.to_owned()).or_default()
    }
}
