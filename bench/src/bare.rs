//! The bare NATS client: what JetStream itself can do on this machine, without Goch around it.
//!
//! A stream of the same kind as Goch's log, on a server of its own: file storage, message ids,
//! republished by subject. One client publishes what a gateway would, another one receives what is
//! republished and checks it.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use async_nats::{
    Client, HeaderMap, Subscriber,
    header::NATS_MESSAGE_ID,
    jetstream::{
        self,
        context::PublishError,
        message::PublishMessage,
        publish::PublishAck,
        stream::{Config, Republish, StorageType},
    },
};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rustix::fd::OwnedFd;
use tempfile::TempDir;
use tokio::{
    io::unix::AsyncFd,
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{
    client::dialect::{message, text},
    error::{Error, Result, Trying as _},
    results::{ACKS, Figures, cpu_figures},
    servers::{
        process::{Process, find_program, free_address},
        usage::{Usage, Watched},
    },
    work::{
        drive::{Stretch, clear, timer},
        latency,
        rooms::Latencies,
    },
};

/// How long an acknowledgement or a copy may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Subjects that messages go to in turn.
const SUBJECTS: u32 = 64;

/// A NATS server with nothing but the stream.
pub struct Bare {
    process: Process,
    address: SocketAddr,
    runtime: Runtime,
    /// Messages published so far: no two share an id.
    published: u32,
    _folder: TempDir,
}

impl Bare {
    /// Its name in the tables.
    pub const NAME: &str = "bare async-nats";

    /// Starts the server and creates the stream.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir().trying("making a folder")?;
        let address = free_address()?;
        let mut command = Command::new(find_program("NATS_SERVER", "nats-server")?);
        command.args(["-js", "-a", "127.0.0.1", "-p", &address.port().to_string()]);
        command.arg("-sd").arg(folder.path().join("nats"));
        let mut process = Process::start("bare-nats", folder.path(), &mut command)?;
        process.wait_to_listen(address)?;
        let runtime =
            Builder::new_current_thread().enable_all().build().trying("starting a runtime")?;
        let mut bare = Self { process, address, runtime, published: 0, _folder: folder };
        bare.create_stream()?;
        Ok(bare)
    }

    fn create_stream(&mut self) -> Result<()> {
        let address = self.address;
        self.runtime.block_on(async move {
            let stream = Config {
                name: "bare_log".to_owned(),
                subjects: vec!["bare.log.*".to_owned()],
                storage: StorageType::File,
                duplicate_window: Duration::from_mins(2),
                allow_direct: true,
                republish: Some(Republish {
                    source: "bare.log.*".to_owned(),
                    destination: "bare.live.{{wildcard(1)}}".to_owned(),
                    headers_only: false,
                }),
                ..Config::default()
            };
            let context = jetstream::new(connect(address).await?);
            context.create_stream(stream).await.trying("creating a stream")?;
            Ok(())
        })
    }

    /// The server, to be watched.
    #[must_use]
    pub fn watched(&self) -> Watched {
        Watched::default().with("nats", self.process.id())
    }

    /// Publishes with `in_flight` messages unacknowledged.
    ///
    /// # Errors
    /// When a message is not stored, or not where it should be.
    pub fn durable(&mut self, in_flight: usize, stretch: Stretch) -> Result<Figures> {
        let (watched, address) = (self.watched(), self.address);
        let mut count = self.published;
        let outcome = self.runtime.block_on(async {
            let mut publisher = Publisher::connect(address, &mut count).await?;
            publisher.keep(in_flight, Instant::now() + stretch.warm_up).await?;
            let (acked, cpu, started) = (publisher.acked, watched.cpu(), Instant::now());
            publisher.keep(in_flight, started + stretch.measured).await?;
            let (seconds, usage) = (started.elapsed(), watched.cpu().since(&cpu));
            let acked = publisher.acked - acked;
            publisher.finish().await?;
            Ok::<_, Error>((acked, seconds, usage))
        });
        self.published = count;
        let (acked, seconds, usage) = outcome?;
        Ok(durable_figures(acked, seconds, &usage))
    }

    /// Publishes `rate` messages a second and receives them.
    ///
    /// # Errors
    /// When a message is not stored, or comes late, twice or changed.
    pub fn latency(&mut self, rate: u32, stretch: Stretch) -> Result<Figures> {
        let (address, mut count) = (self.address, self.published);
        let latencies = self.runtime.block_on(async {
            let receiver = connect(address).await?;
            let live = receiver.subscribe("bare.live.*").await.trying("subscribing")?;
            receiver.flush().await.trying("subscribing")?;
            let publisher = Publisher::connect(address, &mut count).await?;
            Paced { publisher, live, due: VecDeque::new(), latencies: Latencies::new()? }
                .run(rate, stretch)
                .await
        });
        self.published = count;
        let mut figures = Figures::new();
        latency::add(&mut figures, &latencies?);
        Ok(figures)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn durable_figures(acked: u64, seconds: Duration, usage: &Usage) -> Figures {
    let mut figures = cpu_figures(usage, acked as f64);
    figures.insert(ACKS.to_owned(), acked as f64 / seconds.as_secs_f64());
    figures
}

async fn connect(address: SocketAddr) -> Result<Client> {
    async_nats::connect(address.to_string()).await.trying("connecting to NATS")
}

/// A message's index, when it was due, and what became of it.
type Outcome = (u32, Instant, std::result::Result<PublishAck, PublishError>);

/// Publishes and takes what is acknowledged.
struct Publisher<'a> {
    context: jetstream::Context,
    published: &'a mut u32,
    acked: u64,
    under_way: FuturesUnordered<BoxFuture<'static, Outcome>>,
}

fn channel(index: u32) -> String {
    format!("channel-{}", index % SUBJECTS)
}

fn payload(index: u32) -> String {
    let channel = channel(index);
    message(&channel, &index.to_string(), index, &text(&channel, index))
}

impl<'a> Publisher<'a> {
    async fn connect(address: SocketAddr, published: &'a mut u32) -> Result<Self> {
        Ok(Self {
            context: jetstream::new(connect(address).await?),
            published,
            acked: 0,
            under_way: FuturesUnordered::new(),
        })
    }

    /// Keeps `in_flight` messages unacknowledged until `end`.
    async fn keep(&mut self, in_flight: usize, end: Instant) -> Result<()> {
        while Instant::now() < end {
            while self.under_way.len() < in_flight {
                self.publish(Instant::now()).await?;
            }
            self.acknowledge().await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<()> {
        while !self.under_way.is_empty() {
            self.acknowledge().await?;
        }
        Ok(())
    }

    async fn publish(&mut self, due: Instant) -> Result<u32> {
        let index = *self.published;
        *self.published += 1;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, format!("{}/member-0/{index}", channel(index)));
        headers.insert("Goch-From", "member-0");
        let message = PublishMessage::build().payload(payload(index).into()).headers(headers);
        let subject = format!("bare.log.{}", channel(index));
        let ack = self.context.send_publish(subject, message).await.trying("publishing")?;
        let ack = ack.into_future();
        self.under_way.push(async move { (index, due, ack.await) }.boxed());
        Ok(index)
    }

    /// Takes one acknowledgement; tells when its message was due. Nobody else publishes here, so each
    /// message has its own place.
    async fn acknowledge(&mut self) -> Result<Instant> {
        let next = timeout(PATIENCE, self.under_way.next()).await;
        let next = next.trying("waiting for an acknowledgement")?;
        let Some((index, due, ack)) = next else {
            return Err(Error::wrong("an acknowledgement that nothing waits for"));
        };
        let ack = ack.trying("publishing")?;
        if ack.duplicate || ack.sequence != u64::from(index) + 1 {
            return Err(Error::wrong(format!("message {index} got {ack:?}")));
        }
        self.acked += 1;
        Ok(due)
    }
}

/// Publishes at fixed moments, and receives.
struct Paced<'a> {
    publisher: Publisher<'a>,
    live: Subscriber,
    /// What has yet to be received, oldest first, with the moment at which it was due.
    due: VecDeque<(u32, Instant)>,
    latencies: Latencies,
}

impl Paced<'_> {
    async fn run(mut self, rate: u32, stretch: Stretch) -> Result<Latencies> {
        let interval = Duration::from_secs(1) / rate.max(1);
        let timer = async_timer(interval)?;
        let started = Instant::now();
        let counts_from = started + stretch.warm_up;
        let end = counts_from + stretch.measured;
        let mut said = 0;
        let mut next = started + interval;
        while next < end || !self.due.is_empty() || !self.publisher.under_way.is_empty() {
            tokio::select! {
                ready = timer.readable(), if next < end => {
                    ready.trying("a timer")?.clear_ready();
                    clear(timer.get_ref());
                    while next <= Instant::now() && next < end {
                        let index = self.publisher.publish(next).await?;
                        self.due.push_back((index, next));
                        said += 1;
                        next = started + interval * (said + 1);
                    }
                }
                outcome = self.publisher.acknowledge(), if !self.publisher.under_way.is_empty() => {
                    record(&mut self.latencies.ack, outcome?, counts_from);
                }
                message = timeout(PATIENCE, self.live.next()), if !self.due.is_empty() => {
                    let message = message.trying("waiting for a republished message")?;
                    let message = message.ok_or_else(|| Error::wrong("the subscription ended"))?;
                    let (index, due) = self.due.pop_front().unwrap_or((0, started));
                    if message.payload != payload(index).as_bytes() {
                        return Err(Error::wrong(format!("message {index} was due: {message:?}")));
                    }
                    record(&mut self.latencies.delivery, due, counts_from);
                }
            }
        }
        Ok(self.latencies)
    }
}

#[expect(deprecated, reason = "unsound only for types that do not own what they register")]
fn async_timer(interval: Duration) -> Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(timer(interval)?).trying("a timer")
}

fn record(histogram: &mut hdrhistogram::Histogram<u64>, due: Instant, counts_from: Instant) {
    if due >= counts_from {
        let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        histogram.saturating_record(micros);
    }
}
