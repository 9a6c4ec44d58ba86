//! How many messages a member has not read: from what the room has, and else from as little more as
//! will do.
//!
//! History counts up to a sequence that it states, from where the room's memory goes on. Only what lies
//! between the two, if anything does, is counted in the log. A count is remembered, so that a member who
//! is far behind and comes back costs no request.

use std::{rc::Rc, time::Instant};

use goch_contract::{
    Error, PersonKind, Seq, Uid,
    services::{
        broker::{Span, count_span},
        history::{Unread, UnreadCount},
    },
};

use super::{
    Ring, Room,
    positions::{Counted, Known},
};

use crate::ServiceClient;

/// How often counting starts anew because the channel moved on in the meantime.
const ATTEMPTS_MAX: usize = 4;

impl Room {
    /// A member's unread messages, exactly.
    ///
    /// # Errors
    /// `unavailable` when they cannot be told.
    pub(crate) async fn count_unread(
        self: &Rc<Self>,
        services: &ServiceClient,
        uid: &Uid,
        kind: PersonKind,
    ) -> Result<Counted, Error> {
        if let Some(counted) = self.known_count(uid) {
            return Ok(counted);
        }
        for _ in 0..ATTEMPTS_MAX {
            let epoch = self.reading_epoch();
            let known = self.known(uid);
            let recalled = known.and_then(|known| self.with_ring(|ring| recall(ring, uid, known)));
            let counted = if let Some(recalled) = recalled {
                recalled
            } else if let Some(asked) = self.ask(services, (uid, kind), known, epoch).await? {
                self.remember(epoch, uid, asked);
                asked
            } else {
                continue;
            };
            self.note_counted(uid, counted);
            return Ok(counted);
        }
        Err(Error::unavailable("the channel is moving too fast; ask again"))
    }

    /// Asks history, and the log for what history and the room's memory leave open. None if something
    /// has moved meanwhile.
    async fn ask(
        self: &Rc<Self>,
        services: &ServiceClient,
        (uid, kind): (&Uid, PersonKind),
        known: Option<Known>,
        epoch: u64,
    ) -> Result<Option<Counted>, Error> {
        let (channel, uid) = (self.channel().clone(), uid.clone());
        let request = Unread { channel, uid, kind, fresh: false };
        let uid = &request.uid;
        let answered = match services.call(&request).await {
            Ok(UnreadCount { count, position, through }) => {
                if !self.note_answer(epoch, uid, position) {
                    return Ok(None);
                }
                Counted { position, count, through }
            }
            // The log tells too, if slowly.
            Err(error) => match known {
                Some(Known { position, .. }) => Counted { position, count: 0, through: position },
                None => return Err(error),
            },
        };
        // A signal may have overtaken the answer.
        let position = self.position(uid).unwrap_or(answered.position).max(answered.position);
        let begin = Counted { position, count: 0, through: position };
        if let Some(counted) = self.with_ring(|ring| count_on(ring, uid, begin)) {
            return Ok(Some(counted));
        }
        let is_whole = |answered: &Counted| {
            let is_deleted = self.with_ring(|ring| ring.has_deleted_since(answered.through));
            answered.position == position && !is_deleted
        };
        let Some(base) = Some(answered).filter(is_whole) else {
            return self.count_in_log(services, uid, epoch, begin).await;
        };
        if let Some(counted) = self.with_ring(|ring| count_on(ring, uid, base)) {
            return Ok(Some(counted));
        }
        self.count_in_log(services, uid, epoch, base).await
    }

