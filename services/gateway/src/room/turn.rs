//! Events that are not only passed on: they say who may be in the room, whether it takes messages, and
//! what counts no more.

use goch_contract::{Seq, Uid};
use serde::Deserialize;

use super::{Kept, Ring};

/// What a room does because of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The channel was closed, or reopened.
    Closed(bool),
    /// A member left.
    Left(Uid),
    /// A message was deleted: what is unread is less.
    Deleted(Seq),
}

impl Turn {
    /// The turn of an event, if it is one. Messages, of which there are many, are not parsed.
    pub(super) fn of(kept: &Kept) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            uid: Option<Uid>,
        }
        if kept.from.is_some() {
            return None;
        }
        let fields: Fields<'_> = serde_json::from_slice(&kept.json).ok()?;
        match fields.kind {
            "closed" => Some(Self::Closed(true)),
            "reopened" => Some(Self::Closed(false)),
            "left" => fields.uid.map(Self::Left),
            "deleted" => kept.revision().map(|it| Self::Deleted(it.message)),
            _ => None,
        }
    }
}

/// Whether the channel is closed, if the latest events tell.
pub(super) fn closed_by(ring: &Ring) -> Option<bool> {
    let turns = ring.latest(usize::MAX).filter_map(Turn::of);
    turns
        .filter_map(|turn| if let Turn::Closed(closed) = turn { Some(closed) } else { None })
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(seq: u64, json: &'static str, from: Option<&str>) -> Kept {
        let from = from.map(|uid| Uid::parse(uid).unwrap());
        Kept { seq: Seq(seq), from, json: json.into() }
    }

    #[test]
    fn the_latest_turn_decides() {
        let mut ring = Ring::new(Seq(0), true);
        ring.push(kept(1, r#"{"type":"joined","uid":"ann"}"#, None));
        assert_eq!(closed_by(&ring), None);
        ring.push(kept(2, r#"{"type":"closed"}"#, None));
        assert_eq!(closed_by(&ring), Some(true));
        ring.push(kept(3, r#"{"type":"reopened"}"#, None));
        ring.push(kept(4, r#"{"type":"closed"}"#, Some("mallory")));
        assert_eq!(closed_by(&ring), Some(false));
    }

    #[test]
    fn a_member_who_left_is_named() {
        let left = kept(1, r#"{"type":"left","channel":"c","uid":"ann"}"#, None);
        assert_eq!(Turn::of(&left), Some(Turn::Left(Uid::parse("ann").unwrap())));
        assert_eq!(Turn::of(&kept(1, r#"{"type":"pinned"}"#, None)), None);
    }
}
