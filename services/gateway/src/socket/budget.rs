//! The memory that waits for slow readers, of the whole process.
//!
//! Counted are the frames that belong to one socket, frames that sockets share (once, however many
//! hold them), and the queues themselves. Each worker counts for itself and tells the process in
//! steps, so that a message on its way costs no more than an addition.

use std::{
    cell::{Cell, OnceCell},
    cmp::Reverse,
    sync::{
        Arc,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

/// What a worker may have counted and not told yet.
const STEP: isize = 64 * 1024;

/// What is left once sockets have been closed for the budget's sake, of 8.
const TARGET_EIGHTHS: usize = 7;

/// Beyond so much of it, of 8, a socket is closed by what is queued for it rather than a moment later.
const EXHAUSTED_EIGHTHS: usize = 9;

/// What a process may keep for its sockets.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: AtomicIsize,
    /// 0 for any number.
    bytes_max: usize,
    /// Sockets of the process.
    sockets: Arc<AtomicUsize>,
    spent: Notify,
}

impl Budget {
    /// A budget of `bytes_max` bytes for so many `sockets`; 0 for no limit.
    pub(crate) fn new(bytes_max: usize, sockets: Arc<AtomicUsize>) -> Arc<Self> {
        let spent = Notify::new();
        Arc::new(Self { bytes: AtomicIsize::new(0), bytes_max, sockets, spent })
    }

    /// Bytes that are kept, to within a step of each worker.
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Waits until the budget is spent.
    pub(super) async fn spent(&self) {
        let spent = self.spent.notified();
        if self.excess() == 0 {
            spent.await;
        }
    }

    /// How many bytes are to be freed: some more than were spent too much, so that this is rare.
    pub(super) fn excess(&self) -> usize {
        let bytes = self.bytes();
        if self.bytes_max == 0 || bytes <= self.bytes_max {
            return 0;
        }
        bytes - self.bytes_max / 8 * TARGET_EIGHTHS
    }

    /// Half of what each socket may have if all have as much. Closing those that have more always
    /// frees enough, so a socket that has less is never closed for the budget's sake.
    pub(super) fn fair_share(&self) -> usize {
        self.bytes_max / (2 * self.sockets.load(Ordering::Relaxed).max(1))
    }

    fn is_exhausted(&self) -> bool {
        self.bytes_max > 0 && self.bytes() > self.bytes_max / 8 * EXHAUSTED_EIGHTHS
    }

    fn add(&self, bytes: isize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if bytes > 0 && self.excess() > 0 {
            self.spent.notify_waiters();
        }
    }
}

/// One worker's part of the counting.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    /// Bytes counted here and not yet told.
    untold: Cell<isize>,
    /// Whether the budget was exhausted when it was last told something.
    is_exhausted: Cell<bool>,
}

impl Share {
    pub(crate) fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), untold: Cell::new(0), is_exhausted: Cell::new(false) }
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Counts that an outbox keeps `after` bytes where it kept `before`.
    pub(super) fn count(&self, before: usize, after: usize) {
        let untold = self.untold.get() + signed(after) - signed(before);
        self.untold.set(untold);
        if untold.abs() >= STEP {
            self.untold.set(0);
            self.budget.add(untold);
            self.is_exhausted.set(self.budget.is_exhausted());
        }
    }

    /// Whether far too much is kept, so that a socket which has `bytes` is closed at once.
    pub(super) fn forbids(&self, bytes: usize) -> bool {
        if !self.is_exhausted.get() {
            return false;
        }
        // Others may have freed something since.
        self.is_exhausted.set(self.budget.is_exhausted());
        self.is_exhausted.get() && bytes > self.budget.fair_share()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.add(self.untold.get());
    }
}

/// Sizes of memory fit.
fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

/// Frames that many sockets are handed: one allocation, counted once, from the first socket that
/// takes them to the last one that has written them.
pub(crate) struct Shared {
    frames: Cell<BytesMut>,
    charged: OnceCell<Bytes>,
}

impl Shared {
    pub(crate) fn new(frames: BytesMut) -> Self {
        Self { frames: Cell::new(frames), charged: OnceCell::new() }
    }

    /// The frames, which count until the last one who holds them lets go.
    pub(super) fn charge(&self, budget: &Arc<Budget>) -> Bytes {
        let charge = || Bytes::from_owner(Charged::new(self.frames.take(), budget));
        self.charged.get_or_init(charge).clone()
    }
}

/// Frames with their count.
struct Charged {
    frames: BytesMut,
    budget: Arc<Budget>,
}

impl Charged {
    fn new(frames: BytesMut, budget: &Arc<Budget>) -> Self {
        budget.add(signed(frames.capacity()));
        Self { frames, budget: Arc::clone(budget) }
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        self.budget.add(-signed(self.frames.capacity()));
    }
}

/// Whom to close, of those that have so many bytes each: whoever has most, until a part of `excess` is
/// freed that is theirs of `bytes` in all, and nobody who has no more than a `fair_share`.
pub(super) fn to_close<T>(
    mut held: Vec<(usize, T)>,
    excess: usize,
    bytes: usize,
    fair_share: usize,
) -> Vec<T> {
    let all: usize = held.iter().map(|(held, _)| held).sum();
    let due = (all as u128 * excess as u128).div_ceil(bytes.max(1) as u128);
    held.retain(|(held, _)| *held > fair_share);
    held.sort_unstable_by_key(|(held, _)| Reverse(*held));
    let mut freed = 0_u128;
    let is_due = |(held, _): &(usize, T)| {
        let is_due = freed < due;
        freed += *held as u128;
        is_due
    };
    held.into_iter().take_while(is_due).map(|(_, whose)| whose).collect()
}

