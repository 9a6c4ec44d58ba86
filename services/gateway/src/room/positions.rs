//! How far members have read, as all workers of the process know it.
//!
//! A channel has a room in each worker that has its sockets. What one of them has learnt of a member,
//! by an answer or a signal, the others need not ask for. This is looked at when somebody subscribes,
//! watches or reads, never on an event's way, and no lock is held for longer than a lookup.
//!
//! A position holds for as long as somebody hears the signals that move it. A room that does is a
//! *listener*. Whenever signals may have been missed, or nobody listened, everything is forgotten.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use goch_contract::{ChannelName, Seq, Uid};
use lru::LruCache;

/// Members remembered of one channel; the longest unused is forgotten first.
const MEMBERS_MAX: usize = 10_000;

/// How long a count is counted on from. A message that is erased with its author says nothing, so a
/// count that has it must end some time.
const COUNTED_FOR: Duration = Duration::from_mins(1);

/// The channels that have rooms.
#[derive(Debug, Default)]
pub(crate) struct Positions(Mutex<HashMap<ChannelName, Weak<ChannelPositions>>>);

/// What the rooms of one channel share.
#[derive(Debug)]
pub(super) struct ChannelPositions {
    channel: ChannelName,
    channels: Arc<Positions>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    members: LruCache<Uid, Known>,
    /// Rises when everything is forgotten, so that an answer from before is not taken for new.
    epoch: u64,
    listeners: usize,
}

/// A member's read position and, if it has been counted, what is unread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) position: Seq,
    counted: Option<(Counted, Instant)>,
}

/// A member's unread messages up to a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The read position that they come after.
    pub(super) position: Seq,
    pub(crate) count: u64,
    pub(super) through: Seq,
}

impl Known {
    /// The count, unless it is old.
    pub(super) fn counted(&self, now: Instant) -> Option<Counted> {
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < COUNTED_FOR;
        self.counted.filter(|(_, at)| is_fresh(*at)).map(|(counted, _)| counted)
    }
}

impl Positions {
    /// What is known of a channel.
    pub(super) fn of(self: &Arc<Self>, channel: &ChannelName) -> Arc<ChannelPositions> {
        let mut channels = lock(&self.0);
        if let Some(known) = channels.get(channel).and_then(Weak::upgrade) {
            return known;
        }
        // Unbounded means "no allocation up front"; the bound is kept in `State::note`.
        let state = State { members: LruCache::unbounded(), epoch: 0, listeners: 0 };
        let known = Arc::new(ChannelPositions {
            channel: channel.clone(),
            channels: Arc::clone(self),
            state: Mutex::new(state),
        });
        channels.insert(channel.clone(), Arc::downgrade(&known));
        known
    }
}

impl Drop for ChannelPositions {
    fn drop(&mut self) {
        let mut channels = lock(&self.channels.0);
        // Another may have come in its place.
        if channels.get(&self.channel).is_some_and(|known| known.strong_count() == 0) {
            channels.remove(&self.channel);
        }
    }
}

impl ChannelPositions {
    pub(super) fn get(&self, uid: &Uid) -> Option<Known> {
        lock(&self.state).members.get(uid).copied()
    }

    pub(super) fn epoch(&self) -> u64 {
        lock(&self.state).epoch
    }

    /// Notes a position that was signalled.
    pub(super) fn note(&self, uid: &Uid, position: Seq) {
        lock(&self.state).note(uid, position);
    }

    /// Notes a position that was answered. False if everything has been forgotten since `epoch`.
    pub(super) fn note_answer(&self, epoch: u64, uid: &Uid, position: Seq) -> bool {
        let mut state = lock(&self.state);
        let holds = state.epoch == epoch;
        if holds {
            state.note(uid, position);
        }
        holds
    }

    /// Notes what is unread after a member's present position.
    pub(super) fn note_counted(&self, epoch: u64, uid: &Uid, counted: Counted) {
        let mut state = lock(&self.state);
        if state.epoch == epoch
            && let Some(known) = state.members.get_mut(uid)
            && known.position == counted.position
        {
            known.counted = Some((counted, Instant::now()));
        }
    }

