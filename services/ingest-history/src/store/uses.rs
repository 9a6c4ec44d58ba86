//! Which channels this process has written to, filled or forgotten, until Redis is told.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use goch_contract::ChannelName;

/// Channels whose use waits to be told. Beyond that it is forgotten: a channel leaves Redis a little early for it, or
/// when its time is up.
const WAITING_MAX: usize = 10_000;

/// What becomes of a channel in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It was used in this Unix second.
    At(i64),
    /// It is forgotten, and its name with it.
    Forgotten,
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Uses(Arc<Mutex<HashMap<ChannelName, Use>>>);

impl Uses {
    /// Notes that channels are used now.
    pub(super) fn note<'a>(&self, channels: impl Iterator<Item = &'a ChannelName>) {
        let used = Use::At(now());
        let mut waiting = self.waiting();
        for channel in channels {
            if let Some(known) = waiting.get_mut(channel) {
                *known = used;
            } else if waiting.len() < WAITING_MAX {
                waiting.insert(channel.clone(), used);
            }
        }
    }

    /// Notes that a channel is forgotten. Those come beyond the bound: there are few, and a name is not to stay.
    pub(super) fn forget(&self, channel: &ChannelName) {
        let mut waiting = self.waiting();
        if waiting.len() < 2 * WAITING_MAX {
            waiting.insert(channel.clone(), Use::Forgotten);
        }
    }

    /// What has been noted since the last time.
    pub(super) fn take(&self) -> HashMap<ChannelName, Use> {
        mem::take(&mut self.waiting())
    }

    /// Has what could not be told wait again, unless there is newer.
    pub(super) fn give_back(&self, untold: impl Iterator<Item = (ChannelName, Use)>) {
        let mut waiting = self.waiting();
        for (channel, used) in untold {
            if waiting.len() < 2 * WAITING_MAX {
                waiting.entry(channel).or_insert(used);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<ChannelName, Use>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unix seconds, by this host's clock.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_that_wait_are_bounded_and_taken_once() {
        let uses = Uses::default();
        let channels: Vec<_> = (0..WAITING_MAX + 5)
            .map(|number| ChannelName::parse(&format!("c{number}")).unwrap())
            .collect();
        uses.note(channels.iter());
        uses.note(channels[..5].iter());
        uses.forget(&channels[1]);
        let taken = uses.take();
        assert_eq!((taken.len(), taken[&channels[1]]), (WAITING_MAX, Use::Forgotten));
        assert!(uses.take().is_empty());
        // What is newer stays.
        uses.note(channels[1..2].iter());
        uses.give_back(taken.into_iter());
        let taken = uses.take();
        assert_eq!(taken.len(), WAITING_MAX);
        assert!(matches!(taken[&channels[1]], Use::At(_)));
    }

    #[test]
    fn what_is_forgotten_waits_beyond_that_and_within_a_bound_too() {
        let channels: Vec<_> = (0..2 * WAITING_MAX + 5)
            .map(|number| ChannelName::parse(&format!("c{number}")).unwrap())
            .collect();
        let uses = Uses::default();
        for channel in &channels {
            uses.forget(channel);
        }
        assert_eq!(uses.take().len(), 2 * WAITING_MAX);
        uses.give_back(channels.into_iter().map(|channel| (channel, Use::At(1))));
        assert_eq!(uses.take().len(), 2 * WAITING_MAX);
    }

    #[test]
    fn a_use_is_noted_in_unix_seconds() {
        let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let before = seconds();
        let noted = u64::try_from(now()).unwrap();
        assert!((before..=seconds()).contains(&noted));
    }
}
