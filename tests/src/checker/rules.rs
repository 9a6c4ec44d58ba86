//! Holds a run against the rules.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    record::{Ack, Channel, Content, Given, Look, Recording, Revised, Said, Subscription, Way},
    rule::{Rule, Violation},
    truth::{Truth, Version},
};

/// Every broken rule of a run.
#[must_use]
pub fn check(recording: &Recording) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (name, channel) in &recording.channels {
        let truth = Truth::of(channel);
        let mut checked = Checked { name, channel, truth, violations: &mut violations };
        checked.log();
        checked.acks();
        checked.revision_acks();
        checked.refusals();
        checked.history();
        checked.pages();
        for (reader, subscriptions) in &channel.readers {
            checked.reader(reader, subscriptions);
        }
        checked.unread();
        checked.remains();
    }
    violations
}

struct Checked<'a> {
    name: &'a str,
    channel: &'a Channel,
    truth: Truth<'a>,
    violations: &'a mut Vec<Violation>,
}

impl Checked<'_> {
    fn broken(&mut self, rule: Rule, detail: String) {
        self.violations.push(Violation { rule, channel: self.name.to_owned(), detail });
    }

    /// The log alone: order, one event per id, nothing that nobody said, nothing that is deleted.
    fn log(&mut self) {
        let channel = self.channel;
        let mut seen = BTreeMap::new();
        for pair in channel.log.windows(2) {
            if pair[1].seq <= pair[0].seq {
                self.broken(
                    Rule::InOrder,
                    format!("the log has {} after {}", pair[1].seq, pair[0].seq),
                );
            }
        }
        for given in &channel.log {
            let seq = given.seq;
            let (kind, uid, id) = match &given.content {
                Content::Message(said) => {
                    self.logged_message(seq, said);
                    ("message", &said.uid, &said.id)
                }
                Content::Revised(revised) => {
                    self.logged_revision(seq, revised);
                    ("revision", &revised.uid, &revised.id)
                }
                Content::Other => continue,
            };
            let key = (kind, uid, id);
            if let Some(first) = seen.insert(key, seq) {
                let detail = format!("{key:?} is in the log at {first} and {seq}");
                self.broken(Rule::OneEventPerId, detail);
            }
        }
    }

    fn logged_message(&mut self, seq: u64, said: &Said) {
        let who = format!("{} of {} at {seq}", said.id, said.uid);
        match self.truth.sent(said) {
            Some(text) if *text == said.text => {}
            Some(_) => {
                self.broken(Rule::SameForAll, format!("{who} has another text than was sent"));
            }
            None => self.broken(Rule::NothingInvented, format!("{who} was sent by nobody")),
        }
        if let Some(deletion) = self.truth.deletion(seq) {
            let detail = format!("{who} is in the log, and deleted at {deletion}");
            self.broken(Rule::DeletedIsGone, detail);
        }
    }

    fn logged_revision(&mut self, seq: u64, revised: &Revised) {
        let who = format!("{} of {} at {seq}", revised.id, revised.uid);
        if !self.truth.is_asked(revised) {
            self.broken(Rule::NothingInvented, format!("{who} was asked for by nobody"));
        }
        if let Some(deletion) = self.truth.deletion(revised.message).filter(|it| *it != seq) {
            let message = revised.message;
            let detail = format!("{who} is about {message}, which is deleted at {deletion}");
            self.broken(Rule::DeletedIsGone, detail);
        }
    }

    fn acks(&mut self) {
        let channel = self.channel;
        for ack in &channel.acks {
            let stored = self.truth.log.get(&ack.seq).map(|given| &given.content);
            match stored {
                Some(Content::Message(said)) if said.uid == ack.uid && said.id == ack.id => {
                    self.acked_time(ack, said.time);
                }
                // The deletion that the log has is of the very message that this ack told of.
                None if self.truth.deletion(ack.seq).is_some() => {}
                _ => self.acked_is_missing(ack),
            }
        }
    }

    fn revision_acks(&mut self) {
        let channel = self.channel;
        for ack in &channel.revision_acks {
            let stored = self.truth.log.get(&ack.seq).map(|given| &given.content);
            let is_own = |uid: &String, id: &String| *uid == ack.uid && *id == ack.id;
            let asked = channel.revisions.iter().find(|asked| is_own(&asked.uid, &asked.id));
            // An edit is erased with its message.
            let erasure = asked.filter(|asked| asked.text.is_some());
            let erasure = erasure.and_then(|asked| self.truth.deletion(asked.message));
            match stored {
                Some(Content::Revised(revised)) if is_own(&revised.uid, &revised.id) => {
                    self.acked_time(ack, revised.time);
                }
                None if erasure.is_some_and(|deletion| deletion > ack.seq) => {}
                _ => self.acked_is_missing(ack),
            }
        }
    }

    fn acked_time(&mut self, ack: &Ack, time: u64) {
        if ack.time != time {
            let detail = format!("the ack of {} has another time than the event", ack.id);
            self.broken(Rule::SameForAll, detail);
        }
    }

    fn acked_is_missing(&mut self, ack: &Ack) {
        let detail = format!("{} of {} was acked at {} and is not there", ack.id, ack.uid, ack.seq);
        self.broken(Rule::AckedIsStored, detail);
    }

    /// What was answered not to be there had been deleted by another request: its deletion was begun,
    /// and what is begun is finished.
    fn refusals(&mut self) {
        let channel = self.channel;
        for refused in channel.revisions.iter().filter(|asked| asked.refused) {
            let deletion = self.truth.deletion(refused.message);
            let content = deletion.and_then(|seq| self.truth.log.get(&seq)).map(|it| &it.content);
            let is_others = |revised: &Revised| revised.id != refused.id;
            if !matches!(content, Some(Content::Revised(revised)) if is_others(revised)) {
                let detail =
                    format!("{} was refused, and {} is there", refused.id, refused.message);
                self.broken(Rule::RefusedRightly, detail);
            }
        }
    }

    fn history(&mut self) {
        let channel = self.channel;
        self.same_events("history", Rule::HistoryIsWhole, &channel.history);
        let end = channel.log.last().map_or(0, |given| given.seq);
        for given in &channel.history {
            self.same_event("history", given, end);
        }
    }

    /// What lies between a page's first event and its last is in it. It may be a moment old, so what its
    /// messages say, and what has been deleted by then, is not looked at.
    fn pages(&mut self) {
        let channel = self.channel;
        for page in &channel.pages {
            let (Some(first), Some(last)) = (page.first(), page.last()) else { continue };
            let theirs: BTreeSet<u64> = page.iter().map(|given| given.seq).collect();
            let wanted = self.truth.log.range(first.seq..=last.seq.max(first.seq));
            let lacking = wanted.map(|(seq, _)| *seq).filter(|seq| !theirs.contains(seq));
            for seq in lacking.collect::<Vec<_>>() {
                let detail = format!("a page from {} to {} lacks {seq}", first.seq, last.seq);
                self.broken(Rule::HistoryIsWhole, detail);
            }
        }
    }

    /// Whether `given` has all of the log's events.
    fn same_events(&mut self, who: &str, whole: Rule, given: &[Given]) {
        let theirs: BTreeSet<u64> = given.iter().map(|given| given.seq).collect();
        let lacking = self.truth.log.keys().filter(|seq| !theirs.contains(seq));
        for seq in lacking.copied().collect::<Vec<_>>() {
            self.broken(whole, format!("{who} lacks {seq}"));
        }
    }

    /// Whether an event is the log's, or one that has been erased since; if it came in a page, as it was
    /// after everything up to `known`.
    fn same_event(&mut self, who: &str, given: &Given, known: u64) {
        let seq = given.seq;
        let erasure = self.truth.erasure(given);
        let stored = self.truth.log.get(&seq).copied();
        if stored.is_none() && erasure.is_none() {
            self.broken(Rule::NothingInvented, format!("{who} has {seq}, which is not in the log"));
            return;
        }
        if erasure.is_some_and(|deletion| deletion <= known) {
            let detail =
                format!("{who} has {seq}, which is deleted, in a page that knows up to {known}");
            self.broken(Rule::DeletedIsGone, detail);
        }
        let is_same = match (&given.content, stored.map(|stored| &stored.content)) {
            (Content::Message(said), stored) => {
                let is_foreign = |other: &Content| {
                    let Content::Message(other) = other else { return true };
                    (&said.uid, &said.id, said.time) != (&other.uid, &other.id, other.time)
                };
                let version = match given.way {
                    Way::Live if said.edited_at.is_some() => Version::Foreign,
                    Way::Live => self.truth.version(seq, said, 0),
                    Way::Page { .. } => self.truth.version(seq, said, known),
                };
                if version == Version::Old {
                    let detail =
                        format!("{who} has an older {seq} in a page that knows up to {known}");
                    self.broken(Rule::ShownAsEdited, detail);
                }
                version != Version::Foreign && !stored.is_some_and(is_foreign)
            }
            (Content::Revised(revised), None) => self.truth.is_asked(revised),
            (content, stored) => stored == Some(content),
        };
        if !is_same {
            self.broken(Rule::SameForAll, format!("{who} has another {seq}"));
        }
    }

    fn reader(&mut self, reader: &str, subscriptions: &[Subscription]) {
        let mut last = 0;
        let mut all = Vec::new();
        for subscription in subscriptions {
            if !self.truth.is_next(last, subscription.after) {
                let detail = format!("{reader} resumed after {}, not {last}", subscription.after);
                self.broken(Rule::ReaderSeesAll, detail);
            }
            for given in &subscription.given {
                if given.seq == last {
                    self.broken(Rule::NothingTwice, format!("{reader} got {last} again"));
                } else if given.seq < last {
                    let detail = format!("{reader} got {} after {last}", given.seq);
                    self.broken(Rule::InOrder, detail);
                } else if !self.truth.is_next(last, given.prev) {
                    let is_hole = given.prev > last;
                    let rule = if is_hole { Rule::HoleIsClosed } else { Rule::ChainIsWhole };
                    let detail =
                        format!("{reader} got {} after {last}; it names {}", given.seq, given.prev);
                    self.broken(rule, detail);
                }
                last = last.max(given.seq);
                let known = if let Way::Page { through } = given.way { through } else { 0 };
                self.same_event(reader, given, known);
                all.push(given.clone());
            }
            for look in &subscription.looks {
                self.look(reader, look);
            }
        }
        self.same_events(reader, Rule::ReaderSeesAll, &all);
    }

    /// A page of older events: whole, in order, and as new as what the socket had been given before it.
    fn look(&mut self, reader: &str, look: &Look) {
        let who = format!("{reader}, looking back from {},", look.before);
        for pair in look.events.windows(2) {
            if pair[1].seq <= pair[0].seq {
                let detail = format!("{who} got {} after {}", pair[1].seq, pair[0].seq);
                self.broken(Rule::InOrder, detail);
            } else if !self.truth.is_next(pair[0].seq, pair[1].prev) {
                let (seq, prev) = (pair[1].seq, pair[1].prev);
                let detail = format!("{who} got {seq} after {}; it names {prev}", pair[0].seq);
                self.broken(Rule::ChainIsWhole, detail);
            }
        }
        let last = look.events.last().map_or(0, |given| given.seq);
        for given in &look.events {
            self.same_event(&who, given, look.known.max(last));
        }
        let first = look.events.first().map(|given| given.seq);
        if first.is_none() && look.more {
            self.broken(Rule::HistoryIsWhole, format!("{who} got nothing, and that there is more"));
            return;
        }
        let start = first.filter(|_| look.more).unwrap_or(0);
        let theirs: BTreeSet<u64> = look.events.iter().map(|given| given.seq).collect();
        let wanted = self.truth.log.range(start..look.before.max(start)).map(|(seq, _)| *seq);
        for seq in wanted.filter(|seq| !theirs.contains(seq)).collect::<Vec<_>>() {
            self.broken(Rule::HistoryIsWhole, format!("{who} lacks {seq}"));
        }
        if last >= look.before {
            self.broken(Rule::HistoryIsWhole, format!("{who} got {last}"));
        }
    }

    fn unread(&mut self) {
        let channel = self.channel;
        for (uid, (position, reported)) in &channel.unread {
            let is_unread = |given: &&Given| {
                let is_others = |said: &Said| said.uid != *uid;
                given.seq > *position
                    && matches!(&given.content, Content::Message(said) if is_others(said))
            };
            let counted = channel.log.iter().filter(is_unread).count() as u64;
            if counted != *reported {
                let detail = format!("{uid} has {counted} unread, {reported} were reported");
                self.broken(Rule::UnreadIsExact, detail);
            }
        }
    }

    fn remains(&mut self) {
        let channel = self.channel;
        for line in &channel.remains {
            self.broken(Rule::DeletedIsGone, format!("Redis has {line}"));
        }
    }
}
