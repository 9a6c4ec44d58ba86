//! Changes that NATS refuses: logged at once, and again now and then for as long as it does.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often a change that NATS goes on refusing is logged.
const LOGGED_EVERY: Duration = Duration::from_mins(5);

/// What is refused, by what it would change, and when that was logged.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<String, (String, Instant)>>);

impl Refusals {
    /// Notes a refusal; true if it is to be logged.
    pub(super) fn note(&self, name: &str, refusal: &str, now: Instant) -> bool {
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = refusals.get(name).is_some_and(|(before, logged)| {
            before == refusal && now.duration_since(*logged) < LOGGED_EVERY
        });
        if !known {
            refusals.insert(name.to_owned(), (refusal.to_owned(), now));
        }
        !known
    }

    /// Forgets what was refused of `name`: it is as it should be.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_logged_at_once_and_again_now_and_then_until_it_ends() {
        let (refusals, begin) = (Refusals::default(), Instant::now());
        assert!(refusals.note("log", "no room", begin));
        assert!(!refusals.note("log", "no room", begin + LOGGED_EVERY / 2));
        assert!(refusals.note("bucket", "no room", begin + LOGGED_EVERY / 2));
        assert!(refusals.note("log", "no room", begin + LOGGED_EVERY));
        assert!(!refusals.note("log", "no room", begin + LOGGED_EVERY));
        assert!(refusals.note("log", "no servers", begin + LOGGED_EVERY));
        refusals.forget("log");
        assert!(refusals.note("log", "no servers", begin + LOGGED_EVERY));
    }
}
