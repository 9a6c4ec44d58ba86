//! Who is online in one channel: the members with a socket here, and those that other workers
//! report.
//!
//! A report replaces the worker's last one and holds for a while only, so a killed gateway takes its
//! members' presence with it. Workers that know of each other renew their reports in time; one that
//! is alone with a channel says nothing. Changes are gathered, and a crowd is not told about at all:
//! so ten thousand reconnects in one channel do not become a hundred million frames.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use goch_contract::{
    Role, Uid,
    presence::{OnlineMember, PresenceReport},
};

/// How presence is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PresenceRules {
    /// This worker, by a random number.
    pub(crate) origin: u64,
    /// How long a report holds.
    pub(crate) ttl: Duration,
    /// How long a member whose last socket has gone still counts as online, so that a reconnect
    /// does not flicker.
    pub(crate) grace: Duration,
    /// Members online in a channel beyond which it is a crowd.
    pub(crate) max: usize,
}

/// A member with a socket here, or one whose last socket has just gone.
struct Local {
    role: Role,
    sockets: usize,
    left: Option<Instant>,
}

/// What another worker has reported.
struct Remote {
    members: Vec<OnlineMember>,
    more: bool,
    until: Instant,
}

/// What has become of the gathered changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// What clients are to be told: who came or has another role, and who went.
    pub(super) changes: Vec<(OnlineMember, bool)>,
    /// What the other workers are to be told.
    pub(super) report: Option<PresenceReport>,
}

/// Why there is something to report.
#[derive(Debug, Clone, Copy, Default)]
struct Occasion {
    /// Members came or went here since the last report.
    changed: bool,
    /// The others' reports are wanted.
    asks: bool,
    /// Another worker wants a report.
    asked: bool,
}

/// See the module.
pub(super) struct Presence {
    rules: PresenceRules,
    local: HashMap<Uid, Local>,
    remote: HashMap<u64, Remote>,
    /// Who is online, as clients have been told.
    told: HashMap<Uid, Role>,
    is_crowd: bool,
    occasion: Occasion,
    /// When the last report must be renewed, if anybody has it.
    renew_at: Option<Instant>,
    /// When there is something to do that nobody will call for.
    due: Option<Instant>,
    /// Since the goodbye: until when those who were here then count as online.
    ends: Option<Instant>,
}

impl Presence {
    pub(super) fn new(rules: PresenceRules) -> Self {
        Self {
            rules,
            local: HashMap::new(),
            remote: HashMap::new(),
            told: HashMap::new(),
            is_crowd: false,
            occasion: Occasion::default(),
            renew_at: None,
            due: None,
            ends: None,
        }
    }

    /// A socket of `uid` was seated.
    pub(super) fn enter(&mut self, uid: &Uid, role: &Role) {
        self.occasion.asks |= self.local.is_empty();
        let local = self.local.entry(uid.clone()).or_insert_with(|| {
            self.occasion.changed = true;
            Local { role: role.clone(), sockets: 0, left: None }
        });
        local.sockets += 1;
        local.left = None;
        self.note_role(uid, role);
    }

    /// Notes the role of a member who is here.
    pub(super) fn note_role(&mut self, uid: &Uid, role: &Role) {
        if let Some(local) = self.local.get_mut(uid).filter(|local| local.role != *role) {
            local.role = role.clone();
            self.occasion.changed = true;
        }
    }

    /// A socket of `uid` has gone.
    pub(super) fn leave(&mut self, uid: &Uid, now: Instant) {
        let Some(local) = self.local.get_mut(uid) else { return };
        local.sockets = local.sockets.saturating_sub(1);
        if local.sockets == 0 {
            local.left = Some(now);
            sooner(&mut self.due, now + self.rules.grace);
        }
    }

    /// Takes in what a worker reports. Tells whether there is something to settle.
    pub(super) fn hear(&mut self, report: PresenceReport, now: Instant) -> bool {
        // A room without sockets has nobody to tell, and asks when it gets one.
        if report.origin == self.rules.origin || self.local.is_empty() {
            return false;
        }
        let until = now + report.lasts();
        let PresenceReport { origin, members, more, asks, .. } = report;
        let is_known = self.remote.contains_key(&origin);
        if members.is_empty() {
            self.remote.remove(&origin);
        } else {
            // A worker that is new here may not know of this one either.
            self.occasion.asked |= asks || !is_known;
            self.remote.insert(origin, Remote { members, more, until });
            sooner(&mut self.due, until);
        }
        true
    }

