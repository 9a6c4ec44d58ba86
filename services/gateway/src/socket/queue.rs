//! Bytes that wait to be written, in order and within a bound.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf as _, Bytes};

/// A queue gives back its memory above this many slots.
const SLOTS_KEPT: usize = 16;

/// What an allocation takes beside its content: who counts those that hold it.
const ALLOCATION_BYTES: usize = 32;

/// What a chunk takes beside its content: its allocation, and its slot twice, because a queue grows by
/// doubling.
pub(super) const CHUNK_BYTES: usize = ALLOCATION_BYTES + 2 * size_of::<Slot>();

/// A chunk, or the rest of it.
struct Slot {
    bytes: Bytes,
    /// What dropping the chunk frees: nothing if other sockets hold it too.
    own: usize,
}

impl Slot {
    fn own(bytes: Bytes) -> Self {
        let own = bytes.len() + ALLOCATION_BYTES;
        Self { bytes, own }
    }

    fn cost(&self) -> usize {
        self.bytes.len() + CHUNK_BYTES
    }
}

/// See the module.
pub(super) struct Queue {
    chunks: VecDeque<Slot>,
    /// The answer to the client's latest ping, which is to be written next.
    pong: Option<Bytes>,
    /// What all chunks cost together.
    cost: usize,
    cost_max: usize,
    /// What dropping them would free.
    own: usize,
    /// Whether a part of the first chunk has been written.
    is_begun: bool,
    /// Whether the first chunk is a pong.
    is_pong_first: bool,
}

impl Queue {
    /// A queue of at most `cost_max` bytes, [`CHUNK_BYTES`] for each chunk included.
    pub(super) fn new(cost_max: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            pong: None,
            cost: 0,
            cost_max,
            own: 0,
            is_begun: false,
            is_pong_first: false,
        }
    }

    /// Changes the bound.
    pub(super) fn widen(&mut self, cost_max: usize) {
        self.cost_max = cost_max;
    }

    /// Queues a chunk of this socket alone, unless it is more than the bound allows. Tells whether it
    /// was queued.
    pub(super) fn push(&mut self, chunk: Bytes) -> bool {
        self.take(Slot::own(chunk))
    }

    /// The same with a chunk that other sockets hold too.
    pub(super) fn push_shared(&mut self, chunk: Bytes) -> bool {
        self.take(Slot { bytes: chunk, own: 0 })
    }

    fn take(&mut self, slot: Slot) -> bool {
        let fits = self.cost + slot.cost() <= self.cost_max;
        if fits {
            self.queue(slot);
        }
        fits
    }

    /// Queues a chunk whatever the bound says: the last word of a connection.
    pub(super) fn append(&mut self, chunk: Bytes) {
        self.queue(Slot::own(chunk));
    }

    fn queue(&mut self, slot: Slot) {
        self.cost += slot.cost();
        self.own += slot.own;
        self.chunks.push_back(slot);
    }

    /// Has a pong written before what waits, and instead of an earlier one of which nothing has been
    /// written (RFC 6455, 5.5.3). So there are two at most.
    pub(super) fn push_pong(&mut self, pong: Bytes) {
        self.pong = Some(pong);
    }

    /// Puts the pong where it may stand: between two frames.
    pub(super) fn place_pong(&mut self) {
        if self.is_begun {
            return;
        }
        let Some(pong) = self.pong.take() else { return };
        if self.is_pong_first {
            self.drop_first();
        }
        let slot = Slot::own(pong);
        self.cost += slot.cost();
        self.own += slot.own;
        self.chunks.push_front(slot);
        self.is_pong_first = true;
    }

    /// What waits, counted as the bound is.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// The memory that is freed when the queue is.
    pub(super) fn held(&self) -> usize {
        let slots = self.chunks.capacity();
        let slots = if slots > SLOTS_KEPT { slots * size_of::<Slot>() } else { 0 };
        self.own + slots
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.pong.is_none()
    }

    /// Whether more than half of the bound is used.
    pub(super) fn is_half_full(&self) -> bool {
        self.cost > self.cost_max / 2
    }

    /// The first chunk, when it is all that waits.
    pub(super) fn only_chunk(&self) -> Option<&[u8]> {
        if self.chunks.len() == 1 { self.chunks.front().map(|slot| &slot.bytes[..]) } else { None }
    }

    /// Fills in the first chunks, and tells how many.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, slot) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(&slot.bytes);
            count += 1;
        }
        count
    }

    /// Drops bytes that have been written.
    pub(super) fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.chunks.front_mut() {
            if written < first.bytes.len() {
                first.bytes.advance(written);
                self.cost -= written;
                self.is_begun |= written > 0;
                break;
            }
            written -= first.bytes.len();
            self.drop_first();
        }
        self.give_back();
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.chunks.pop_front() {
            self.cost -= first.cost();
            self.own -= first.own;
        }
        self.is_begun = false;
        self.is_pong_first = false;
    }

    /// Gives back slots when few are left in use.
    fn give_back(&mut self) {
        let (used, slots) = (self.chunks.len(), self.chunks.capacity());
        if slots <= SLOTS_KEPT {
            return;
        }
        if used == 0 {
            self.chunks = VecDeque::new();
        } else if used <= slots / 4 {
            self.chunks.shrink_to(2 * used);
        }
    }

    /// Drops everything but the rest of a chunk that has been written in part: what comes next must
    /// not be taken for that rest.
    pub(super) fn drop_unbegun(&mut self) {
        self.chunks.truncate(usize::from(self.is_begun));
        self.pong = None;
        self.is_pong_first &= self.is_begun;
        self.cost = self.chunks.iter().map(Slot::cost).sum();
        self.own = self.chunks.iter().map(|slot| slot.own).sum();
        self.give_back();
    }

    /// Drops everything, and the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.cost_max);
    }
}

#[cfg(test)]
mod tests;
