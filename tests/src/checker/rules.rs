//! The rules, each told by its own name when it is broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::record::{Channel, Given, Recording, Subscription};

/// A rule of docs/guarantees.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An acked message is in the log, where the ack said, as it was sent.
    AckedIsStored,
    /// One idempotency key makes one message.
    OneMessagePerId,
    /// Everything in the log was said by somebody.
    NothingInvented,
    /// A reader that stays or resumes sees every event of the log.
    ReaderSeesAll,
    /// A reader sees no event twice within a subscription, nor one it had seen before.
    NothingTwice,
    /// Events come in the order of their sequences.
    InOrder,
    /// Each event names the one before it.
    ChainIsWhole,
    /// An event is the same for everybody.
    SameForAll,
    /// History equals the log.
    HistoryIsWhole,
    /// Unread counts equal a recount.
    UnreadIsExact,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// In which channel.
    pub channel: String,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} in {}: {}", self.rule, self.channel, self.detail)
    }
}

/// Every broken rule of a run.
#[must_use]
pub fn check(recording: &Recording) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (name, channel) in &recording.channels {
        let mut checked = Checked { name, channel, violations: &mut violations };
        checked.log();
        checked.acks();
        checked.history();
        for (reader, subscriptions) in &channel.readers {
            checked.reader(reader, subscriptions);
        }
        checked.unread();
    }
    violations
}

struct Checked<'a> {
    name: &'a str,
    channel: &'a Channel,
    violations: &'a mut Vec<Violation>,
}

