//! The scripts that count, on a real redis-server, against a log that a test can look through.

mod cluster;
mod evicting;
mod reading;

use std::{
    collections::BTreeMap,
    env,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fred::{
    interfaces::ClientLike as _,
    types::{ClusterHash, CustomCommand},
};
use goch_chassis::{config::RedisConfig, metrics::Metrics, redis, shutdown::Shutdown};
use goch_contract::{Secret, Uid};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{counts::Missing, *};
use crate::progress::Progress;

const WINDOW: usize = 8;
const MEMBERS: [&str; 3] = ["ann", "bob", "eve"];

/// How long the server may take to start, and a machine that stalls to go on.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Server {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port, &[])
    }

    fn start_at(port: u16, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let named = env::var_os("REDIS_SERVER").filter(|named| !named.is_empty());
        let program = named.map_or_else(|| PathBuf::from("redis-server"), PathBuf::from);
        let process = Command::new(program)
            .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
            .args(arguments)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is not installed; name one in REDIS_SERVER");
        Self { process, url: format!("redis://127.0.0.1:{port}"), _folder: folder }
    }

    fn config(&self) -> RedisConfig {
        let (url, prefix) = (Secret::new(self.url.clone()), random_token().unwrap());
        RedisConfig { url, tls: None, prefix }
    }

    async fn connect(&self) -> Redis {
        let shutdown = Shutdown::new(PATIENCE);
        let redis = redis::connect(&self.config(), &Metrics::default(), &shutdown).unwrap();
        tokio::time::timeout(PATIENCE, redis.answering()).await.expect("Redis does not answer");
        redis
    }

    /// A store that nobody else uses.
    fn store(&self, connection: Redis) -> Store {
        let config = HistoryConfig { redis: self.config(), window: WINDOW, idle_seconds: 600 };
        Store::new(connection, &config)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks again when there was no answer in time: a machine that stalls is no defect.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(StoreError::Redis(RedisError::Slow | RedisError::Away))
                if Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answer => return answer,
        }
    }
}

fn uid(name: &str) -> Uid {
    Uid::parse(name).unwrap()
}

/// A channel's log: each event is a message, or the deletion of one.
struct Log {
    channel: ChannelName,
    events: Vec<Entry>,
    /// Who said it, unless it is no message or no longer counts.
    counts: Vec<Option<&'static str>>,
}

impl Log {
    fn add(&mut self, event: &serde_json::Value, counts: Option<&'static str>) -> Entry {
        let seq = Seq(self.events.len() as u64 + 1);
        let entry = Entry::parse(self.channel.clone(), seq, event.to_string().into()).unwrap();
        self.events.push(entry.clone());
        self.counts.push(counts);
        entry
    }

    fn say(&mut self, from: &'static str) -> Entry {
        self.add(&json!({"type": "message", "time": 1, "from_uid": from}), Some(from))
    }

    fn delete(&mut self, message: usize) -> Entry {
        if let Some(counts) = self.counts.get_mut(message) {
            *counts = None;
        }
        self.add(&json!({"type": "deleted", "time": 1, "message": message + 1}), None)
    }

    /// Takes somebody's messages away.
    fn erase(&mut self, author: &str) {
        for (entry, from) in self.events.iter_mut().zip(&mut self.counts) {
            if from.take_if(|from| *from == author).is_some() {
                let gone = json!({"type": "gone", "time": 1}).to_string();
                *entry = Entry::parse(self.channel.clone(), entry.seq, gone.into()).unwrap();
            }
        }
    }

    fn end(&self) -> Seq {
        Seq(self.events.len() as u64)
    }

    fn by_sender(&self, after: Seq, through: Seq) -> BTreeMap<Uid, u64> {
        let span = usize::try_from(after.0).unwrap()..usize::try_from(through.0).unwrap();
        let mut by_sender = BTreeMap::new();
        for from in self.counts[span].iter().flatten() {
            *by_sender.entry(uid(from)).or_default() += 1;
        }
        by_sender
    }

    fn unread(&self, of: &str, after: Seq) -> u64 {
        let by_sender = self.by_sender(after, self.end().max(after));
        by_sender.iter().filter(|(from, _)| from.as_str() != of).map(|(_, count)| count).sum()
    }

    fn progress(&self) -> Progress {
        let mut progress = Progress::new(1, false);
        progress.written = self.end();
        progress
    }

    /// Fills the channel in Redis, if that has room.
    async fn fill(&self, store: &Store) {
        let token = random_token().unwrap();
        let filling = match store.begin_fill(1, &self.channel, token).await {
            Err(StoreError::Redis(RedisError::Full)) => return,
            begun => begun.unwrap(),
        };
        let first = self.events.len().saturating_sub(WINDOW);
        assert!(store.fill(&filling, &self.events[first..]).await.unwrap());
        assert!(store.complete_fill(filling, Seq(first as u64), self.end()).await.unwrap());
    }

