//! Edits and deletions, and what they make of events that are at hand.
//!
//! A room's memory and the pages that sockets are given show messages as they are now: what history or
//! the log tells may be a moment older than what the room has heard.

use std::collections::VecDeque;

use bytes::Bytes;
use goch_contract::{
    Seq,
    event::{Revision, edited, write_positioned},
};
use serde::Deserialize;

use super::Kept;

/// An edit or a deletion that a room has heard of.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) revision: Revision,
    /// The event itself: an edit has the new content.
    json: Bytes,
}

impl Heard {
    /// The edit or the deletion that an event is, if it is one.
    pub(super) fn of(kept: &Kept) -> Option<Self> {
        Some(Self { revision: kept.revision()?, json: kept.json.clone() })
    }

    /// Changes the message if it is among `events`, which rise by sequence. Of one that is deleted the
    /// edits go too: they say what it said.
    pub(super) fn apply(&self, events: &mut VecDeque<Kept>) {
        let Revision { message, deletes, .. } = self.revision;
        if deletes {
            remove(message, events);
        } else if let Ok(index) = events.binary_search_by_key(&message, |kept| kept.seq)
            && let Some(json) = edited_json(&events[index], &self.json)
        {
            events[index].json = json;
        }
    }
}

/// Adds events as they are stored, which follow, and does to those before them what they say.
pub(crate) fn follow(events: Vec<Kept>, stored: impl IntoIterator<Item = Kept>) -> Vec<Kept> {
    let mut events = VecDeque::from(events);
    for kept in stored {
        let heard = Heard::of(&kept);
        events.push_back(kept);
        if let Some(heard) = heard {
            heard.apply(&mut events);
        }
    }
    events.into()
}

/// Removes a message and its edits.
fn remove(message: Seq, events: &mut VecDeque<Kept>) {
    let is_gone = |kept: &Kept| match &kept.from {
        Some(_) => kept.seq == message,
        None => kept.revision().is_some_and(|it| !it.deletes && it.message == message),
    };
    let mut index = events.partition_point(|kept| kept.seq < message);
    while index < events.len() {
        if !is_gone(&events[index]) {
            index += 1;
            continue;
        }
        if let Some(gone) = events.remove(index)
            && let Some(next) = events.get_mut(index)
            && let Some(json) = without_predecessor(next, &gone)
        {
            next.json = json;
        }
    }
}

#[derive(Deserialize)]
struct Place {
    prev: Seq,
}

fn prev(kept: &Kept) -> Option<Seq> {
    serde_json::from_slice::<Place>(&kept.json).ok().map(|place| place.prev)
}

/// The message with the content that an edit gave it, at its place; none if it is no message.
fn edited_json(message: &Kept, edit: &[u8]) -> Option<Bytes> {
    let raw = |json| serde_json::from_slice(json).ok();
    let event = edited(raw(&message.json)?, raw(edit)?)?;
    let mut json = Vec::new();
    write_positioned(&mut json, event.get().as_bytes(), message.seq, prev(message)?).ok()?;
    Some(json.into())
}

/// The event that followed `gone`, following what was before that.
fn without_predecessor(next: &Kept, gone: &Kept) -> Option<Bytes> {
    const NAME: &[u8] = b",\"prev\":";
    if prev(next)? != gone.seq {
        return None;
    }
    // It is the last member, as `write_positioned` writes it.
    let end = next.json.windows(NAME.len()).rposition(|window| window == NAME)?;
    let mut json = next.json[..end + NAME.len()].to_vec();
    json.extend_from_slice(prev(gone)?.to_string().as_bytes());
    json.push(b'}');
    Some(json.into())
}

#[cfg(test)]
pub(super) mod tests {
    use goch_contract::Uid;
    use serde_json::{Value, json};

    use super::*;

