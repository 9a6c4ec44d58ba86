//! The events that a subscription begins with: from the room's memory where that suffices, else
//! from history, or from the log when history is away or behind.

use bytes::Bytes;
use goch_contract::{
    Error, Seq,
    frame::Subscribe,
    services::{
        broker::{Catchup, Tails},
        history::{Page, Window},
    },
};

use crate::{
    pages,
    room::{Kept, Ring, Room, follow, keep},
    worker::Worker,
};

/// How often a page is fetched anew because the room moved on in the meantime.
const ATTEMPTS_MAX: usize = 4;

/// What was fetched: every event from its first one up to and including `through`.
pub(super) struct Fetched {
    events: Vec<Kept>,
    through: Seq,
    /// Whether older events remain before it.
    older: bool,
    /// Whether newer events remain that are not fetched, because the page is full.
    newer: bool,
}

impl Fetched {
    /// Whether nothing is missing between this and the room's memory. A page that is full ends before that.
    fn reaches(&self, ring: &Ring) -> bool {
        self.newer || ring.covers(self.through)
    }

    /// This and what the log has after it. History may not have heard of the edits and deletions among that.
    fn followed_by(self, page: &Page) -> Self {
        let through = page.events.last().map_or(self.through, |logged| logged.seq);
        let events = follow(self.events, page.events.iter().filter_map(keep));
        Self { events, through, newer: page.more, ..self }
    }
}

/// The first page of a subscription.
pub(super) struct FirstPage {
    pub(super) messages: Vec<Bytes>,
    pub(super) last_seq: Seq,
    pub(super) more: bool,
    /// Up to here the socket has been given everything, or can ask on for it.
    pub(super) end: Seq,
}

/// Fetches what the room's memory lacks for this subscription.
pub(super) async fn fetch(
    worker: &Worker,
    room: &Room,
    subscribe: &Subscribe,
) -> Result<Fetched, Error> {
    let limit = subscribe.limit;
    Ok(match subscribe.window {
        Window::Latest | Window::Before(_) => before_ring(worker, room, limit).await?,
        Window::After(after) if room.with_ring(|ring| ring.covers(after)) => {
            nothing(within_log(worker, room, after).await?)
        }
        Window::After(after) => {
            let page =
                pages::read(&worker.services, room.channel(), subscribe.window, limit, Seq(0))
                    .await?;
            onwards(&page, after)
        }
        Window::Since(_) => {
            let end = room.with_ring(Ring::last_seq);
            let mut page =
                pages::read(&worker.services, room.channel(), subscribe.window, limit, Seq(0))
                    .await?;
            if page.events.is_empty() {
                // History can be behind; the log cannot.
                page = pages::read_log(&worker.services, room.channel(), subscribe.window, limit)
                    .await?;
            }
            onwards(&page, end)
        }
    })
}

/// Closes the distance between what was fetched and the room's memory: history may end before that
/// begins, and the room may have moved on in the meantime.
pub(super) async fn reach(
    worker: &Worker,
    room: &Room,
    limit: u32,
    mut fetched: Fetched,
) -> Result<Fetched, Error> {
    for _ in 0..ATTEMPTS_MAX {
        if room.with_ring(|ring| fetched.reaches(ring)) {
            return Ok(fetched);
        }
        let request = Catchup { channel: room.channel().clone(), after: fetched.through, limit };
        fetched = fetched.followed_by(&worker.services.call(&request).await?.page);
    }
    Err(Error::unavailable("the channel is moving too fast; subscribe again"))
}