    /// Asks for a count; what is missing is for the caller to keep.
    async fn ask(&self, store: &Store, of: &str, position: Seq) -> (u64, Option<Missing>) {
        let (of, progress) = (uid(of), self.progress());
        let count = async || store.count(progress, &self.channel, &of, position).await;
        let counted = patiently(count).await.unwrap();
        let Some(counted) = counted else {
            // It was dropped, for want of memory, and is filled again.
            self.fill(store).await;
            return (self.unread(of.as_str(), position), None);
        };
        assert_eq!(counted.through, self.end().max(position));
        let missing = counted.missing.as_ref();
        let earlier = missing.map(|missing| self.by_sender(missing.after, missing.through));
        let earlier = earlier.unwrap_or_default();
        let earlier: u64 =
            earlier.iter().filter(|(from, _)| **from != of).map(|(_, count)| count).sum();
        (counted.count + earlier, counted.missing)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Say(&'static str),
    Delete(prop::sample::Index),
    /// Somebody asks, and what was counted in the log is kept after the next so many steps.
    Ask(&'static str, prop::sample::Index, usize),
    Forget,
    /// Redis has no memory for anything more, or has it again.
    Fill(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let member = || prop::sample::select(MEMBERS.to_vec());
    let ask = (member(), any::<prop::sample::Index>(), prop_oneof![3 => Just(0), 1 => 1_usize..4]);
    prop_oneof![
        12 => member().prop_map(Step::Say),
        1 => any::<prop::sample::Index>().prop_map(Step::Delete),
        6 => ask.prop_map(|(member, position, steps)| Step::Ask(member, position, steps)),
        1 => Just(Step::Forget),
        2 => any::<bool>().prop_map(Step::Fill),
    ]
}

/// A count that is still to be kept.
struct Counting {
    steps: usize,
    position: Seq,
    missing: Missing,
    by_sender: BTreeMap<Uid, u64>,
}

/// 0 is any number of bytes, and 1 is less than Redis uses.
async fn set_max_memory(store: &Store, bytes: u64) {
    let command = CustomCommand::new_static("CONFIG", ClusterHash::FirstKey, false);
    let words = ["SET".to_owned(), "maxmemory".to_owned(), bytes.to_string()];
    store.redis.client().custom::<(), _>(command, words.into()).await.unwrap();
}

async fn play(store: &Store, steps: Vec<Step>) {
    let channel = ChannelName::parse("c").unwrap();
    let mut log = Log { channel: channel.clone(), events: Vec::new(), counts: Vec::new() };
    let mut under_way: Vec<Counting> = Vec::new();
    set_max_memory(store, 0).await;
    log.fill(store).await;
    for step in steps {
        let (due, later): (Vec<_>, Vec<_>) =
            under_way.into_iter().partition(|counting| counting.steps == 0);
        under_way = later;
        for counting in &mut under_way {
            counting.steps -= 1;
        }
        for Counting { position, missing, by_sender, .. } in due {
            let progress = log.progress();
            let keep =
                async || store.keep(progress, &channel, position, &missing, &by_sender).await;
            let kept = patiently(keep).await;
            assert!(matches!(kept, Ok(()) | Err(StoreError::Redis(RedisError::Full))), "{kept:?}");
        }
        match step {
            Step::Say(from) => {
                let entry = log.say(from);
                store.write(1, &[entry]).await.unwrap();
            }
            Step::Delete(message) if !log.events.is_empty() => {
                let message = message.index(log.events.len());
                let entry = log.delete(message);
                store.write(1, &[entry]).await.unwrap();
            }
            Step::Delete(_) => {}
            Step::Ask(member, position, steps) => {
                // Few positions, so that counts of them are met again.
                let position = Seq(position.index(4) as u64 * 5).min(log.end());
                let (count, missing) = log.ask(store, member, position).await;
                assert_eq!(count, log.unread(member, position), "{member} after {position}");
                if let Some(missing) = missing {
                    let by_sender = log.by_sender(missing.after, missing.through);
                    under_way.push(Counting { steps, position, missing, by_sender });
                }
            }
            Step::Fill(is_full) => set_max_memory(store, u64::from(is_full)).await,
            Step::Forget => {
                log.erase("eve");
                store.forget(1, &channel).await.unwrap();
                log.fill(store).await;
            }
        }
    }
}

#[test]
fn a_count_is_exact_whatever_is_said_deleted_and_forgotten_meanwhile() {
    let server = Server::start();
    let runtime = Runtime::new().unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(48));
    let redis = runtime.block_on(server.connect());
    let outcome = runner.run(&prop::collection::vec(step(), 1..120), |steps| {
        runtime.block_on(play(&server.store(redis.clone()), steps));
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn what_was_counted_while_something_was_deleted_is_not_kept() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let channel = ChannelName::parse("c").unwrap();
    let mut log = Log { channel: channel.clone(), events: Vec::new(), counts: Vec::new() };
    log.fill(&store).await;
    for _ in 0..3 * WINDOW {
        let entry = log.say("bob");
        store.write(1, &[entry]).await.unwrap();
    }
    let keep = async |log: &Log, missing: &Missing| {
        let by_sender = log.by_sender(missing.after, missing.through);
        let keep = async || store.keep(log.progress(), &channel, Seq(0), missing, &by_sender).await;
        patiently(keep).await.unwrap();
    };
    let (count, missing) = log.ask(&store, "ann", Seq(0)).await;
    assert_eq!(count, 24);
    // A consumer hears of a deletion before the count is kept.
    let deletion = log.delete(0);
    store.write(1, &[deletion]).await.unwrap();
    keep(&log, &missing.unwrap()).await;
    let (count, missing) = log.ask(&store, "ann", Seq(0)).await;
    assert_eq!(count, 23);
    // Now nothing is in the way, and all who have read as far share it.
    keep(&log, &missing.expect("nothing was kept")).await;
    for (member, expected) in [("ann", 23), ("bob", 0)] {
        let (count, missing) = log.ask(&store, member, Seq(0)).await;
        assert!(missing.is_none(), "{missing:?}");
        assert_eq!(count, expected);
    } // A Redis that lost its memory may have old counts, too: filling begins anew.
    log.fill(&store).await;
    assert!(log.ask(&store, "ann", Seq(0)).await.1.is_some());
}
