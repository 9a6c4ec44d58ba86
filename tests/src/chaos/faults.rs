//! What can go wrong, and how it is brought about.

use std::{collections::BTreeMap, time::Duration};

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use super::{
    losses::{TAIL_AFTER_RECONNECT, TAIL_WITHIN},
    quiet::Quiet,
};
use crate::{
    checker::Given,
    proxy::{Line, Proxy},
    service::Service,
    system::System,
};

/// How long a service may take to end after SIGTERM: its grace period and a margin.
const END_WITHIN: Duration = Duration::from_secs(30);

/// How long an answer may take without Redis.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillService,
    PauseService,
    HistoryBehind,
    KillNats,
    PauseNats,
    KillRedis,
    PauseRedis,
    FlushRedis,
    EmptyRedis,
    FullRedis,
    CutGateway,
    SilenceGateway,
    RollingRestart,
    RestartWithoutRedis,
    LoseSome,
    LoseOfBurst,
    LoseTailAndConnection,
    KillBeforeWrite,
}

impl Fault {
    const ALL: [Self; 18] = [
        Self::KillService,
        Self::PauseService,
        Self::HistoryBehind,
        Self::KillNats,
        Self::PauseNats,
        Self::KillRedis,
        Self::PauseRedis,
        Self::FlushRedis,
        Self::EmptyRedis,
        Self::FullRedis,
        Self::CutGateway,
        Self::SilenceGateway,
        Self::RollingRestart,
        Self::RestartWithoutRedis,
        Self::LoseSome,
        Self::LoseOfBurst,
        Self::LoseTailAndConnection,
        Self::KillBeforeWrite,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::KillService => "SIGKILL of a service",
            Self::PauseService => "SIGSTOP and SIGCONT of a service",
            Self::HistoryBehind => "ingest-history stopped for long",
            Self::KillNats => "SIGKILL of nats-server",
            Self::PauseNats => "SIGSTOP and SIGCONT of nats-server",
            Self::KillRedis => "SIGKILL of redis-server",
            Self::PauseRedis => "SIGSTOP of redis-server",
            Self::FlushRedis => "Redis flushed",
            Self::EmptyRedis => "Redis restarted empty",
            Self::FullRedis => "Redis full",
            Self::CutGateway => "a gateway cut off NATS",
            Self::SilenceGateway => "a gateway's line to NATS silent",
            Self::RollingRestart => "rolling restart of everything",
            Self::RestartWithoutRedis => "everything restarted while Redis is away",
            Self::LoseSome => "live copies lost by chance",
            Self::LoseOfBurst => "a live copy of a burst lost",
            Self::LoseTailAndConnection => "the tail and a connection lost",
            Self::KillBeforeWrite => "ingest-history killed before a write",
        }
    }
}

/// Injects faults into a system.
pub(super) struct Saboteur<'a> {
    pub(super) system: &'a mut System,
    /// One for each gateway, between it and NATS.
    pub(super) proxies: &'a [Proxy],
    pub(super) quiet: Quiet,
    /// Pages that ticketing asked for in between, by channel.
    pub(super) pages: BTreeMap<String, Vec<Vec<Given>>>,
    /// How long what was lost took at most to be there, by what it was.
    pub(super) waits: BTreeMap<&'static str, Duration>,
    /// How long Redis is away while everything is restarted, at least.
    pub(super) without_redis: Duration,
    pub(super) rng: Rng,
    pub(super) injected: BTreeMap<&'static str, usize>,
    pub(super) surprises: Vec<String>,
}

