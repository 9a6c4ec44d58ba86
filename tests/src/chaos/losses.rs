//! Live copies that are lost on their way to a gateway, and events that ingest-history had in hand when it
//! died: what nobody is told of.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{faults::Saboteur, quiet::CHANNEL, truth::given_page};
use crate::{
    metrics::Metrics,
    page::events,
    proxy::{Line, LiveCopy},
    service::Service,
};

/// How long it may take until everybody has what the quiet channel's last event was, with nothing lost
/// anew: whatever the faults before have left behind is found within that.
const SETTLED_WITHIN: Duration = Duration::from_secs(90);

/// How long a hole may stay open once a later event has revealed it.
const HOLE_WITHIN: Duration = Duration::from_secs(10);

/// How long the tail may take once a gateway is connected again. Less than the shortest time between two
/// looks that a room takes by itself, 30 seconds.
pub(super) const TAIL_WITHIN: Duration = Duration::from_secs(20);

/// What that is called in a report.
pub(super) const TAIL_AFTER_RECONNECT: &str = "the tail after a reconnect";

/// How long the tail may take if nothing tells of its loss: the longest time between two such looks, a
/// minute, and a margin.
const UNREVEALED_TAIL_WITHIN: Duration = Duration::from_secs(75);

/// How long Redis refuses writes at most until ingest-history has tried one.
const WRITE_FAILS_WITHIN: Duration = Duration::from_secs(20);

/// For how long pages are asked for of an ingest-history that has just started again.
const ASKED_FOR: Duration = Duration::from_secs(3);

/// How a gateway loses its connections to NATS.
#[derive(Clone, Copy)]
enum Interruption {
    Cut,
    /// Bytes that are on their way when the line is cut are lost.
    SilentThenCut,
    KillNats,
}

