//! The sockets of one worker: counted, kept alive, drained together.
//!
//! One tick looks after all of them, so an idle socket costs no timer.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use goch_contract::{UnixMillis, frame::ServerFrame};
use slab::Slab;
use tokio::{net::tcp::OwnedWriteHalf, sync::Notify};

use super::{budget::to_close, closing::Closing, encode, flusher::Flusher, outbox::Outbox};
use crate::{
    metrics::{CloseLabel, GatewayMetrics},
    token,
};

/// A socket that says nothing for this long is asked for a sign of life.
const PING_AFTER: Duration = Duration::from_secs(25);

/// A socket that says nothing for this long is gone.
const DEAD_AFTER: Duration = Duration::from_mins(1);

/// The pause between two times of closing sockets because memory is short.
const SHED_EVERY: Duration = Duration::from_millis(10);

/// The pause when there was none to close.
const SHED_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long before its end a token's client is told to present a newer one, in milliseconds.
const WARN_BEFORE_MS: u64 = 30_000;

/// The part of a socket that the worker looks after.
pub(crate) struct Watched {
    pub(crate) outbox: Rc<Outbox>,
    /// What it may keep once it is authorised.
    outbox_bytes: usize,
    opened: Instant,
    heard: Cell<Instant>,
    pinged: Cell<bool>,
    authorized: Cell<bool>,
    /// When the first of its tokens ends.
    expires_at: Cell<Option<UnixMillis>>,
    /// Whether the client knows that this is near.
    warned: Cell<bool>,
    /// Told when the socket is to finish what it does and close.
    pub(crate) drain: Notify,
}

impl Watched {
    /// Notes a sign of life.
    pub(crate) fn hear(&self, now: Instant) {
        self.heard.set(now);
        self.pinged.set(false);
    }

    /// Notes a successful subscription, from which on more may wait for the socket.
    pub(crate) fn authorize(&self) {
        if !self.authorized.replace(true) {
            self.outbox.widen(self.outbox_bytes);
        }
    }

    /// Whether a subscription has succeeded.
    pub(crate) fn is_authorized(&self) -> bool {
        self.authorized.get()
    }

    /// Notes when the first of its tokens ends.
    pub(crate) fn expire_at(&self, expires_at: Option<UnixMillis>) {
        if self.expires_at.replace(expires_at) != expires_at {
            self.warned.set(false);
        }
    }
}

/// The sockets of one worker.
pub(crate) struct Sockets {
    watched: RefCell<Slab<Rc<Watched>>>,
    /// Told when the last one has gone.
    emptied: Notify,
    /// Sockets of the whole process.
    total: Arc<AtomicUsize>,
    total_max: usize,
    outbox_bytes: usize,
    outbox_unauthorised_bytes: usize,
    authorize_within: Duration,
    flusher: Rc<Flusher>,
    metrics: GatewayMetrics,
}

/// A socket's entry; dropping it removes the socket.
pub(crate) struct Registered {
    sockets: Rc<Sockets>,
    key: usize,
    watched: Rc<Watched>,
}

impl Registered {
    pub(crate) fn watched(&self) -> &Rc<Watched> {
        &self.watched
    }

    /// Closes the socket, for the reason that the client and the metrics are told.
    pub(crate) fn close(&self, closing: Closing) {
        self.sockets.close(&self.watched, closing);
    }

    /// Notes for the metrics why the socket was closed, where that was not done by [`Self::close`].
    pub(crate) fn count(&self, closing: Closing) {
        self.sockets.count(closing);
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut watched = self.sockets.watched.borrow_mut();
        watched.try_remove(self.key);
        if watched.is_empty() {
            self.sockets.emptied.notify_waiters();
        }
        self.sockets.total.fetch_sub(1, Ordering::Relaxed);
        self.sockets.metrics.sockets.dec();
    }
}

impl Sockets {
    pub(crate) fn new(
        total: Arc<AtomicUsize>,
        total_max: usize,
        config: &crate::GatewayConfig,
        flusher: Rc<Flusher>,
        metrics: GatewayMetrics,
    ) -> Rc<Self> {
        Rc::new(Self {
            watched: RefCell::default(),
            emptied: Notify::new(),
            total,
            total_max,
            outbox_bytes: config.outbox_bytes,
            outbox_unauthorised_bytes: config.outbox_unauthorised_bytes,
            authorize_within: config.authorize_within,
            flusher,
            metrics,
        })
    }