    /// Forgets a member.
    pub(super) fn forget_member(&self, uid: &Uid) {
        lock(&self.state).members.pop(uid);
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        lock(&self.state).forget();
    }

    /// Notes that a room hears all signals from now on.
    pub(super) fn add_listener(&self) {
        let mut state = lock(&self.state);
        if state.listeners == 0 {
            state.forget();
        }
        state.listeners += 1;
    }

    pub(super) fn remove_listener(&self) {
        lock(&self.state).listeners -= 1;
    }
}

impl State {
    fn note(&mut self, uid: &Uid, position: Seq) {
        if let Some(known) = self.members.get_mut(uid) {
            if known.position < position {
                *known = Known { position, counted: None };
            }
            return;
        }
        if self.members.len() >= MEMBERS_MAX {
            self.members.pop_lru();
        }
        self.members.put(uid.clone(), Known { position, counted: None });
    }

    fn forget(&mut self) {
        self.members.clear();
        self.epoch += 1;
    }
}

/// A panic elsewhere leaves what is remembered as right as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(name: &str) -> Uid {
        Uid::parse(name).unwrap()
    }

    fn position(known: &ChannelPositions, name: &str) -> Option<Seq> {
        known.get(&uid(name)).map(|known| known.position)
    }

    fn channel() -> (Arc<Positions>, Arc<ChannelPositions>) {
        let positions = Arc::new(Positions::default());
        let known = positions.of(&ChannelName::parse("c").unwrap());
        known.add_listener();
        (positions, known)
    }

    #[test]
    fn what_one_room_learns_the_others_know_until_the_last_is_closed() {
        let (positions, one) = channel();
        let other = positions.of(&one.channel);
        one.note(&uid("ann"), Seq(7));
        one.note(&uid("ann"), Seq(5));
        assert_eq!(position(&other, "ann"), Some(Seq(7)));
        let name = one.channel.clone();
        drop(one);
        assert_eq!(position(&positions.of(&name), "ann"), Some(Seq(7)));
        drop(other);
        assert!(positions.0.lock().unwrap().is_empty());
        assert_eq!(position(&positions.of(&name), "ann"), None);
    }

    #[test]
    fn an_answer_from_before_everything_was_forgotten_is_not_taken() {
        let (_positions, known) = channel();
        let epoch = known.epoch();
        assert!(known.note_answer(epoch, &uid("ann"), Seq(7)));
        known.forget();
        assert!(!known.note_answer(epoch, &uid("ann"), Seq(7)));
        assert_eq!(position(&known, "ann"), None);
    }

    #[test]
    fn nothing_is_believed_from_a_time_when_nobody_listened() {
        let (_positions, known) = channel();
        known.note(&uid("ann"), Seq(7));
        known.add_listener();
        known.remove_listener();
        assert_eq!(position(&known, "ann"), Some(Seq(7)), "one listens still");
        known.remove_listener();
        known.add_listener();
        assert_eq!(position(&known, "ann"), None);
    }

    #[test]
    fn a_count_ends_when_its_position_moves_and_after_a_while() {
        let (_positions, known) = channel();
        let ann = uid("ann");
        known.note(&ann, Seq(7));
        let counted = |position| Counted { position: Seq(position), count: 3, through: Seq(20) };
        known.note_counted(known.epoch(), &ann, counted(5));
        assert_eq!(known.get(&ann).unwrap().counted(Instant::now()), None);
        known.note_counted(known.epoch(), &ann, counted(7));
        let now = Instant::now();
        assert_eq!(known.get(&ann).unwrap().counted(now), Some(counted(7)));
        assert_eq!(known.get(&ann).unwrap().counted(now + COUNTED_FOR), None);
        known.note(&ann, Seq(8));
        assert_eq!(known.get(&ann).unwrap().counted(now), None);
    }

    #[test]
    fn the_longest_unused_make_room() {
        let (_positions, known) = channel();
        for member in 0..=MEMBERS_MAX {
            known.note(&uid(&member.to_string()), Seq(1));
        }
        assert_eq!(position(&known, "0"), None);
        assert_eq!(position(&known, "1"), Some(Seq(1)));
    }
}