    /// Reports may have been missed: asks for all of them.
    pub(super) fn distrust(&mut self) {
        self.occasion.asks |= !self.local.is_empty();
    }

    /// The worker is about to end: those who are here count as online until `until`, by when they
    /// will be back elsewhere.
    pub(super) fn say_goodbye(&mut self, until: Instant) {
        self.ends = Some(until);
        self.occasion.changed |= !self.local.is_empty();
    }

    /// Whether nobody is online here, not even in their grace.
    pub(super) fn is_empty(&self) -> bool {
        self.local.is_empty()
    }

    /// Whether something is due that nobody has called for: an expiry, a renewal, the end of a grace.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// The others who are online, as clients have been told; nothing for a crowd.
    pub(super) fn online(&self, besides: &Uid) -> Option<Vec<OnlineMember>> {
        if self.is_crowd {
            return None;
        }
        let others = self.told.iter().filter(|(uid, _)| *uid != besides);
        let mut online: Vec<_> = others.map(|(uid, role)| member(uid, role)).collect();
        online.sort_unstable();
        Some(online)
    }

    /// Whether so many are online that no socket is told about the others' comings and doings.
    pub(super) fn is_crowd(&self) -> bool {
        self.is_crowd
    }

    /// The members online here, as a report that answers a question.
    pub(super) fn answer(&self, now: Instant) -> PresenceReport {
        let max = self.rules.max;
        PresenceReport {
            origin: self.rules.origin,
            members: self
                .local
                .iter()
                .take(max)
                .map(|(uid, local)| member(uid, &local.role))
                .collect(),
            more: self.local.len() > max,
            lasts_ms: self.lasts(now),
            asks: false,
        }
    }

    /// Works off what has gathered.
    pub(super) fn settle(&mut self, now: Instant) -> Settled {
        self.remote.retain(|_, remote| remote.until > now);
        if self.remote.is_empty() {
            self.renew_at = None;
        }
        self.forget_the_gone(now);
        let changes = self.changes();
        let report = self.report(now);
        if self.local.is_empty() {
            // Whoever comes first asks anew.
            self.remote.clear();
            self.told.clear();
            self.is_crowd = false;
            self.renew_at = None;
        }
        let ends = self.local.values().filter_map(|local| local.left);
        let ends = ends.map(|left| left + self.rules.grace).filter(|_| self.ends.is_none());
        let expiries = self.remote.values().map(|remote| remote.until);
        self.due = ends.chain(expiries).chain(self.renew_at).min();
        Settled { changes, report }
    }

    fn forget_the_gone(&mut self, now: Instant) {
        if self.ends.is_some() {
            return;
        }
        let before = self.local.len();
        let grace = self.rules.grace;
        self.local.retain(|_, local| local.left.is_none_or(|left| left + grace > now));
        self.occasion.changed |= self.local.len() < before;
    }

    /// Everybody who is online, unless that is a crowd. One is dissolved again only when a quarter
    /// has gone, so that it does not come and go with one member.
    fn union(&self) -> Option<HashMap<Uid, Role>> {
        let max = if self.is_crowd { self.rules.max / 4 * 3 } else { self.rules.max };
        if self.local.len() > max || self.remote.values().any(|remote| remote.more) {
            return None;
        }
        let local = self.local.iter().map(|(uid, local)| (uid.clone(), local.role.clone()));
        let mut union: HashMap<Uid, Role> = local.collect();
        for OnlineMember { uid, role } in self.remote.values().flat_map(|it| &it.members) {
            if !union.contains_key(uid) {
                union.insert(uid.clone(), role.clone());
            }
            if union.len() > max {
                return None;
            }
        }
        Some(union)
    }

    fn changes(&mut self) -> Vec<(OnlineMember, bool)> {
        let Some(union) = self.union() else {
            self.is_crowd = true;
            return Vec::new();
        };
        // Those who came while it was a crowd have been told nothing.
        let told_before = std::mem::take(&mut self.told);
        let gone = told_before.iter().filter(|(uid, _)| !union.contains_key(*uid));
        let gone = gone.map(|(uid, role)| (member(uid, role), false));
        // A role that has changed is told too: whoever has the uid now may be somebody else.
        let is_news = |(uid, role): &(&Uid, &Role)| told_before.get(*uid) != Some(*role);
        let came = union.iter().filter(|member| self.is_crowd || is_news(member));
        let came = came.map(|(uid, role)| (member(uid, role), true));
        let changes = gone.chain(came).collect();
        self.is_crowd = false;
        self.told = union;
        changes
    }