impl Checked<'_> {
    fn broken(&mut self, rule: Rule, detail: String) {
        self.violations.push(Violation { rule, channel: self.name.to_owned(), detail });
    }

    /// The log alone: order, one message per id, nothing that nobody said.
    fn log(&mut self) {
        let channel = self.channel;
        let sent: BTreeMap<_, _> = channel
            .sends
            .iter()
            .map(|send| ((send.uid.as_str(), send.id.as_str()), send.text.as_str()))
            .collect();
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
            let Some(said) = &given.message else { continue };
            let key = (said.uid.as_str(), said.id.as_str());
            if let Some(first) = seen.insert(key, given.seq) {
                let detail = format!("{key:?} is in the log at {first} and {}", given.seq);
                self.broken(Rule::OneMessagePerId, detail);
            }
            match sent.get(&key) {
                Some(text) if *text == said.text => {}
                Some(_) => {
                    let detail = format!("{key:?} at {} has another text than was sent", given.seq);
                    self.broken(Rule::SameForAll, detail);
                }
                None => {
                    let detail = format!("{key:?} at {} was sent by nobody", given.seq);
                    self.broken(Rule::NothingInvented, detail);
                }
            }
        }
    }

    fn acks(&mut self) {
        let channel = self.channel;
        let log: BTreeMap<u64, &Given> =
            channel.log.iter().map(|given| (given.seq, given)).collect();
        for ack in &channel.acks {
            let said = log.get(&ack.seq).and_then(|given| given.message.as_ref());
            let is_stored = said.is_some_and(|said| said.uid == ack.uid && said.id == ack.id);
            if !is_stored {
                let detail =
                    format!("{} of {} was acked at {} and is not there", ack.id, ack.uid, ack.seq);
                self.broken(Rule::AckedIsStored, detail);
            } else if said.is_some_and(|said| said.time != ack.time) {
                let detail = format!("the ack of {} has another time than the message", ack.id);
                self.broken(Rule::SameForAll, detail);
            }
        }
    }

    fn history(&mut self) {
        let channel = self.channel;
        self.same_events("history", Rule::HistoryIsWhole, &channel.history);
    }

    /// Whether `given` are exactly the log's events, with the same content.
    fn same_events(&mut self, who: &str, whole: Rule, given: &[Given]) {
        let channel = self.channel;
        let theirs: BTreeMap<u64, &Given> = given.iter().map(|given| (given.seq, given)).collect();
        for event in &channel.log {
            match theirs.get(&event.seq) {
                None => self.broken(whole, format!("{who} lacks {}", event.seq)),
                Some(other) if other.message != event.message => {
                    self.broken(Rule::SameForAll, format!("{who} has another {}", event.seq));
                }
                Some(_) => {}
            }
        }
        let log: BTreeSet<u64> = channel.log.iter().map(|given| given.seq).collect();
        for seq in theirs.keys().filter(|seq| !log.contains(seq)) {
            self.broken(Rule::NothingInvented, format!("{who} has {seq}, which is not in the log"));
        }
    }

    fn reader(&mut self, reader: &str, subscriptions: &[Subscription]) {
        let mut last = 0;
        let mut all = Vec::new();
        for subscription in subscriptions {
            if subscription.after != last {
                let detail = format!("{reader} resumed after {}, not {last}", subscription.after);
                self.broken(Rule::ReaderSeesAll, detail);
            }
            for given in &subscription.given {
                if given.seq == last {
                    self.broken(Rule::NothingTwice, format!("{reader} got {last} again"));
                } else if given.seq < last {
                    let detail = format!("{reader} got {} after {last}", given.seq);
                    self.broken(Rule::InOrder, detail);
                } else if given.prev != last && !(given.prev == 0 && last == 0) {
                    let detail =
                        format!("{reader} got {} after {last}; it names {}", given.seq, given.prev);
                    self.broken(Rule::ChainIsWhole, detail);
                }
                last = last.max(given.seq);
                all.push(given.clone());
            }
        }
        self.same_events(reader, Rule::ReaderSeesAll, &all);
    }

    fn unread(&mut self) {
        let channel = self.channel;
        for (uid, (position, reported)) in &channel.unread {
            let is_unread = |given: &&Given| {
                given.seq > *position && given.message.as_ref().is_some_and(|said| said.uid != *uid)
            };
            let counted = channel.log.iter().filter(is_unread).count() as u64;
            if counted != *reported {
                let detail = format!("{uid} has {counted} unread, {reported} were reported");
                self.broken(Rule::UnreadIsExact, detail);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::record::{Ack, Said, Send, Way};

    fn given(seq: u64, prev: u64, id: &str) -> Given {
        let said = Said {
            uid: "ann".to_owned(),
            id: id.to_owned(),
            text: format!("text of {id}"),
            time: seq * 10,
        };
        Given { seq, prev, way: Way::Live, message: Some(said) }
    }

    /// Three messages; bob stayed, cid resumed after the first.
    fn sound() -> Channel {
        let events = vec![given(3, 0, "a"), given(5, 3, "b"), given(9, 5, "c")];
        let send = |id: &str| Send {
            uid: "ann".to_owned(),
            id: id.to_owned(),
            text: format!("text of {id}"),
        };
        let ack = |seq: u64, id: &str| Ack {
            uid: "ann".to_owned(),
            id: id.to_owned(),
            seq,
            time: seq * 10,
            duplicate: false,
        };
        let stayed = vec![Subscription { after: 0, given: events.clone() }];
        let resumed = vec![
            Subscription { after: 0, given: events[..1].to_vec() },
            Subscription { after: 3, given: events[1..].to_vec() },
        ];
        Channel {
            sends: vec![send("a"), send("b"), send("c"), send("never stored")],
            acks: vec![ack(3, "a"), ack(9, "c")],
            readers: BTreeMap::from([("bob".to_owned(), stayed), ("cid".to_owned(), resumed)]),
            log: events.clone(),
            history: events,
            unread: BTreeMap::from([("bob".to_owned(), (3, 2)), ("ann".to_owned(), (0, 0))]),
        }
    }

    fn broken(change: impl FnOnce(&mut Channel)) -> BTreeSet<Rule> {
        let mut channel = sound();
        change(&mut channel);
        let channels = BTreeMap::from([("c".to_owned(), channel)]);
        check(&Recording { channels }).into_iter().map(|violation| violation.rule).collect()
    }

    fn bob(channel: &mut Channel) -> &mut Vec<Given> {
        &mut channel.readers.get_mut("bob").unwrap()[0].given
    }

    #[test]
    fn a_sound_run_breaks_no_rule() {
        assert_eq!(broken(|_| {}), BTreeSet::new());
    }

    #[test]
    fn an_acked_message_that_is_not_stored_is_found() {
        let rules = broken(|channel| channel.acks[0].seq = 4);
        assert!(rules.contains(&Rule::AckedIsStored));
        let rules = broken(|channel| {
            channel.log.remove(2);
        });
        assert!(rules.contains(&Rule::AckedIsStored));
    }

    #[test]
    fn a_message_that_is_stored_twice_is_found() {
        let rules = broken(|channel| channel.log.push(given(11, 9, "a")));
        assert!(rules.contains(&Rule::OneMessagePerId));
    }

    #[test]
    fn a_message_that_nobody_sent_is_found() {
        let rules = broken(|channel| channel.log.push(given(11, 9, "d")));
        assert!(rules.contains(&Rule::NothingInvented));
        let rules = broken(|channel| bob(channel).push(given(11, 9, "d")));
        assert!(rules.contains(&Rule::NothingInvented));
    }

    #[test]
    fn an_event_that_a_reader_lacks_is_found_even_at_the_tail() {
        for index in 0..3 {
            let rules = broken(|channel| {
                bob(channel).remove(index);
            });
            assert!(rules.contains(&Rule::ReaderSeesAll), "{index}: {rules:?}");
        }
    }

    #[test]
    fn an_event_that_comes_twice_is_found() {
        let rules = broken(|channel| {
            let again = bob(channel)[1].clone();
            bob(channel).insert(2, again);
        });
        assert_eq!(rules, BTreeSet::from([Rule::NothingTwice]));
    }

    #[test]
    fn events_out_of_order_are_found() {
        let rules = broken(|channel| bob(channel).swap(1, 2));
        assert!(rules.contains(&Rule::InOrder));
    }

    #[test]
    fn a_broken_chain_is_found() {
        let rules = broken(|channel| bob(channel)[2].prev = 4);
        assert_eq!(rules, BTreeSet::from([Rule::ChainIsWhole]));
    }

    #[test]
    fn a_reader_with_another_text_is_found() {
        let rules = broken(|channel| {
            if let Some(said) = &mut bob(channel)[1].message {
                "other".clone_into(&mut said.text);
            }
        });
        assert_eq!(rules, BTreeSet::from([Rule::SameForAll]));
    }

    #[test]
    fn a_gap_in_history_is_found() {
        let rules = broken(|channel| {
            channel.history.remove(1);
        });
        assert_eq!(rules, BTreeSet::from([Rule::HistoryIsWhole]));
    }

    #[test]
    fn a_wrong_unread_count_is_found() {
        let rules = broken(|channel| {
            channel.unread.insert("bob".to_owned(), (3, 1));
        });
        assert_eq!(rules, BTreeSet::from([Rule::UnreadIsExact]));
    }
}