/// Puts what was fetched and the room's memory together. The room must not have moved since
/// [`reach`] returned, which holds as long as nothing is awaited in between.
pub(super) fn compose(ring: &Ring, fetched: Fetched, subscribe: &Subscribe) -> FirstPage {
    let limit = subscribe.limit as usize;
    let mut kept = fetched.events;
    if !fetched.newer {
        kept.extend(ring.after(fetched.through).cloned());
    }
    let mut kept = ring.amend(kept);
    // A room can be behind what another gateway or history has given already.
    let end = ring.last_seq().max(fetched.through);
    let is_latest = matches!(subscribe.window, Window::Latest | Window::Before(_));
    let surplus = kept.len().saturating_sub(limit);
    let more = if is_latest {
        kept.drain(..surplus);
        fetched.older || surplus > 0
    } else {
        kept.truncate(limit);
        fetched.newer || surplus > 0
    };
    let last_seq = if more && !is_latest {
        // All of a page may have been deleted, and not yet from the log.
        kept.last().map_or(fetched.through, |last| last.seq)
    } else {
        end
    };
    FirstPage { messages: kept.into_iter().map(|kept| kept.json).collect(), last_seq, more, end }
}

/// `after`, unless that is beyond the log's end, where no client has been.
async fn within_log(worker: &Worker, room: &Room, after: Seq) -> Result<Seq, Error> {
    if after <= room.with_ring(Ring::last_seq) {
        return Ok(after);
    }
    let tails = worker.services.call(&Tails { channels: vec![room.channel().clone()] }).await?;
    Ok(tails.first().map_or(after, |tail| after.min(*tail)))
}

fn nothing(through: Seq) -> Fetched {
    Fetched { events: Vec::new(), through, older: false, newer: false }
}

fn onwards(page: &Page, start: Seq) -> Fetched {
    let through = page.events.last().map_or(start, |logged| logged.seq);
    let events = page.events.iter().filter_map(keep).collect();
    Fetched { events, through, older: false, newer: page.more }
}

/// The events before the room's memory that are needed to make `limit`.
async fn before_ring(worker: &Worker, room: &Room, limit: u32) -> Result<Fetched, Error> {
    let (from_ring, missing, revised) = room
        .with_ring(|ring| (in_front_of(ring), missing_before(ring, limit), ring.amends_after()));
    let Some((first, missing)) = missing else { return Ok(from_ring) };
    let page =
        pages::read(&worker.services, room.channel(), Window::Before(first), missing, revised)
            .await?;
    let events = page.events.iter().filter_map(keep).collect();
    Ok(Fetched { events, older: page.more, ..from_ring })
}

/// Nothing, up to where the room's memory begins.
fn in_front_of(ring: &Ring) -> Fetched {
    Fetched { older: !ring.reaches_start(), ..nothing(ring.covered_after()) }
}

/// Before which event, and how many, the room's memory lacks of its channel's latest `limit` events.
fn missing_before(ring: &Ring, limit: u32) -> Option<(Seq, u32)> {
    let held = u32::try_from(ring.latest(usize::MAX).len()).unwrap_or(u32::MAX);
    let missing = limit.saturating_sub(held);
    ring.first_seq().filter(|_| missing > 0 && !ring.reaches_start()).map(|first| (first, missing))
}

#[cfg(test)]
mod tests {
    use goch_contract::{ChannelName, Secret, Uid, event::Logged, frame::Credentials};
    use proptest::{prelude::*, sample::Index};

    use super::*;

    /// A channel's events, and the room's memory, which holds those from `split` on.
    fn channel() -> impl Strategy<Value = (Vec<Kept>, Ring)> {
        (prop::collection::vec(1_u64..4, 0..60), any::<Index>()).prop_map(|(steps, split)| {
            let seqs = steps.into_iter().scan(0, |seq, step| {
                *seq += step;
                Some(*seq)
            });
            let event = |seq: u64| Kept { seq: Seq(seq), from: None, json: seq.to_string().into() };
            let events: Vec<_> = seqs.map(event).collect();
            let split = split.index(events.len() + 1);
            let covered_after = events[..split].last().map_or(Seq(0), |kept| kept.seq);
            let mut ring = Ring::new(covered_after, split == 0);
            events[split..].iter().cloned().for_each(|kept| ring.push(kept));
            (events, ring)
        })
    }

