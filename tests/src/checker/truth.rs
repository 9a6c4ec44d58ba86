//! What the log says of a channel at the end, and what was asked for: what everything else is held
//! against.

use std::collections::BTreeMap;

use super::record::{Channel, Content, Given, Revised, Revision, Said};

/// What became of messages. A deleted message and its edits are erased, so the log has neither; the
/// deletion itself stays.
pub(super) struct Truth<'a> {
    /// The log, by sequence.
    pub(super) log: BTreeMap<u64, &'a Given>,
    /// The texts that were sent, by who and id.
    sent: BTreeMap<(&'a str, &'a str), &'a str>,
    /// The edits and deletions that were asked for, by who and id.
    asked: BTreeMap<(&'a str, &'a str), &'a Revision>,
    /// The edits in the log, by message, each with its sequence, rising.
    edits: BTreeMap<u64, Vec<(u64, &'a Revised)>>,
    /// The sequences of deletions, by message.
    deletions: BTreeMap<u64, u64>,
}

/// How a shown message compares with what it should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// One that it may have.
    Due,
    /// One that it had before an edit that is known.
    Old,
    /// None that it ever had.
    Foreign,
}

impl<'a> Truth<'a> {
    pub(super) fn of(channel: &'a Channel) -> Self {
        let sends = channel.sends.iter();
        let asked = channel.revisions.iter();
        let mut truth = Self {
            log: channel.log.iter().map(|given| (given.seq, given)).collect(),
            sent: sends.map(|it| ((it.uid.as_str(), it.id.as_str()), it.text.as_str())).collect(),
            asked: asked.map(|it| ((it.uid.as_str(), it.id.as_str()), it)).collect(),
            edits: BTreeMap::new(),
            deletions: BTreeMap::new(),
        };
        for given in &channel.log {
            let Content::Revised(revised) = &given.content else { continue };
            if revised.text.is_some() {
                truth.edits.entry(revised.message).or_default().push((given.seq, revised));
            } else {
                truth.deletions.entry(revised.message).or_insert(given.seq);
            }
        }
        truth
    }

    /// The text that a message was sent with; none if nobody sent it.
    pub(super) fn sent(&self, said: &Said) -> Option<&'a str> {
        self.sent.get(&(said.uid.as_str(), said.id.as_str())).copied()
    }

    /// Whether somebody asked for an edit or a deletion.
    pub(super) fn is_asked(&self, revised: &Revised) -> bool {
        let asked = self.asked.get(&(revised.uid.as_str(), revised.id.as_str()));
        asked.is_some_and(|asked| asked.message == revised.message && asked.text == revised.text)
    }

    /// The sequence of a message's deletion.
    pub(super) fn deletion(&self, message: u64) -> Option<u64> {
        self.deletions.get(&message).copied()
    }

    /// The sequence of the deletion with which an event has been erased, if it was.
    pub(super) fn erasure(&self, given: &Given) -> Option<u64> {
        let message = match &given.content {
            Content::Message(_) => given.seq,
            Content::Revised(Revised { message, text: Some(_), .. }) => *message,
            _ => return None,
        };
        self.deletion(message).filter(|deletion| *deletion > given.seq)
    }

    /// Whether `prev` may be said to be before an event that came after `last`: it is `last`, or only
    /// what has been erased lies between. 0 says nothing where something has been erased.
    pub(super) fn is_next(&self, last: u64, prev: u64) -> bool {
        if prev == 0 && (last == 0 || !self.deletions.is_empty()) {
            return true;
        }
        prev == last || self.log.range(last.min(prev) + 1..=last.max(prev)).next().is_none()
    }

    /// What a message at `seq` in a page says, if all edits up to `known` must be in it.
    pub(super) fn version(&self, seq: u64, said: &Said, known: u64) -> Version {
        let is_original = said.edited_at.is_none() && self.sent(said) == Some(&said.text);
        if !self.log.contains_key(&seq) {
            // Its edits are erased with it, so which of them counted is not known any more.
            let asks_for_it = |asked: &&&Revision| {
                asked.message == seq
                    && asked.uid == said.uid
                    && asked.text.as_ref() == Some(&said.text)
            };
            let is_edited =
                said.edited_at.is_some() && self.asked.values().any(|it| asks_for_it(&it));
            return if is_original || is_edited { Version::Due } else { Version::Foreign };
        }
        let edits = self.edits.get(&seq).map(Vec::as_slice).unwrap_or_default();
        let is_edit = |(_, edit): &(u64, &Revised)| {
            Some(edit.time) == said.edited_at && edit.text.as_ref() == Some(&said.text)
        };
        let due = edits.iter().rposition(|(seq, _)| *seq <= known);
        match edits.iter().rposition(is_edit) {
            Some(edit) if due.is_none_or(|due| due <= edit) => Version::Due,
            None if is_original && due.is_none() => Version::Due,
            None if !is_original => Version::Foreign,
            _ => Version::Old,
        }
    }
}