    /// Takes a socket in. One that is too many is told so at once.
    pub(crate) fn register(self: &Rc<Self>, stream: OwnedWriteHalf) -> Registered {
        let now = Instant::now();
        let watched = Rc::new(Watched {
            outbox: Outbox::new(self.outbox_unauthorised_bytes, stream, &self.flusher),
            outbox_bytes: self.outbox_bytes,
            opened: now,
            heard: Cell::new(now),
            pinged: Cell::new(false),
            authorized: Cell::new(false),
            expires_at: Cell::new(None),
            warned: Cell::new(false),
            drain: Notify::new(),
        });
        let key = self.watched.borrow_mut().insert(Rc::clone(&watched));
        self.metrics.sockets.inc();
        let others = self.total.fetch_add(1, Ordering::Relaxed);
        let registered = Registered { sockets: Rc::clone(self), key, watched };
        if others >= self.total_max {
            registered.close(Closing::Overloaded);
        }
        registered
    }

    fn close(&self, watched: &Watched, closing: Closing) {
        if watched.outbox.is_open() {
            self.count(closing);
            watched.outbox.close(closing);
        }
    }

    fn count(&self, closing: Closing) {
        self.metrics.closes.get_or_create(&CloseLabel { code: closing.code() }).inc();
    }

    /// Pings the silent, cuts the dead, and closes those that were not authorised in time or whose
    /// token has ended.
    pub(crate) fn tick(&self, now: Instant) {
        let time = UnixMillis::now();
        for (_, watched) in self.watched.borrow().iter() {
            let silent = now.saturating_duration_since(watched.heard.get());
            let age = now.saturating_duration_since(watched.opened);
            if silent > DEAD_AFTER {
                watched.outbox.cut();
            } else if !watched.authorized.get() && age > self.authorize_within {
                self.close(watched, Closing::Unauthorized);
            } else if watched.expires_at.get().is_some_and(|end| token::has_expired(end, time)) {
                self.close(watched, Closing::TokenExpired);
            } else if silent > PING_AFTER && !watched.pinged.replace(true) {
                watched.outbox.push(encode::ping());
            }
            let is_near = |end: &UnixMillis| end.0.saturating_sub(WARN_BEFORE_MS) <= time.0;
            let near = watched.expires_at.get().filter(is_near);
            if let Some(expires_at) = near.filter(|_| !watched.warned.replace(true)) {
                let warning = ServerFrame::TokenExpiring { expires_at };
                watched.outbox.push(encode::text(&warning.to_json()));
            }
        }
    }

    /// Closes those for which most waits whenever the process keeps too much for its sockets. Each
    /// worker frees its part.
    pub(crate) async fn keep_within_budget(&self) {
        let budget = self.flusher.share.budget();
        loop {
            budget.spent().await;
            let shed = self.shed(budget.excess(), budget.bytes(), budget.fair_share());
            self.metrics.outboxes_shed.inc_by(shed);
            // It may be up to other workers now.
            let pause = if shed == 0 { SHED_AGAIN_AFTER } else { SHED_EVERY };
            tokio::time::sleep(pause).await;
        }
    }

    /// Frees this worker's part of `excess`, of so many `bytes` in all, from sockets that have more than
    /// a `fair_share`. Returns how many were closed.
    fn shed(&self, excess: usize, bytes: usize, fair_share: usize) -> u64 {
        let watched = self.watched.borrow();
        let held = watched.iter().map(|(_, watched)| (watched.outbox.bytes(), &watched.outbox));
        let held = held.filter(|(held, _)| *held > 0).collect();
        let closed = to_close(held, excess, bytes, fair_share);
        for outbox in &closed {
            outbox.shed();
        }
        closed.len() as u64
    }

    /// Tells every client to reconnect, each after another pause within `spread`, and waits until
    /// all sockets are gone.
    pub(crate) async fn drain(&self, spread: Duration) {
        for (_, watched) in self.watched.borrow().iter() {
            let after_ms = fastrand::u64(..=u64::try_from(spread.as_millis()).unwrap_or(u64::MAX));
            let reconnect = ServerFrame::Reconnect { after_ms };
            watched.outbox.push(encode::text(&reconnect.to_json()));
            watched.drain.notify_one();
        }
        loop {
            let emptied = self.emptied.notified();
            if self.watched.borrow().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

#[cfg(test)]
mod tests;