impl Saboteur<'_> {
    /// One fault after the other until `end`; each kind comes up before any comes up again.
    pub(super) async fn run(&mut self, end: Instant) {
        while Instant::now() < end {
            let mut faults = Fault::ALL;
            self.rng.shuffle(&mut faults);
            for fault in faults {
                if Instant::now() >= end {
                    return;
                }
                announce(fault.name());
                *self.injected.entry(fault.name()).or_default() += 1;
                self.inject(fault).await;
                self.find_dead();
                sleep(self.between(300, 3_000)).await;
            }
        }
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.rng.u64(least..most))
    }

    async fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::KillService => {
                let downtime = self.between(100, 3_000);
                let service = self.some_service();
                service.kill();
                sleep(downtime).await;
                service.spawn();
            }
            Fault::PauseService => {
                let downtime = self.between(300, 8_000);
                let service = self.some_service();
                service.pause();
                sleep(downtime).await;
                service.resume();
            }
            Fault::HistoryBehind => {
                let downtime = self.between(8_000, 15_000);
                self.system.ingest_history.kill();
                sleep(downtime).await;
                self.system.ingest_history.spawn();
            }
            Fault::KillNats => {
                let downtime = self.between(100, 4_000);
                let nats = self.some_nats().await;
                self.system.own_servers().nats_mut(nats).kill();
                sleep(downtime).await;
                self.system.own_servers().nats_mut(nats).start().await;
            }
            Fault::PauseNats => {
                let downtime = self.between(300, 6_000);
                let nats = self.some_nats().await;
                self.system.own_servers().nats_mut(nats).pause();
                sleep(downtime).await;
                self.system.own_servers().nats_mut(nats).resume();
            }
            Fault::KillRedis => {
                let downtime = self.between(100, 3_000);
                self.system.own_servers().redis.kill();
                sleep(downtime).await;
                self.system.own_servers().redis.start().await;
            }
            Fault::PauseRedis => {
                let downtime = self.between(300, 7_000);
                self.system.servers().redis.pause();
                sleep(downtime).await;
                self.system.servers().redis.resume();
            }
            Fault::FlushRedis => self.system.servers().redis.flush().await,
            Fault::EmptyRedis => {
                let redis = &mut self.system.own_servers().redis;
                redis.kill();
                redis.forget();
                redis.start().await;
            }
            Fault::FullRedis => {
                let full_for = self.between(1_000, 8_000);
                let redis = &self.system.servers().redis;
                // Sometimes it has room for a moment yet.
                let room = self.rng.u64(0..200_000);
                redis.set_max_memory(redis.used_memory().await + room).await;
                sleep(full_for).await;
                self.system.servers().redis.set_max_memory(0).await;
            }
            Fault::CutGateway => self.disturb(Line::Cut).await,
            Fault::SilenceGateway => self.disturb(Line::Silent).await,
            Fault::RollingRestart => self.roll().await,
            Fault::RestartWithoutRedis => self.restart_without_redis().await,
            Fault::LoseSome => self.lose_some().await,
            Fault::LoseOfBurst => self.lose_of_burst().await,
            Fault::LoseTailAndConnection => self.lose_tail_and_connection().await,
            Fault::KillBeforeWrite => self.kill_before_write().await,
        }
    }

    /// Redis is gone, or there and silent, while every service is restarted and has to do without.
    async fn restart_without_redis(&mut self) {
        let back = Instant::now() + self.without_redis;
        let is_paused = self.rng.bool();
        if is_paused {
            self.system.servers().redis.pause();
        } else {
            self.system.own_servers().redis.kill();
        }
        self.roll().await;
        let asked = Instant::now();
        let list = self.system.admin().try_get("/v1/admin/channels").await;
        let (status, took) = (list.map(|answer| answer.status), asked.elapsed());
        if status != Some(200) || took > ANSWER_WITHIN {
            let surprise =
                format!("without Redis the list of channels was {status:?} after {took:?}");
            self.surprises.push(surprise);
        }
        tokio::time::sleep_until(back).await;
        if is_paused {
            self.system.servers().redis.resume();
        } else {
            self.system.own_servers().redis.start().await;
        }
    }

    /// What is said meanwhile in the quiet channel is there soon after, although nobody speaks again.
    async fn disturb(&mut self, line: Line) {
        if !self.settle().await {
            return;
        }
        let downtime = self.between(250, 4_000);
        let index = self.some_proxy();
        self.proxies[index].set(line);
        sleep(downtime).await;
        self.say().await;
        sleep(downtime).await;
        self.proxies[index].set(Line::Whole);
        let what = if line == Line::Cut { TAIL_AFTER_RECONNECT } else { "the tail after silence" };
        self.expect_soon(what, TAIL_WITHIN).await;
    }

    fn some_service(&mut self) -> &mut Service {
        let count = self.system.services().count();
        let index = self.rng.usize(..count);
        self.system.services().nth(index).expect("the index is below the count")
    }

    /// A NATS server; of a cluster, the leader of the log every other time.
    async fn some_nats(&mut self) -> usize {
        let count = self.system.servers().nats_count();
        if count > 1
            && self.rng.bool()
            && let Some(leader) = self.system.log_leader(super::run::PREFIX).await
        {
            return leader;
        }
        self.rng.usize(..count)
    }

    /// One service after the other, by SIGTERM as Kubernetes does; the next when the last is ready.
    async fn roll(&mut self) {
        let count = self.system.services().count();
        for index in 0..count {
            let service = self.system.services().nth(index).expect("the index is below the count");
            if !service.is_running() {
                continue;
            }
            let asked = Instant::now();
            let status = service.stop().await;
            let took = asked.elapsed();
            let binary = service.binary();
            if !status.success() {
                self.surprises.push(format!("{binary} ended with {status} after SIGTERM"));
            }
            if took > END_WITHIN {
                self.surprises.push(format!("{binary} took {took:?} to end"));
            }
            let service = self.system.services().nth(index).expect("the index is below the count");
            service.start().await;
        }
    }

    /// Nothing may end that was not told to.
    fn find_dead(&mut self) {
        for service in self.system.services() {
            if !service.is_running() {
                self.surprises.push(format!("{} ended by itself", service.binary()));
                service.spawn();
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "a long run shows what it does")]
fn announce(fault: &str) {
    eprintln!("fault: {fault}");
}