    /// Counts on from `base` in the log, and from there in the room's memory.
    async fn count_in_log(
        self: &Rc<Self>,
        services: &ServiceClient,
        uid: &Uid,
        epoch: u64,
        base: Counted,
    ) -> Result<Option<Counted>, Error> {
        let through = self.with_ring(Ring::last_seq);
        let span = Span {
            not_from: uid.clone(),
            after: base.through,
            before: Seq(through.0 + 1),
            by_sender: false,
        };
        let mut found = count_span(services, self.channel().clone(), span.clone()).await?;
        let mut count = base.count;
        if found.deletes_earlier && base.through > base.position {
            // Which of them the base has is not known.
            let span = Span { after: base.position, ..span };
            found = count_span(services, self.channel().clone(), span).await?;
            count = 0;
        }
        let position = base.position;
        let has_moved =
            self.reading_epoch() != epoch || self.position(uid).is_some_and(|now| now != position);
        let counted = Counted { position, count: count + found.count, through };
        let counted = self.with_ring(|ring| count_on(ring, uid, counted));
        Ok(counted.filter(|_| !has_moved))
    }

    /// Brings a count up to the present. Nothing if the room has moved too far since.
    pub(crate) fn count_on(&self, uid: &Uid, counted: Counted) -> Option<u64> {
        let position = self.position(uid).unwrap_or(counted.position);
        let begin = Counted { position, count: 0, through: position };
        let counted = self.with_ring(|ring| {
            let afresh = count_on(ring, uid, begin);
            afresh.or_else(|| count_on(ring, uid, counted).filter(|_| counted.position == position))
        });
        counted.map(|counted| counted.count)
    }
}

/// What can be told of a member without asking anybody.
fn recall(ring: &Ring, uid: &Uid, known: Known) -> Option<Counted> {
    let begin = Counted { position: known.position, count: 0, through: known.position };
    let counted = || known.counted(Instant::now());
    count_on(ring, uid, begin).or_else(|| count_on(ring, uid, counted()?))
}

/// Brings a count up to the end of the ring. None if the ring does not reach back to where it ends, or
/// if something was deleted since that it may have.
fn count_on(ring: &Ring, uid: &Uid, counted: Counted) -> Option<Counted> {
    let newer = ring.unread(uid, counted.through)?;
    if counted.count > 0 && ring.has_deleted_since(counted.through) {
        return None;
    }
    let through = counted.through.max(ring.last_seq());
    Some(Counted { count: counted.count + newer, through, ..counted })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::room::Kept;

    fn uid(name: &str) -> Uid {
        Uid::parse(name).unwrap()
    }

    fn ring() -> Ring {
        let mut ring = Ring::new(Seq(10), false);
        for (seq, from) in [(11, "bob"), (13, "ann"), (17, "bob")] {
            let from = Some(uid(from));
            ring.push(Kept { seq: Seq(seq), from, json: Bytes::from_static(b"{}") });
        }
        ring
    }

    fn counted(position: u64, count: u64, through: u64) -> Counted {
        Counted { position: Seq(position), count, through: Seq(through) }
    }

    #[test]
    fn a_count_goes_on_where_it_ends() {
        let on = |counted| count_on(&ring(), &uid("ann"), counted);
        assert_eq!(on(counted(2, 5, 10)), Some(counted(2, 7, 17)));
        assert_eq!(on(counted(2, 5, 12)), Some(counted(2, 6, 17)));
        assert_eq!(on(counted(2, 5, 9)), None, "the ring does not reach back to it");
        // History may be ahead of the room.
        assert_eq!(on(counted(2, 5, 20)), Some(counted(2, 5, 20)));
    }

    #[test]
    fn what_may_have_been_deleted_since_is_counted_anew() {
        let mut ring = ring();
        let deletion =
            br#"{"type":"deleted","channel":"c","time":1,"id":"d","message":5,"uid":"bob"}"#;
        ring.push(Kept { seq: Seq(19), from: None, json: Bytes::from_static(deletion) });
        let on = |counted| count_on(&ring, &uid("ann"), counted);
        assert_eq!(on(counted(2, 5, 12)), None);
        assert_eq!(on(counted(12, 0, 12)), Some(counted(12, 1, 19)));
        assert_eq!(on(counted(2, 5, 19)), Some(counted(2, 5, 19)));
    }
}
