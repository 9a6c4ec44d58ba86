//! Members whose client is the JavaScript one: a Node process that talks in every channel, and prints what it was
//! given (`clients/javascript/test/chaos.js`).

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{reader::Heard, truth::given, writer::Written};
use crate::{
    checker::{Ack, Send, Subscription, Way},
    member::Member,
    node::Node,
    wait::within,
};

/// The uid of these members.
pub(super) const NAME: &str = "javascript";

/// How long the last messages may take once all is well: as long as one may be sent again.
const SETTLED_WITHIN: Duration = Duration::from_mins(2);

/// Orders on their way to the process.
const ORDERS_MAX: usize = 16;

/// The Node process.
#[derive(Clone)]
pub(super) struct JavaScript {
    printed: Arc<Mutex<Printed>>,
    orders: mpsc::Sender<Value>,
    /// Changes with each line that the process prints; closed when it has ended.
    lines: watch::Receiver<()>,
}

/// A member in one channel, as reader and as writer.
pub(super) struct Talker {
    pub(super) progress: Arc<AtomicU64>,
    pub(super) heard: JoinHandle<Heard>,
    pub(super) written: JoinHandle<Written>,
}

/// What the process has printed.
#[derive(Default)]
struct Printed {
    channels: HashMap<String, Channel>,
    connects: usize,
    surprises: Vec<String>,
}

/// What it has printed of one channel.
#[derive(Default)]
struct Channel {
    given: Subscription,
    written: Written,
    is_ready: bool,
    is_settled: bool,
    progress: Arc<AtomicU64>,
}

impl JavaScript {
    /// Starts it; none where there is no Node.
    pub(super) async fn start(gateways: &[String], seed: u64) -> Option<Self> {
        let node = Node::find()?;
        let mut process = Command::new(node.program())
            .arg("test/chaos.js")
            .current_dir(Node::client())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        tokio::spawn(pass_on(ordered, process.stdin.take().unwrap()));
        let printed = Arc::default();
        let (line, lines) = watch::channel(());
        tokio::spawn(listen(process, Arc::clone(&printed), line));
        let javascript = Self { printed, orders, lines };
        javascript.order(json!({"plan": {"gateways": gateways, "seed": seed}})).await;
        Some(javascript)
    }

    /// Has a member enter a channel, and waits until it is there. It talks until `stop_talking`, and listens until
    /// `stop`.
    pub(super) async fn enter(
        &self,
        member: &Member,
        stop_talking: CancellationToken,
        stop: CancellationToken,
    ) -> Talker {
        let Member { channel, uid, secret } = member;
        let progress = Arc::default();
        let seen = Channel { progress: Arc::clone(&progress), ..Channel::default() };
        self.printed.lock().unwrap().channels.insert(channel.clone(), seen);
        self.order(json!({"member": {"channel": channel, "uid": uid, "secret": secret}})).await;
        let ready = self.until(channel, |seen| seen.is_ready);
        within("the JavaScript client's first page", ready).await;
        let (writer, reader, channel) = (self.clone(), self.clone(), channel.clone());
        let written = tokio::spawn({
            let channel = channel.clone();
            async move {
                stop_talking.cancelled().await;
                writer.written(&channel).await
            }
        });
        let heard = tokio::spawn(async move {
            stop.cancelled().await;
            reader.heard(&channel)
        });
        Talker { progress, heard, written }
    }

    /// What was said in a channel, once no more is, and all of it is stored or has failed.
    async fn written(&self, channel: &str) -> Written {
        self.order(json!({"calm": channel})).await;
        let settled = self.until(channel, |seen| seen.is_settled);
        let is_settled = timeout(SETTLED_WITHIN, settled).await.is_ok_and(|ended| ended);
        let mut printed = self.printed.lock().unwrap();
        let seen = printed.channels.get_mut(channel).unwrap();
        let mut written = std::mem::take(&mut seen.written);
        if !is_settled {
            let surprise = format!("{NAME} of {channel} has messages that neither arrive nor fail");
            written.surprises.push(surprise);
        }
        written
    }

    /// What was given of a channel. What belongs to no channel goes with the first that is asked for.
    fn heard(&self, channel: &str) -> Heard {
        let mut printed = self.printed.lock().unwrap();
        let connects = std::mem::take(&mut printed.connects);
        let surprises = std::mem::take(&mut printed.surprises);
        let seen = printed.channels.get_mut(channel).unwrap();
        let subscriptions = vec![std::mem::take(&mut seen.given)];
        Heard { subscriptions, connects, surprises, ..Heard::default() }
    }

    async fn order(&self, order: Value) {
        // If the process has ended, whoever waits for it finds out.
        let _ = self.orders.send(order).await;
    }

    /// Waits for something in a channel; false if the process has ended before.
    async fn until(&self, channel: &str, is: impl Fn(&Channel) -> bool) -> bool {
        let mut lines = self.lines.clone();
        loop {
            lines.mark_unchanged();
            if self.printed.lock().unwrap().channels.get(channel).is_some_and(&is) {
                return true;
            }
            if lines.changed().await.is_err() {
                return false;
            }
        }
    }
}

/// Writes orders until nobody has any more; then the process ends by itself.
async fn pass_on(mut orders: mpsc::Receiver<Value>, mut stdin: ChildStdin) {
    while let Some(order) = orders.recv().await {
        if stdin.write_all(format!("{order}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Notes what the process prints until it ends.
async fn listen(mut process: Child, printed: Arc<Mutex<Printed>>, changed: watch::Sender<()>) {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = serde_json::from_str(&line).expect("it prints JSON");
        printed.lock().unwrap().note(&line);
        changed.send_replace(());
    }
}

impl Printed {
    fn note(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().map(ToOwned::to_owned);
        if let Some(surprise) = text("surprise") {
            self.surprises.push(format!("{NAME}: {surprise}"));
        } else if line["connected"] == true {
            self.connects += 1;
        }
        for kind in ["ready", "given", "said", "stored", "settled"] {
            let seen = text(kind).and_then(|channel| self.channels.get_mut(&channel));
            if let Some(seen) = seen {
                seen.note(kind, line);
            }
        }
    }
}

impl Channel {
    fn note(&mut self, kind: &str, line: &Value) {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| line[name].as_u64().unwrap_or_default();
        match kind {
            "ready" => self.is_ready = true,
            "settled" => self.is_settled = true,
            "given" => {
                let through = line["through"].as_u64();
                let way = through.map_or(Way::Live, |through| Way::Page { through });
                let given = given(&line["event"], way);
                self.progress.store(given.seq, Ordering::Relaxed);
                self.given.given.push(given);
            }
            "said" => {
                let send = Send { uid: NAME.to_owned(), id: text("id"), text: text("text") };
                self.written.sends.push(send);
            }
            _ => self.written.acks.push(Ack {
                uid: NAME.to_owned(),
                id: text("id"),
                seq: number("seq"),
                time: number("time"),
                duplicate: line["duplicate"] == true,
            }),
        }
    }
}