    fn report(&mut self, now: Instant) -> Option<PresenceReport> {
        let is_due = self.renew_at.is_some_and(|at| at <= now);
        let is_last = self.local.is_empty() || self.ends.is_some();
        let Occasion { changed, asks, asked } = self.occasion;
        if !(asks || asked || is_due || (changed && (!self.is_crowd || is_last))) {
            return None;
        }
        self.occasion = Occasion::default();
        // With nobody else there, the report has no reader who would miss its renewal.
        let renewal = now + self.rules.ttl.mul_f64(0.3 + 0.1 * fastrand::f64());
        self.renew_at = (self.ends.is_none() && !self.remote.is_empty()).then_some(renewal);
        Some(PresenceReport { asks, ..self.answer(now) })
    }

    fn lasts(&self, now: Instant) -> u64 {
        let lasts = self.ends.map_or(self.rules.ttl, |ends| ends.saturating_duration_since(now));
        u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)
    }
}

fn member(uid: &Uid, role: &Role) -> OnlineMember {
    OnlineMember { uid: uid.clone(), role: role.clone() }
}

fn sooner(due: &mut Option<Instant>, at: Instant) {
    *due = Some(due.map_or(at, |due| due.min(at)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(50);
    const GRACE: Duration = Duration::from_secs(5);

    fn worker(origin: u64, max: usize) -> Presence {
        Presence::new(PresenceRules { origin, ttl: TTL, grace: GRACE, max })
    }

    fn uid(name: &str) -> Uid {
        Uid::parse(name).unwrap()
    }

    fn guest(name: &str) -> OnlineMember {
        member(&uid(name), &Role::guest())
    }

    /// Settles workers, each report reaching all of them, until nobody has anything to say. Tells
    /// each one's changes.
    fn talk(workers: &mut [Presence], now: Instant) -> Vec<Vec<(String, bool)>> {
        let mut changes = vec![Vec::new(); workers.len()];
        for _ in 0..10 {
            let settled: Vec<_> = workers.iter_mut().map(|worker| worker.settle(now)).collect();
            let mut is_quiet = true;
            for (index, settled) in settled.into_iter().enumerate() {
                let named =
                    |(member, online): (OnlineMember, bool)| (member.uid.to_string(), online);
                changes[index].extend(settled.changes.into_iter().map(named));
                if let Some(report) = settled.report {
                    is_quiet = false;
                    for worker in &mut *workers {
                        worker.hear(report.clone(), now);
                    }
                }
            }
            if is_quiet {
                return changes;
            }
        }
        panic!("the workers never stop talking");
    }

    fn news(uid: &str, online: bool) -> Vec<(String, bool)> {
        vec![(uid.to_owned(), online)]
    }

    #[test]
    fn a_member_is_online_until_the_last_socket_at_any_worker_has_gone() {
        let now = Instant::now();
        let mut workers = [worker(1, 10), worker(2, 10)];
        workers[0].enter(&uid("ann"), &Role::guest());
        workers[1].enter(&uid("bob"), &Role::guest());
        workers[1].enter(&uid("ann"), &Role::guest());
        talk(&mut workers, now);
        assert_eq!(workers[0].online(&uid("ann")), Some(vec![guest("bob")]));
        workers[1].leave(&uid("ann"), now);
        assert_eq!(talk(&mut workers, now + GRACE), [vec![], vec![]]);
        workers[0].leave(&uid("ann"), now + GRACE);
        assert_eq!(talk(&mut workers, now + GRACE), [vec![], vec![]], "within the grace");
        let changes = talk(&mut workers, now + 2 * GRACE);
        assert_eq!(changes[1], news("ann", false));
    }

    #[test]
    fn a_reconnect_within_the_grace_is_not_told() {
        let now = Instant::now();
        let mut workers = [worker(1, 10), worker(2, 10)];
        workers[0].enter(&uid("ann"), &Role::guest());
        workers[1].enter(&uid("bob"), &Role::guest());
        talk(&mut workers, now);
        workers[0].leave(&uid("ann"), now);
        workers[1].enter(&uid("ann"), &Role::guest());
        // At the same worker too.
        workers[1].leave(&uid("bob"), now);
        workers[1].enter(&uid("bob"), &Role::guest());
        assert_eq!(talk(&mut workers, now), [vec![], vec![]]);
        assert_eq!(talk(&mut workers, now + GRACE), [vec![], vec![]]);
        // The first worker has nobody left, and the second one no reason to go on reporting.
        assert!(workers[1].settle(now + TTL).report.is_none());
    }

    #[test]
    fn a_worker_that_dies_takes_its_members_presence_with_it() {
        let now = Instant::now();
        let mut workers = [worker(1, 10), worker(2, 10)];
        workers[0].enter(&uid("ann"), &Role::guest());
        workers[1].enter(&uid("bob"), &Role::guest());
        talk(&mut workers, now);
        let survivor = &mut workers[1];
        assert!(survivor.settle(now + TTL / 2).changes.is_empty());
        assert!(survivor.is_due(now + TTL));
        assert_eq!(survivor.settle(now + TTL).changes, [(guest("ann"), false)]);
    }

    #[test]
    fn workers_that_live_renew_what_they_reported() {
        let now = Instant::now();
        let mut workers = [worker(1, 10), worker(2, 10)];
        workers[0].enter(&uid("ann"), &Role::guest());
        workers[1].enter(&uid("bob"), &Role::guest());
        talk(&mut workers, now);
        for second in 1..200 {
            let changes = talk(&mut workers, now + Duration::from_secs(second));
            assert_eq!(changes, [vec![], vec![]], "after {second} s");
        }
    }

    #[test]
    fn a_worker_that_is_alone_reports_once() {
        let now = Instant::now();
        let mut alone = worker(1, 10);
        alone.enter(&uid("ann"), &Role::guest());
        assert!(alone.settle(now).report.is_some_and(|report| report.asks));
        assert!(alone.settle(now + TTL).report.is_none());
        assert!(!alone.is_due(now + 10 * TTL));
    }

    #[test]
    fn a_lost_report_is_made_good_by_asking() {
        let now = Instant::now();
        let mut workers = [worker(1, 10), worker(2, 10)];
        workers[0].enter(&uid("ann"), &Role::guest());
        workers[1].enter(&uid("bob"), &Role::guest());
        for worker in &mut workers {
            worker.settle(now);
        }
        assert_eq!(workers[0].online(&uid("ann")), Some(vec![]));
        workers[0].distrust();
        let changes = talk(&mut workers, now);
        assert_eq!(changes, [news("bob", true), news("ann", true)]);
    }

    #[test]
    fn those_who_drain_away_stay_online_until_they_should_be_back() {
        let now = Instant::now();
        let mut workers = [worker(1, 10), worker(2, 10)];
        workers[0].enter(&uid("ann"), &Role::guest());
        workers[1].enter(&uid("bob"), &Role::guest());
        talk(&mut workers, now);
        let back_by = now + Duration::from_secs(15);
        workers[0].say_goodbye(back_by);
        workers[0].leave(&uid("ann"), now);
        assert_eq!(talk(&mut workers, now + 2 * GRACE)[1], []);
        assert_eq!(workers[1].settle(back_by).changes, [(guest("ann"), false)]);
    }

    #[test]
    fn a_crowd_is_not_told_about_and_dissolves_with_a_full_account() {
        let now = Instant::now();
        let mut crowd = worker(1, 4);
        let names = ["a", "b", "c", "d", "e"].map(uid);
        crowd.enter(&names[0], &Role::guest());
        assert_eq!(crowd.settle(now).changes.len(), 1);
        for name in &names[1..] {
            crowd.enter(name, &Role::guest());
        }
        assert_eq!(crowd.settle(now), Settled::default());
        assert_eq!(crowd.online(&names[0]), None);
        crowd.leave(&names[0], now);
        assert_eq!(crowd.settle(now + GRACE).changes, [], "four are a crowd still");
        crowd.leave(&names[1], now);
        let mut changes = crowd.settle(now + 2 * GRACE).changes;
        changes.sort();
        let told = [("a", false), ("c", true), ("d", true), ("e", true)];
        assert_eq!(changes, told.map(|(name, online)| (guest(name), online)));
    }

    #[test]
    fn a_new_role_reaches_the_other_workers() {
        let now = Instant::now();
        let mut workers = [worker(1, 10), worker(2, 10)];
        workers[0].enter(&uid("ann"), &Role::guest());
        workers[1].enter(&uid("bob"), &Role::guest());
        talk(&mut workers, now);
        workers[0].note_role(&uid("ann"), &Role::agent());
        let told = vec![("ann".to_owned(), true)];
        assert_eq!(talk(&mut workers, now), [told.clone(), told]);
        for worker in &workers {
            let online = worker.online(&uid("bob")).unwrap();
            assert_eq!(online, [member(&uid("ann"), &Role::agent())]);
        }
    }
}