impl Saboteur<'_> {
    /// One copy in eight.
    pub(super) async fn lose_some(&mut self) {
        let for_so_long = self.between(1_000, 5_000);
        let proxy = self.some_proxy();
        let mut rng = self.rng.fork();
        self.proxies[proxy].lose(move |_| rng.u8(..8) == 0);
        sleep(for_so_long).await;
        self.proxies[proxy].lose_none();
    }

    /// The first, the middle or the last one of a burst, which the event after it reveals.
    pub(super) async fn lose_of_burst(&mut self) {
        if !self.settle().await {
            return;
        }
        let proxy = self.some_proxy();
        let burst = self.rng.usize(3..12);
        let place = [0, burst / 2, burst - 1][self.rng.usize(..3)];
        self.proxies[proxy].lose(is(self.quiet.text_after(place)));
        for _ in 0..=burst {
            self.say().await;
        }
        self.expect_soon("a hole closed", HOLE_WITHIN).await;
        self.proxies[proxy].lose_none();
    }

    /// The last one, after which nobody speaks, and then the connection.
    pub(super) async fn lose_tail_and_connection(&mut self) {
        if !self.settle().await {
            return;
        }
        let proxy = self.some_proxy();
        self.proxies[proxy].lose(is(self.quiet.text_after(0)));
        // Another server of a cluster need not be the one that the gateway is connected to.
        let kinds = if self.system.servers().nats_count() == 1 { 3 } else { 2 };
        let kinds =
            &[Interruption::Cut, Interruption::SilentThenCut, Interruption::KillNats][..kinds];
        let interruption = kinds[self.rng.usize(..kinds.len())];
        let downtime = self.between(100, 2_000);
        if let Interruption::SilentThenCut = interruption {
            self.proxies[proxy].set(Line::Silent);
        }
        self.say().await;
        match interruption {
            Interruption::Cut | Interruption::SilentThenCut => {
                self.proxies[proxy].set(Line::Cut);
                sleep(downtime).await;
                self.proxies[proxy].set(Line::Whole);
            }
            Interruption::KillNats => {
                let nats = &mut self.system.own_servers().nats;
                nats.kill();
                sleep(downtime).await;
                nats.start().await;
            }
        }
        self.expect_soon(TAIL_AFTER_RECONNECT, TAIL_WITHIN).await;
        self.proxies[proxy].lose_none();
    }

    /// The last one, after which nobody speaks. Nothing tells the gateway. What comes back is to
    /// be waited for.
    pub(super) async fn lose_tail(&mut self) -> Option<UnrevealedTail> {
        if !self.settle().await {
            return None;
        }
        let proxy = self.some_proxy();
        self.proxies[proxy].lose(is(self.quiet.text_after(0)));
        self.say().await;
        Some(UnrevealedTail(tokio::spawn(self.quiet.all_have_it(UNREVEALED_TAIL_WITHIN))))
    }

    /// ingest-history has events in hand that Redis does not take, and is killed.
    pub(super) async fn kill_before_write(&mut self) {
        let before = write_failures(&self.system.ingest_history).await;
        self.system.servers().redis.refuse_writes().await;
        let end = Instant::now() + WRITE_FAILS_WITHIN;
        self.say().await;
        while write_failures(&self.system.ingest_history).await <= before && Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
        }
        self.system.ingest_history.kill();
        self.system.servers().redis.take_writes().await;
        sleep(self.between(0, 2_000)).await;
        self.system.ingest_history.start().await;
        self.ask_for_pages().await;
    }

    /// Pages as ticketing sees them, which have to be whole at any moment.
    async fn ask_for_pages(&mut self) {
        let admin = self.system.admin();
        let end = Instant::now() + ASKED_FOR;
        while Instant::now() < end {
            for (channel, pages) in &mut self.pages {
                let path = format!("/v1/admin/channels/{channel}/messages?limit=200");
                let answer = admin.try_get(&path).await.filter(|answer| answer.status == 200);
                if let Some(answer) = answer {
                    pages.push(given_page(events(&answer.body)));
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Whether everybody in the quiet channel is up to date: what comes late from now on is late for what
    /// is done now.
    pub(super) async fn settle(&mut self) -> bool {
        self.say().await;
        let settled = self.quiet.all_have_it(SETTLED_WITHIN).await.is_some();
        if !settled {
            self.surprises.push(format!("{CHANNEL} did not come to rest"));
        }
        settled
    }

    pub(super) async fn say(&mut self) {
        if !self.quiet.say(&self.system.admin()).await {
            self.surprises.push(format!("nothing can be said in {CHANNEL}"));
        }
    }

    pub(super) async fn expect_soon(&mut self, what: &'static str, within: Duration) {
        match self.quiet.all_have_it(within).await {
            Some(took) => {
                let longest = self.waits.entry(what).or_default();
                *longest = took.max(*longest);
            }
            None => self.surprises.push(format!("{what}: not within {within:?}")),
        }
    }

    pub(super) fn some_proxy(&mut self) -> usize {
        self.rng.usize(..self.proxies.len())
    }
}

/// How often ingest-history has tried in vain to write; 0 while it cannot be asked.
async fn write_failures(ingest_history: &Service) -> u64 {
    let metrics = Metrics::try_of(ingest_history).await;
    metrics.map_or(0, |metrics| metrics.sum("goch_history_write_failures_total", ""))
}

/// Waits for an event of which nothing tells.
pub(super) struct UnrevealedTail(tokio::task::JoinHandle<Option<Duration>>);

impl UnrevealedTail {
    /// How long it took; none if that was too long.
    pub(super) async fn came_after(self) -> Option<Duration> {
        self.0.await.expect("whoever waits does not panic")
    }
}

/// Whether a copy is of the event that says this in the quiet channel.
fn is(text: String) -> impl FnMut(&LiveCopy<'_>) -> bool + Send + 'static {
    move |copy| copy.channel == CHANNEL && copy.text().is_some_and(|found| found == text)
}
