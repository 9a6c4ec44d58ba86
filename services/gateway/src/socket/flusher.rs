//! Writes what waits for the sockets of one worker, once per turn of its loop.
//!
//! Whoever has something for a socket leaves it in the [`Outbox`], which reports here once. So what
//! comes together for a socket leaves in one system call, and a message to a thousand sockets wakes
//! one task, not a thousand.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use tokio::{sync::Notify, task::yield_now};

use super::{budget::Share, outbox::Outbox};

/// Sockets that are written to before other tasks of the worker have a turn: about two milliseconds.
const SOCKETS_AT_ONCE: usize = 512;

/// See the module. Its list has each socket once at most.
#[cfg_attr(test, derive(Default))]
pub(crate) struct Flusher {
    /// Counts what waits.
    pub(super) share: Share,
    waiting: RefCell<Vec<Rc<Outbox>>>,
    is_writing: Cell<bool>,
    added: Notify,
    flushed: Notify,
}

impl Flusher {
    pub(crate) fn new(share: Share) -> Self {
        Self {
            share,
            waiting: RefCell::default(),
            is_writing: Cell::new(false),
            added: Notify::new(),
            flushed: Notify::new(),
        }
    }

    /// Lets go of the sockets that wait.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.waiting.borrow_mut().clear();
    }

    /// Has an outbox written soon.
    pub(super) fn add(&self, outbox: Rc<Outbox>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            self.added.notify_one();
        }
        waiting.push(outbox);
    }

    /// Writes for ever.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut batch = Vec::new();
        loop {
            self.added.notified().await;
            self.is_writing.set(true);
            std::mem::swap(&mut batch, &mut *self.waiting.borrow_mut());
            for (index, outbox) in batch.drain(..).enumerate() {
                if index % SOCKETS_AT_ONCE == SOCKETS_AT_ONCE - 1 {
                    yield_now().await;
                }
                outbox.write();
            }
            self.is_writing.set(false);
            self.flushed.notify_waiters();
        }
    }

    /// Waits until what was added has been written. Whoever writes to many sockets does so before
    /// it goes on, so that what comes meanwhile leaves together.
    pub(crate) async fn flushed(&self) {
        let flushed = self.flushed.notified();
        if self.is_writing.get() || !self.waiting.borrow().is_empty() {
            flushed.await;
        }
    }
}