    /// An event of a test's channel: a message of ann if it has a text and no message that it is about.
    pub(in crate::room) fn kept(seq: u64, prev: u64, mut event: Value) -> Kept {
        let object = event.as_object_mut().unwrap();
        let is_message = object.get("type").is_none();
        let common = json!({"channel": "c", "time": seq, "id": "i"});
        object.extend(common.as_object().unwrap().clone());
        if is_message {
            let said = json!({"type": "message", "from_uid": "ann", "from_name": "Ann"});
            object.extend(said.as_object().unwrap().clone());
        } else {
            object.insert("uid".to_owned(), json!("ann"));
        }
        let mut json = Vec::new();
        let payload = event.to_string();
        write_positioned(&mut json, payload.as_bytes(), Seq(seq), Seq(prev)).unwrap();
        let from = is_message.then(|| Uid::parse("ann").unwrap());
        Kept { seq: Seq(seq), from, json: json.into() }
    }

    fn shown(events: &VecDeque<Kept>) -> Vec<Value> {
        events.iter().map(|kept| serde_json::from_slice(&kept.json).unwrap()).collect()
    }

    #[test]
    fn an_edit_changes_its_message_and_the_later_one_counts() {
        let mut events = VecDeque::from([kept(3, 1, json!({"text": "a"}))]);
        for (seq, text) in [(5, "b"), (6, "c")] {
            let edit = kept(seq, 3, json!({"type": "edited", "message": 3, "text": text}));
            Heard::of(&edit).unwrap().apply(&mut events);
        }
        let message = &shown(&events)[0];
        assert_eq!((&message["text"], &message["edited_at"]), (&json!("c"), &json!(6)));
        assert_eq!((&message["seq"], &message["prev"]), (&json!(3), &json!(1)));
    }

    #[test]
    fn a_deletion_takes_its_message_and_the_chain_stays_whole() {
        let said = |seq, prev| kept(seq, prev, json!({"text": ",\"prev\":7}"}));
        let mut events = VecDeque::from([said(3, 1), said(5, 3), said(9, 5)]);
        let edit = |seq, message| {
            kept(seq, seq - 1, json!({"type": "edited", "message": message, "text": "x"}))
        };
        events.extend([edit(10, 5), edit(11, 3), kept(12, 11, json!({"text": "after"}))]);
        let deletion = kept(13, 12, json!({"type": "deleted", "message": 5}));
        let deletion = Heard::of(&deletion).unwrap();
        assert!(deletion.revision.deletes);
        deletion.apply(&mut events);
        let chain: Vec<_> = shown(&events).iter().map(|it| it["prev"].clone()).collect();
        assert_eq!(chain, [1, 3, 9, 11]);
        // Once more, when it is not here.
        deletion.apply(&mut events);
        assert_eq!(events.len(), 4);
    }

    #[test]
    fn what_follows_from_the_log_is_done_to_what_was_shown_before() {
        let page = vec![kept(3, 1, json!({"text": "a"})), kept(5, 3, json!({"text": "b"}))];
        let stored = [
            kept(7, 5, json!({"type": "edited", "message": 3, "text": "c"})),
            kept(8, 7, json!({"type": "edited", "message": 5, "text": "d"})),
            kept(9, 8, json!({"type": "deleted", "message": 5})),
        ];
        let events = VecDeque::from(follow(page, stored));
        let seqs: Vec<_> = events.iter().map(|kept| kept.seq.0).collect();
        assert_eq!(seqs, [3, 7, 9]);
        let shown = shown(&events);
        assert_eq!((&shown[0]["text"], &shown[2]["prev"]), (&json!("c"), &json!(7)));
    }

    #[test]
    fn only_messages_are_revised_and_by_events_that_say_so() {
        let joined = kept(3, 0, json!({"type": "joined", "display_name": "Ann"}));
        let mut events = VecDeque::from([joined]);
        let deletion = kept(5, 3, json!({"type": "deleted", "message": 3}));
        Heard::of(&deletion).unwrap().apply(&mut events);
        assert_eq!(events.len(), 1);
        let posing = Kept { from: Uid::parse("eve").ok(), ..deletion };
        assert!(Heard::of(&posing).is_none());
    }
}
