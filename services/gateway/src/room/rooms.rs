//! The rooms of one worker: opened at the first subscribe, closed a while after the last leave.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::rt::{self, task::JoinHandle};
use futures_util::{
    FutureExt as _,
    future::{LocalBoxFuture, Shared},
};
use goch_chassis::shutdown::Shutdown;
use goch_contract::{
    ChannelName, Error, Seq,
    services::{
        broker::{TAILS_MAX, Tails},
        history::{Page, Window},
    },
    subjects::Subjects,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{
    Positions, PresenceRules, Ring, Room, Stirred,
    feed::{Burst, Feed, catch_up},
    keep,
};
use crate::{ServiceClient, metrics::GatewayMetrics, pages, socket::flusher::Flusher};

/// Events that a room begins with.
const FIRST_EVENTS: u32 = 100;

/// The shortest time between two looks into the log for the same room; each adds up to as much by
/// chance, so that rooms which opened together do not stay together.
const CHECK_EVERY: Duration = Duration::from_secs(30);

/// The first look at a new room, soon: in a NATS cluster its subscriptions may not have reached every
/// server when the room opened. What it was told of until then may be old.
const FIRST_CHECK: Duration = Duration::from_secs(3);

/// What rooms are made with.
pub(crate) struct RoomContext {
    pub(crate) client: async_nats::Client,
    pub(crate) subjects: Subjects,
    pub(crate) services: ServiceClient,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) linger: Duration,
    pub(crate) rooms_max: usize,
    pub(crate) presence: PresenceRules,
    /// What the rooms of all workers know of how far members have read.
    pub(crate) positions: Arc<Positions>,
    pub(crate) shutdown: Shutdown,
    /// Rooms that have something to settle.
    pub(crate) stirred: Rc<Stirred>,
    pub(crate) flusher: Rc<Flusher>,
}

/// Rooms that store what was read, or count what was not, at a time.
const WORKING_ROOMS_MAX: usize = 32;

/// How long NATS may take to take in a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

type Opening = Shared<LocalBoxFuture<'static, Result<Rc<Room>, Error>>>;

enum Entry {
    Opening {
        opening: Opening,
        /// The channel was deleted meanwhile: what is being read is of no use.
        is_gone: bool,
    },
    Open {
        room: Rc<Room>,
        feed: JoinHandle<()>,
    },
}

/// See the module.
pub(crate) struct Rooms {
    pub(super) context: RoomContext,
    /// Limits the rooms that have requests under way.
    pub(super) working: Semaphore,
    /// The tasks of those rooms.
    pub(super) works: TaskTracker,
    entries: RefCell<HashMap<ChannelName, Entry>>,
}

impl Rooms {
    pub(crate) fn new(context: RoomContext) -> Rc<Self> {
        let working = Semaphore::new(WORKING_ROOMS_MAX);
        let works = TaskTracker::new();
        Rc::new(Self { context, working, works, entries: RefCell::default() })
    }

    /// The room of a channel. However many sockets ask at once, it is opened once.
    ///
    /// # Errors
    /// `unavailable` when its events cannot be had, or when there are too many rooms.
    pub(crate) async fn open(self: &Rc<Self>, channel: &ChannelName) -> Result<Rc<Room>, Error> {
        let opening = {
            let mut entries = self.entries.borrow_mut();
            match entries.get(channel) {
                Some(Entry::Open { room, .. }) => return Ok(Rc::clone(room)),
                Some(Entry::Opening { opening, .. }) => opening.clone(),
                None if entries.len() >= self.context.rooms_max => {
                    return Err(Error::unavailable("this gateway has too many open channels"));
                }
                None => {
                    let opening = self.begin(channel.clone());
                    let entry = Entry::Opening { opening: opening.clone(), is_gone: false };
                    entries.insert(channel.clone(), entry);
                    opening
                }
            }
        };
        opening.await
    }

    /// Opens a room in a task of its own, so that it is finished even if the socket that asked first
    /// is gone.
    fn begin(self: &Rc<Self>, channel: ChannelName) -> Opening {
        let rooms = Rc::clone(self);
        let opening = async move {
            let outcome = rooms.context.feed(&channel).await;
            let mut entries = rooms.entries.borrow_mut();
            let is_gone =
                matches!(entries.get(&channel), Some(Entry::Opening { is_gone: true, .. }));
            match outcome {
                Ok(_) if is_gone => {
                    entries.remove(&channel);
                    Err(Error::unavailable("the channel was deleted while it was being opened"))
                }
                Ok(feed) => {
                    let room = Rc::clone(&feed.room);
                    if rooms.context.hears_at_once() {
                        room.listen();
                    }
                    let feed = rooms.context.shutdown.panic_free("feed of a room", feed.run());
                    let entry = Entry::Open { room: Rc::clone(&room), feed: rt::spawn(feed) };
                    entries.insert(channel, entry);
                    rooms.context.metrics.rooms.inc();
                    Ok(room)
                }
                Err(error) => {
                    entries.remove(&channel);
                    Err(error)
                }
            }
        };
        let task = rt::spawn(self.context.shutdown.panic_free("opening of a room", opening));
        task.map(|joined| {
            joined.unwrap_or_else(|_| Err(Error::unavailable("the channel could not be opened")))
        })
        .boxed_local()
        .shared()
    }

