//! When a room's seats are next compared with what chat-admin says: all of them now and then, and those of
//! a member who was revoked soon.
//!
//! What is due is taken off when the request is made, not when it is answered: a revocation that comes in
//! between asks for another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use goch_contract::Uid;

/// Revoked members who are looked after one by one; with more, the whole room is.
const REVOKED_MAX: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct VerifySchedule {
    /// When all seats are due.
    all: Instant,
    /// When those of these members are.
    revoked: BTreeMap<Uid, Instant>,
}

/// Whose seats are due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everybody's.
    All,
    /// Theirs.
    Members(BTreeSet<Uid>),
}

impl Scope {
    /// Whether this member's seats are among them.
    pub(super) fn has(&self, uid: &Uid) -> bool {
        match self {
            Self::All => true,
            Self::Members(members) => members.contains(uid),
        }
    }
}

impl VerifySchedule {
    pub(super) fn new(all: Instant) -> Self {
        Self { all, revoked: BTreeMap::new() }
    }

    /// Whether anything is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.all <= now || self.revoked.values().any(|due| *due <= now)
    }

    /// Takes off what is due, for a request that is made now. All seats are due again at `next`.
    pub(super) fn begin(&mut self, now: Instant, next: Instant) -> Option<Scope> {
        if !self.is_due(now) {
            return None;
        }
        let due = self.revoked.extract_if(.., |_, due| *due <= now);
        let members = due.map(|(uid, _)| uid).collect();
        if self.all > now {
            return Some(Scope::Members(members));
        }
        self.all = next;
        Some(Scope::All)
    }

    /// Has what was taken off due again, because the request failed.
    pub(super) fn retry(&mut self, scope: &Scope, now: Instant) {
        match scope {
            Scope::All => self.all = self.all.min(now),
            Scope::Members(members) => members.iter().for_each(|uid| self.hurry(uid, now)),
        }
    }

    /// Has the seats of a member due by then.
    pub(super) fn hurry(&mut self, uid: &Uid, by: Instant) {
        if let Some(due) = self.revoked.get_mut(uid) {
            *due = by.min(*due);
        } else if self.revoked.len() < REVOKED_MAX {
            self.revoked.insert(uid.clone(), by);
        } else {
            self.all = self.all.min(by);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn uid(name: &str) -> Uid {
        Uid::parse(name).unwrap()
    }

    fn members(names: &[&str]) -> Scope {
        Scope::Members(names.iter().map(|name| uid(name)).collect())
    }

    #[test]
    fn a_revocation_during_a_request_is_looked_after_by_another_one() {
        let now = Instant::now();
        let mut schedule = VerifySchedule::new(now);
        assert_eq!(schedule.begin(now, now + MINUTE), Some(Scope::All));
        // The request is under way.
        schedule.hurry(&uid("ann"), now + 2 * SECOND);
        assert_eq!(schedule.begin(now + SECOND, now + MINUTE), None);
        assert_eq!(schedule.begin(now + 2 * SECOND, now + MINUTE), Some(members(&["ann"])));
        schedule.hurry(&uid("ann"), now + 3 * SECOND);
        assert_eq!(schedule.begin(now + 3 * SECOND, now + MINUTE), Some(members(&["ann"])));
        assert_eq!(schedule.begin(now + 30 * SECOND, now + MINUTE), None);
    }

    #[test]
    fn only_the_seats_of_those_who_were_revoked_are_looked_after_before_all_are_due() {
        let now = Instant::now();
        let mut schedule = VerifySchedule::new(now + MINUTE);
        schedule.hurry(&uid("ann"), now);
        schedule.hurry(&uid("ben"), now + SECOND);
        let due = schedule.begin(now, now + 2 * MINUTE);
        assert_eq!(due, Some(members(&["ann"])));
        assert!(due.is_some_and(|due| due.has(&uid("ann")) && !due.has(&uid("ben"))));
        // Being told again does not put it off.
        schedule.hurry(&uid("ben"), now + 3 * SECOND);
        assert_eq!(schedule.begin(now + SECOND, now + 2 * MINUTE), Some(members(&["ben"])));
        assert_eq!(schedule.begin(now + MINUTE, now + 2 * MINUTE), Some(Scope::All));
        assert!(Scope::All.has(&uid("ann")));
    }

    #[test]
    fn what_failed_is_due_again() {
        let now = Instant::now();
        let mut schedule = VerifySchedule::new(now);
        let all = schedule.begin(now, now + MINUTE).unwrap();
        schedule.hurry(&uid("ann"), now);
        let ann = schedule.begin(now, now + MINUTE).unwrap();
        assert!(!schedule.is_due(now));
        schedule.retry(&ann, now);
        assert_eq!(schedule.begin(now, now + MINUTE), Some(members(&["ann"])));
        schedule.retry(&all, now);
        assert_eq!(schedule.begin(now, now + MINUTE), Some(Scope::All));
    }

    #[test]
    fn more_than_can_be_remembered_have_the_whole_room_looked_after() {
        let now = Instant::now();
        let mut schedule = VerifySchedule::new(now + MINUTE);
        for index in 0..REVOKED_MAX + 10 {
            schedule.hurry(&uid(&format!("u{index}")), now + 2 * SECOND);
        }
        assert_eq!(schedule.revoked.len(), REVOKED_MAX);
        let due = now + 2 * SECOND;
        assert_eq!(schedule.begin(due, due + MINUTE), Some(Scope::All));
        assert!(!schedule.is_due(due));
    }
}