#[cfg(test)]
impl Default for Share {
    /// Of no limit.
    fn default() -> Self {
        Self::of(&Budget::new(0, Arc::default()))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn budget(bytes_max: usize, sockets: usize) -> Arc<Budget> {
        Budget::new(bytes_max, Arc::new(AtomicUsize::new(sockets)))
    }

    #[test]
    fn what_many_hold_counts_once_until_the_last_one_lets_go() {
        let budget = budget(0, 3);
        let shared = Shared::new(BytesMut::from(&[b'x'; 1_000][..]));
        assert_eq!(budget.bytes(), 0, "nobody has taken it");
        let held = [shared.charge(&budget), shared.charge(&budget)];
        assert_eq!(budget.bytes(), 1_000);
        drop(shared);
        let [one, other] = held;
        let rest = one.slice(999..);
        drop((one, other));
        assert_eq!(budget.bytes(), 1_000);
        drop(rest);
        assert_eq!(budget.bytes(), 0);
    }

    #[test]
    fn a_worker_tells_in_steps_and_at_its_end() {
        let budget = budget(1 << 20, 1);
        let share = Share::of(&budget);
        share.count(0, 60_000);
        assert_eq!(budget.bytes(), 0);
        share.count(60_000, 70_000);
        assert_eq!(budget.bytes(), 70_000);
        share.count(70_000, 69_000);
        drop(share);
        assert_eq!(budget.bytes(), 69_000);
    }

    #[test]
    fn a_spent_budget_says_how_much_is_to_go_and_whom_it_spares() {
        let budget = budget(800_000, 4);
        let share = Share::of(&budget);
        share.count(0, 800_000);
        assert_eq!((budget.excess(), share.forbids(1 << 30)), (0, false));
        share.count(800_000, 1_000_000);
        assert_eq!(budget.excess(), 300_000);
        assert!(share.forbids(100_001) && !share.forbids(100_000));
        share.count(1_000_000, 600_000);
        assert_eq!((budget.excess(), share.forbids(1 << 30)), (0, false));
    }

    #[test]
    fn whoever_waits_until_the_budget_is_spent_is_told_then_and_not_before() {
        let budget = budget(500_000, 1);
        let share = Share::of(&budget);
        let mut spent = pin!(budget.spent());
        assert!(spent.as_mut().now_or_never().is_none());
        share.count(0, 500_000);
        share.count(500_000, 400_000);
        share.count(400_000, 500_000);
        assert!(spent.as_mut().now_or_never().is_none());
        share.count(500_000, 600_000);
        assert!(spent.now_or_never().is_some());
        assert!(budget.spent().now_or_never().is_some(), "it is still spent");
        share.count(600_000, 500_000);
        assert!(budget.spent().now_or_never().is_none());
    }

    #[test]
    fn without_a_limit_nothing_is_too_much() {
        let budget = budget(0, 1);
        let share = Share::of(&budget);
        share.count(0, 1 << 40);
        assert_eq!((budget.excess(), share.forbids(1 << 40)), (0, false));
        assert!(budget.spent().now_or_never().is_none());
    }

    #[test]
    fn pushes_are_forbidden_beyond_an_eighth_more_than_the_budget() {
        let budget = budget(800_000, 1);
        let share = Share::of(&budget);
        share.count(0, 900_000);
        assert!(!share.forbids(1 << 30));
        share.count(900_000, 900_000 + 100_000);
        assert!(share.forbids(1 << 30));
    }

    #[test]
    fn a_worker_closes_as_many_as_its_part_of_what_is_too_much_asks_for() {
        // It holds 300 of 1,200 bytes, so 50 of the 200 that are to go are its.
        let held = vec![(40, 'a'), (10, 'b'), (50, 'c'), (200, 'd')];
        assert_eq!(to_close(held.clone(), 200, 1_200, 10), ['d']);
        // Of 1,000, so 240 of 800.
        assert_eq!(to_close(held.clone(), 800, 1_000, 10), ['d', 'c']);
        // What was freed suffices exactly.
        assert_eq!(to_close(held.clone(), 1_000, 1_200, 10), ['d', 'c']);
        assert_eq!(to_close(held, 1_200, 1_200, 10), ['d', 'c', 'a']);
        assert!(to_close(Vec::<(usize, char)>::new(), 10, 0, 0).is_empty());
    }

    proptest! {
        #[test]
        fn those_that_hold_most_are_closed_and_no_more_of_them_than_must(
            held in prop::collection::vec(0_usize..2_000, 1..40),
            bytes_max in 1_usize..20_000,
        ) {
            let all: usize = held.iter().sum();
            prop_assume!(all > bytes_max);
            let (excess, fair_share) = (all - bytes_max, bytes_max / (2 * held.len()));
            let closed = to_close(held.iter().map(|held| (*held, *held)).collect(), excess, all, fair_share);
            let freed: usize = closed.iter().sum();
            // What is left fits, and would not if the last one had stayed.
            prop_assert!(all - freed <= bytes_max);
            prop_assert!(freed - closed.last().unwrap() < excess);
            prop_assert!(closed.iter().all(|held| *held > fair_share));
            let mut largest = held;
            largest.sort_unstable_by_key(|held| Reverse(*held));
            prop_assert_eq!(&largest[..closed.len()], &closed[..]);
        }
    }
}