    /// Closes the room of a channel that is gone, and its sockets.
    pub(crate) fn put_out_all(&self, channel: &ChannelName) {
        let mut entries = self.entries.borrow_mut();
        match entries.get_mut(channel) {
            Some(Entry::Opening { is_gone, .. }) => *is_gone = true,
            Some(Entry::Open { room, feed }) => {
                feed.abort();
                self.context.metrics.rooms.dec();
                self.context.metrics.count_put_out(room.put_out_all());
                entries.remove(channel);
            }
            None => {}
        }
    }

    /// Looks into the log for every room: core messages may have been missed.
    pub(crate) fn distrust_all(&self) {
        self.for_each(Room::distrust);
    }

    pub(super) fn for_each(&self, act: impl Fn(&Rc<Room>)) {
        for entry in self.entries.borrow().values() {
            if let Entry::Open { room, .. } = entry {
                act(room);
            }
        }
    }

    pub(super) fn open_room(&self, channel: &ChannelName) -> Option<Rc<Room>> {
        match self.entries.borrow().get(channel) {
            Some(Entry::Open { room, .. }) => Some(Rc::clone(room)),
            _ => None,
        }
    }

    pub(super) fn open_rooms(&self, is_wanted: impl Fn(&Room) -> bool) -> Vec<Rc<Room>> {
        let entries = self.entries.borrow();
        let open = entries.values().filter_map(|entry| match entry {
            Entry::Open { room, .. } if is_wanted(room) => Some(Rc::clone(room)),
            _ => None,
        });
        open.collect()
    }

    /// Closes rooms that have been empty for long, and looks after those whose events are overdue.
    pub(crate) fn tick(&self, now: Instant) {
        let linger = self.context.linger;
        self.entries.borrow_mut().retain(|_, entry| {
            let Entry::Open { room, feed } = entry else { return true };
            // This entry and the feed hold a room; a third holder is a socket about to be seated.
            if room.is_idle(now, linger) && Rc::strong_count(room) == 2 {
                feed.abort();
                self.context.metrics.rooms.dec();
                return false;
            }
            if room.is_overdue(now) {
                room.look.notify_one();
            }
            room.remind(now);
            true
        });
    }

    /// Compares rooms whose turn it is with the log, many in one request.
    pub(crate) async fn check(&self, now: Instant) {
        let mut due = self.open_rooms(|room| room.is_due(now));
        due.truncate(TAILS_MAX);
        if due.is_empty() {
            return;
        }
        let request = Tails { channels: due.iter().map(|room| room.channel().clone()).collect() };
        match self.context.services.call(&request).await {
            Ok(tails) => {
                for (room, tail) in due.iter().zip(tails) {
                    room.listen();
                    room.postpone_check(now + CHECK_EVERY + CHECK_EVERY.mul_f64(fastrand::f64()));
                    if tail > room.with_ring(Ring::last_seq) {
                        room.look.notify_one();
                    }
                }
            }
            // They stay due.
            Err(error) => tracing::debug!(%error, "rooms were not checked"),
        }
    }
}

impl RoomContext {
    /// Subscribes first, then reads, then closes the distance between the two: no event can fall in
    /// between.
    async fn feed(&self, channel: &ChannelName) -> Result<Feed, Error> {
        let live = self.subscribe(self.subjects.live(channel)).await?;
        let signals = self.subscribe(self.subjects.signal(channel)).await?;
        let page =
            pages::read(&self.services, channel, Window::Latest, FIRST_EVENTS, Seq(0)).await?;
        let first_check = Instant::now() + FIRST_CHECK;
        let stirred = Rc::clone(&self.stirred);
        let (ring, positions) = (ring_of(&page), self.positions.of(channel));
        let room = Room::new(channel.clone(), ring, first_check, self.presence, stirred, positions);
        let room = Rc::new(room);
        catch_up(&room, &self.services, &self.metrics).await?;
        let (services, metrics) = (self.services.clone(), self.metrics.clone());
        let (client, flusher) = (self.client.clone(), Rc::clone(&self.flusher));
        let burst = Burst::default();
        Ok(Feed { room, live, signals, client, services, metrics, flusher, burst })
    }

    /// Whether a subscription gets everything as soon as a request that was made after it is answered.
    /// One server takes commands in their order; in a cluster, others may still drop what is published
    /// there, since they have not yet heard that somebody wants it.
    fn hears_at_once(&self) -> bool {
        self.client.server_info().cluster.is_none()
    }

    async fn subscribe(&self, subject: String) -> Result<async_nats::Subscriber, Error> {
        tokio::time::timeout(SUBSCRIBE_TIMEOUT, self.client.subscribe(subject))
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| Error::unavailable("the message broker is away"))
    }
}

fn ring_of(page: &Page) -> Ring {
    let covered_after = match page.events.first() {
        Some(first) if page.more && first.prev > Seq(0) => first.prev,
        Some(first) if page.more => Seq(first.seq.0.saturating_sub(1)),
        _ => Seq(0),
    };
    let mut ring = Ring::new(covered_after, !page.more);
    for kept in page.events.iter().filter_map(keep) {
        ring.push(kept);
    }
    ring
}
