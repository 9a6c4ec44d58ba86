//! Bytes that wait to be written, in order and within a bound.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf as _, Bytes};

/// An empty queue gives back its memory above this many slots.
const SLOTS_KEPT: usize = 16;

/// See the module.
pub(super) struct Queue {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    bytes_max: usize,
    /// Whether a part of the first chunk has been written.
    is_begun: bool,
}

impl Queue {
    /// A queue of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { chunks: VecDeque::new(), bytes: 0, bytes_max, is_begun: false }
    }

    /// Queues a chunk, unless it is more than the bound allows. Tells whether it was queued.
    pub(super) fn push(&mut self, chunk: Bytes) -> bool {
        let fits = self.bytes + chunk.len() <= self.bytes_max;
        if fits {
            self.append(chunk);
        }
        fits
    }

    /// Queues a chunk whatever the bound says: the last word of a connection.
    pub(super) fn append(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// Bytes that wait.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether more than half of the bound is used.
    pub(super) fn is_half_full(&self) -> bool {
        self.bytes > self.bytes_max / 2
    }

    /// The first chunk, when it is all that waits.
    pub(super) fn only_chunk(&self) -> Option<&[u8]> {
        if self.chunks.len() == 1 { self.chunks.front().map(|chunk| &chunk[..]) } else { None }
    }

    /// Fills in the first chunks, and tells how many.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    /// Drops bytes that have been written.
    pub(super) fn advance(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(first) = self.chunks.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.is_begun |= written > 0;
                return;
            }
            written -= first.len();
            self.is_begun = false;
            self.chunks.pop_front();
        }
        if self.chunks.capacity() > SLOTS_KEPT {
            self.chunks = VecDeque::new();
        }
    }

    /// Drops everything but the rest of a chunk that has been written in part: what comes next must
    /// not be taken for that rest.
    pub(super) fn drop_unbegun(&mut self) {
        self.chunks.truncate(usize::from(self.is_begun));
        self.bytes = self.chunks.iter().map(Bytes::len).sum();
    }

    /// Drops everything, and the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(Vec<u8>),
        /// Writes so many bytes of the slices that are offered.
        Write(usize),
        DropUnbegun,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Step::Push),
            6 => (0_usize..100).prop_map(Step::Write),
            1 => Just(Step::DropUnbegun),
        ]
    }

    /// Writes up to `count` bytes of what the queue offers in one call.
    fn write(queue: &mut Queue, count: usize, written: &mut Vec<u8>) {
        let mut slices = [IoSlice::new(&[]); 4];
        let offered = queue.slices(&mut slices);
        let offered: Vec<u8> = slices[..offered].iter().flat_map(|slice| slice.to_vec()).collect();
        let count = count.min(offered.len());
        written.extend_from_slice(&offered[..count]);
        queue.advance(count);
    }

    proptest! {
        #[test]
        fn what_is_queued_leaves_in_order_within_the_bound_and_never_in_pieces(
            steps in prop::collection::vec(step(), 0..60),
            bytes_max in 1_usize..200,
        ) {
            let mut queue = Queue::new(bytes_max);
            // What is due to have been written in the end, and where each chunk of it ends.
            let (mut due, mut ends, mut written) = (Vec::new(), vec![0], Vec::new());
            for step in steps {
                match step {
                    Step::Push(chunk) => {
                        let fits = due.len() - written.len() + chunk.len() <= bytes_max;
                        prop_assert_eq!(queue.push(Bytes::from(chunk.clone())), fits);
                        if fits {
                            due.extend(chunk);
                            ends.push(due.len());
                        }
                    }
                    Step::Write(count) => write(&mut queue, count, &mut written),
                    Step::DropUnbegun => {
                        queue.drop_unbegun();
                        let end = ends.iter().find(|end| **end >= written.len());
                        due.truncate(*end.unwrap());
                        ends.retain(|end| *end <= due.len());
                    }
                }
                prop_assert_eq!(queue.bytes(), due.len() - written.len());
                prop_assert_eq!(queue.is_empty(), due.len() == written.len());
                let only = queue.only_chunk().map(<[u8]>::to_vec);
                let is_last = ends.iter().filter(|end| **end > written.len()).count() == 1;
                prop_assert_eq!(only, is_last.then(|| due[written.len()..].to_vec()));
            }
            while !queue.is_empty() {
                write(&mut queue, 100, &mut written);
            }
            prop_assert_eq!(written, due);
        }
    }
}
