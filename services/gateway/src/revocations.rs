//! Which authorisations no longer hold, as chat-admin tells every gateway.
//!
//! Each revocation has a number. Whoever asks chat-admin takes the present number first ([`Mark`]):
//! a revocation with a higher one may be newer than the answer. So nothing has to be searched and
//! removed when a revocation comes, and none is overlooked that comes while an answer is under way.
//!
//! Every worker hears of each, on its own connection, and notes it here for the process: it holds from
//! when the first one has heard.

use std::sync::{Mutex, MutexGuard, PoisonError};

use goch_contract::{ChannelName, Uid, services::admin::Revoked};
use lru::LruCache;

/// Revocations remembered; before the oldest is forgotten, all that it could concern is revoked.
const REMEMBERED_MAX: usize = 10_000;

/// A moment among the revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Mark(u64);

/// See the module.
pub(crate) struct Revocations {
    inner: Mutex<Inner>,
}

struct Inner {
    latest: Mark,
    /// Everything that is marked earlier counts as revoked.
    horizon: Mark,
    /// When each was told last.
    marks: LruCache<Revoked, Mark>,
}

impl Revocations {
    pub(crate) fn new() -> Self {
        // Unbounded means "no allocation up front"; the bound is kept in `note`.
        let marks = LruCache::unbounded();
        let inner = Inner { latest: Mark(1), horizon: Mark(1), marks };
        Self { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present moment.
    pub(crate) fn mark(&self) -> Mark {
        self.inner().latest
    }

    /// Notes a revocation.
    pub(crate) fn note(&self, revoked: Revoked) {
        let mut inner = self.inner();
        inner.latest.0 += 1;
        let latest = inner.latest;
        inner.marks.put(revoked, latest);
        if inner.marks.len() > REMEMBERED_MAX
            && let Some((_, forgotten)) = inner.marks.pop_lru()
        {
            inner.horizon = inner.horizon.max(forgotten);
        }
    }

    /// Revocations may have been missed: nothing that is marked by now holds any more.
    pub(crate) fn distrust(&self) {
        let mut inner = self.inner();
        inner.latest.0 += 1;
        inner.horizon = inner.latest;
    }

    /// Whether what was learnt at `mark` may have been revoked since.
    pub(crate) fn is_revoked_since(&self, mark: Mark, channel: &ChannelName, uid: &Uid) -> bool {
        let inner = self.inner();
        if mark < inner.horizon {
            return true;
        }
        let concerned = [
            Revoked::Member(channel.clone(), uid.clone()),
            Revoked::Channel(channel.clone()),
            // Guests of this uid, too: they are asked for anew, and stay.
            Revoked::Account(uid.clone()),
        ];
        concerned.iter().any(|key| inner.marks.peek(key).is_some_and(|at| *at > mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(channel: &str, uid: Option<&str>) -> Revoked {
        let channel = ChannelName::parse(channel).unwrap();
        match uid {
            Some(uid) => Revoked::Member(channel, Uid::parse(uid).unwrap()),
            None => Revoked::Channel(channel),
        }
    }

    fn is_revoked(revocations: &Revocations, mark: Mark, channel: &str, uid: &str) -> bool {
        let (channel, uid) = (ChannelName::parse(channel).unwrap(), Uid::parse(uid).unwrap());
        revocations.is_revoked_since(mark, &channel, &uid)
    }

    #[test]
    fn a_revocation_concerns_what_was_learnt_before_it() {
        let revocations = Revocations::new();
        let before = revocations.mark();
        assert!(!is_revoked(&revocations, before, "c", "ann"));
        revocations.note(revoked("c", Some("ann")));
        assert!(is_revoked(&revocations, before, "c", "ann"));
        assert!(!is_revoked(&revocations, before, "c", "bob"));
        assert!(!is_revoked(&revocations, before, "d", "ann"));
        assert!(!is_revoked(&revocations, revocations.mark(), "c", "ann"));
    }

    #[test]
    fn a_channel_that_is_gone_concerns_all_its_members() {
        let revocations = Revocations::new();
        let before = revocations.mark();
        revocations.note(revoked("c", None));
        assert!(is_revoked(&revocations, before, "c", "ann"));
        assert!(!is_revoked(&revocations, before, "d", "ann"));
    }

    #[test]
    fn a_suspended_account_is_concerned_in_all_channels() {
        let revocations = Revocations::new();
        let before = revocations.mark();
        revocations.note(Revoked::Account(Uid::parse("ann").unwrap()));
        assert!(is_revoked(&revocations, before, "c", "ann"));
        assert!(is_revoked(&revocations, before, "d", "ann"));
        assert!(!is_revoked(&revocations, before, "c", "bob"));
        assert!(!is_revoked(&revocations, revocations.mark(), "c", "ann"));
    }

    #[test]
    fn whatever_may_have_been_missed_or_forgotten_counts_as_revoked() {
        let revocations = Revocations::new();
        let before = revocations.mark();
        revocations.distrust();
        assert!(is_revoked(&revocations, before, "c", "ann"));
        let before = revocations.mark();
        for index in 0..=REMEMBERED_MAX {
            revocations.note(revoked(&format!("c{index}"), None));
        }
        assert!(is_revoked(&revocations, before, "other", "ann"));
        let half = Mark(before.0 + 5_000);
        assert!(!is_revoked(&revocations, half, "other", "ann"));
    }

    #[test]
    fn no_more_counts_as_revoked_than_was_learnt_before_what_is_forgotten() {
        let revocations = Revocations::new();
        let mut marks = Vec::new();
        for index in 0..=REMEMBERED_MAX {
            revocations.note(revoked(&format!("c{index}"), None));
            marks.push(revocations.mark());
        }
        // There is no place for the first one. What was learnt after it holds.
        assert!(!is_revoked(&revocations, marks[0], "other", "ann"));
        assert!(!is_revoked(&revocations, marks[1], "c1", "ann"));
        assert!(is_revoked(&revocations, marks[0], "c1", "ann"));
        revocations.note(revoked("new", None));
        assert!(is_revoked(&revocations, marks[0], "other", "ann"));
    }
}
