//! Changes that NATS refuses: logged at once, and again now and then for as long as it does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often a change that NATS goes on refusing is logged.
const LOGGED_EVERY: Duration = Duration::from_mins(5);

/// A thing's name and the settings that would be changed.
type Key = (String, String);

/// Why what is refused, and when that was logged.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<Key, (String, Instant)>>);

impl Refusals {
    /// Notes that a change of `settings` is refused; true if it is to be logged.
    pub(super) fn note(&self, name: &str, settings: &str, reason: &str, now: Instant) -> bool {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), settings.to_owned());
        let known = refusals.get(&key).is_some_and(|(before, logged)| {
            before == reason && now.duration_since(*logged) < LOGGED_EVERY
        });
        if !known {
            refusals.insert(key, (reason.to_owned(), now));
        }
        !known
    }

    /// Forgets what was refused of `name` but for these settings: the others are as they should be.
    pub(super) fn retain(&self, name: &str, settings: &BTreeSet<String>) {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.retain(|(known, refused), _| known != name || settings.contains(refused));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_logged_at_once_and_again_now_and_then_until_it_ends() {
        let (refusals, begin) = (Refusals::default(), Instant::now());
        let note = |name, settings, reason, now| refusals.note(name, settings, reason, now);
        assert!(note("log", "max_bytes", "no room", begin));
        assert!(!note("log", "max_bytes", "no room", begin + LOGGED_EVERY / 2));
        assert!(note("bucket", "max_bytes", "no room", begin + LOGGED_EVERY / 2));
        assert!(note("log", "max_bytes", "no room", begin + LOGGED_EVERY));
        assert!(!note("log", "max_bytes", "no room", begin + LOGGED_EVERY));
        assert!(note("log", "max_bytes", "too small", begin + LOGGED_EVERY));
        refusals.retain("log", &BTreeSet::new());
        assert!(note("log", "max_bytes", "too small", begin + LOGGED_EVERY));
    }

    #[test]
    fn two_refusals_of_one_thing_are_logged_no_more_often_than_one() {
        let (refusals, begin) = (Refusals::default(), Instant::now());
        let refused: BTreeSet<_> = ["max_bytes", "num_replicas"].map(str::to_owned).into();
        for (round, is_logged) in [(0, true), (1, false), (2, false)] {
            for settings in &refused {
                let now = begin + round * LOGGED_EVERY / 10;
                assert_eq!(refusals.note("log", settings, "no", now), is_logged, "{round}");
            }
            refusals.retain("log", &refused);
        }
        // One of them ends.
        refusals.retain("log", &BTreeSet::from(["max_bytes".to_owned()]));
        assert!(!refusals.note("log", "max_bytes", "no", begin));
        assert!(refusals.note("log", "num_replicas", "no", begin));
    }
}