    fn subscribe(window: Window, limit: u32) -> Subscribe {
        let channel = ChannelName::parse("c").unwrap();
        let credentials = Credentials::Token(Secret::new(""));
        Subscribe { id: None, channel, credentials, window, limit }
    }

    fn messages(events: &[Kept]) -> Vec<Bytes> {
        events.iter().map(|kept| kept.json.clone()).collect()
    }

    #[test]
    fn a_page_ahead_of_the_room_is_given_whole_and_says_how_far_it_goes() {
        let event = |seq: u64| Kept { seq: Seq(seq), from: None, json: seq.to_string().into() };
        let mut ring = Ring::new(Seq(0), true);
        ring.push(event(3));
        let events = vec![event(3), event(5), event(9)];
        let fetched = Fetched { events: events.clone(), ..nothing(Seq(9)) };
        let page = compose(&ring, fetched, &subscribe(Window::After(Seq(0)), 100));
        assert_eq!(page.messages, messages(&events));
        assert_eq!((page.last_seq, page.end, page.more), (Seq(9), Seq(9), false));
    }

    #[test]
    fn a_page_of_which_all_is_deleted_says_how_far_it_goes() {
        let kept = |seq: u64, from: Option<&str>, json: &'static str| Kept {
            seq: Seq(seq),
            from: from.map(|uid| Uid::parse(uid).unwrap()),
            json: json.into(),
        };
        let mut ring = Ring::new(Seq(9), false);
        ring.push(kept(10, None, r#"{"type":"deleted","message":3}"#));
        ring.push(kept(11, None, r#"{"type":"deleted","message":5}"#));
        let text = r#"{"type":"message","text":"a"}"#;
        let events = vec![kept(3, Some("ann"), text), kept(5, Some("ann"), text)];
        let fetched = Fetched { events, newer: true, ..nothing(Seq(5)) };
        let page = compose(&ring, fetched, &subscribe(Window::After(Seq(0)), 2));
        assert_eq!(page.messages, Vec::<Bytes>::new());
        assert_eq!((page.last_seq, page.more), (Seq(5), true));
    }

    #[test]
    fn a_page_goes_as_far_as_what_was_fetched_though_its_last_event_cannot_be_read() {
        let event = Kept { seq: Seq(3), from: None, json: "3".into() };
        let fetched = Fetched { events: vec![event], ..nothing(Seq(5)) };
        let page = compose(&ring(5, &[]), fetched, &subscribe(Window::After(Seq(0)), 10));
        assert_eq!((page.messages.len(), page.last_seq, page.more), (1, Seq(5), false));
    }

    #[test]
    fn in_front_of_a_rooms_memory_are_older_events_unless_it_reaches_back_to_the_first() {
        let (part, whole) = (in_front_of(&ring(4, &[5])), in_front_of(&ring(0, &[5])));
        assert_eq!((part.through, part.older), (Seq(4), true));
        assert_eq!((whole.through, whole.older), (Seq(0), false));
    }

    /// A room's memory of the events after `covered_after` at `seqs`.
    fn ring(covered_after: u64, seqs: &[u64]) -> Ring {
        let mut ring = Ring::new(Seq(covered_after), covered_after == 0);
        for seq in seqs {
            ring.push(Kept { seq: Seq(*seq), from: None, json: seq.to_string().into() });
        }
        ring
    }

    #[test]
    fn what_was_fetched_is_followed_by_the_log_until_it_meets_the_rooms_memory_or_is_full() {
        let ring = ring(9, &[10]);
        let before = nothing(Seq(4));
        assert!(!before.reaches(&ring));
        let logged = |seq: u64| {
            let event = format!(r#"{{"type":"joined","channel":"c","time":1,"uid":"u{seq}"}}"#);
            let event = serde_json::value::RawValue::from_string(event).unwrap();
            Logged::new(Seq(seq), Seq(seq - 1), event)
        };
        let page = |seqs: &[u64], more| {
            let events = seqs.iter().map(|seq| logged(*seq)).collect();
            Page { events, more }
        };
        let fetched = before.followed_by(&page(&[6, 8], false));
        assert_eq!((fetched.events.len(), fetched.through), (2, Seq(8)));
        assert!(!fetched.reaches(&ring), "the event at 9 may be missing");
        let fetched = fetched.followed_by(&page(&[9], false));
        assert_eq!((fetched.events.len(), fetched.through), (3, Seq(9)));
        assert!(fetched.reaches(&ring));
        let full = nothing(Seq(4)).followed_by(&page(&[6], true));
        assert!(full.newer && full.reaches(&ring));
        // Whoever has nothing to add has not moved.
        assert_eq!(nothing(Seq(4)).followed_by(&page(&[], false)).through, Seq(4));
    }

    #[test]
    fn older_events_are_asked_for_when_the_rooms_memory_has_too_few_and_there_may_be_some() {
        assert_eq!(missing_before(&ring(4, &[5, 7, 8]), 5), Some((Seq(5), 2)));
        assert_eq!(missing_before(&ring(4, &[5, 7, 8]), 3), None);
        assert_eq!(missing_before(&ring(4, &[5, 7, 8]), 1), None);
        assert_eq!(missing_before(&ring(0, &[5, 7, 8]), 5), None);
        assert_eq!(missing_before(&ring(4, &[]), 5), None);
    }

    proptest! {
        #[test]
        fn a_resume_gets_what_follows_with_no_hole_and_nothing_twice(
            (events, ring) in channel(),
            after in 0_u64..150,
            limit in 1_u32..40,
            fetched_count in any::<Index>(),
        ) {
            let missing = &events[events.partition_point(|kept| kept.seq <= Seq(after))..];
            let fetched = if ring.covers(Seq(after)) {
                nothing(Seq(after))
            } else {
                // At least one event and a page at most; history may end anywhere in between.
                let most = missing.len().min(limit as usize);
                let events = missing[..=fetched_count.index(most)].to_vec();
                let through = events.last().unwrap().seq;
                Fetched { events, through, older: false, newer: !ring.covers(through) }
            };
            let subscribe = subscribe(Window::After(Seq(after)), limit);
            // A client may have seen more than this room yet.
            let end = ring.last_seq().max(fetched.through);
            let page = compose(&ring, fetched, &subscribe);
            let count = page.messages.len();
            prop_assert!(count <= limit as usize);
            prop_assert_eq!(&page.messages, &messages(&missing[..count]));
            prop_assert_eq!(page.more, count < missing.len());
            let last = if page.more { missing[count - 1].seq } else { end };
            prop_assert_eq!(page.last_seq, last);
            prop_assert_eq!(page.end, end);
        }

        #[test]
        fn the_latest_page_ends_with_the_last_event_and_says_whether_older_ones_remain(
            (events, ring) in channel(),
            limit in 1_u32..80,
        ) {
            let held = ring.latest(usize::MAX).len();
            let before = &events[..events.len() - held];
            let wanted = (limit as usize).saturating_sub(held);
            let from_ring = in_front_of(&ring);
            let fetched = if held == 0 || wanted == 0 {
                from_ring
            } else {
                let first = before.len().saturating_sub(wanted);
                Fetched { events: before[first..].to_vec(), older: first > 0, ..from_ring }
            };
            let page = compose(&ring, fetched, &subscribe(Window::Latest, limit));
            let count = page.messages.len();
            prop_assert!(count <= limit as usize);
            prop_assert_eq!(&page.messages, &messages(&events[events.len() - count..]));
            prop_assert_eq!(page.more, count < events.len());
            prop_assert_eq!(page.last_seq, ring.last_seq());
        }
    }
}
