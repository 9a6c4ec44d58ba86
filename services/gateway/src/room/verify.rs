//! Compares seats with what chat-admin says.
//!
//! That somebody has to go is told by events, which holes reveal, and by core messages, which may be
//! lost: that a channel is gone has no event that stays. So after every interruption, soon after a
//! member's revocation, and now and then, chat-admin is asked who may still be where.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use goch_contract::{
    ChannelName, Error, Uid,
    services::admin::{Member, VERIFY_MAX, Verified, Verify},
};

use super::{Room, Rooms, VERIFY_EVERY, verify_schedule::Scope};

/// Members of one room, or some of them, and what they are looked after for.
struct Seats {
    room: Rc<Room>,
    scope: Rc<Scope>,
    members: Vec<Member>,
}

/// How long a member's `left` event may take after the revocation. A log that is full has no room for it.
const LEFT_WITHIN: Duration = Duration::from_secs(2);

impl Rooms {
    /// Has a member who was revoked looked after, in case no `left` event comes.
    pub(crate) fn hurry_verify(&self, channel: &ChannelName, uid: &Uid) {
        let by = Instant::now() + LEFT_WITHIN;
        if let Some(room) = self.open_room(channel) {
            room.hurry_verify(uid, by);
        }
    }

    /// Has the seats of an account that was suspended looked after at once, in all rooms: no event tells of it.
    pub(crate) fn verify_account(&self, uid: &Uid) {
        let now = Instant::now();
        self.for_each(|room| room.hurry_verify(uid, now));
    }

    /// Looks after the rooms whose turn it is, and after members who were revoked, many in one request.
    pub(crate) async fn verify(&self, now: Instant) {
        let due = self.open_rooms(|room| room.is_verify_due(now));
        let mut batch: Vec<Seats> = Vec::new();
        let mut batched = 0;
        for room in due {
            let Some((scope, members)) = room.begin_verify(now, next(now)) else { continue };
            let scope = Rc::new(scope);
            for chunk in members.chunks(VERIFY_MAX) {
                if batched + chunk.len() > VERIFY_MAX {
                    self.verify_batch(std::mem::take(&mut batch), now).await;
                    batched = 0;
                }
                batched += chunk.len();
                let (room, scope) = (Rc::clone(&room), Rc::clone(&scope));
                batch.push(Seats { room, scope, members: chunk.to_vec() });
            }
        }
        if !batch.is_empty() {
            self.verify_batch(batch, now).await;
        }
    }

    async fn verify_batch(&self, batch: Vec<Seats>, now: Instant) {
        let seats = batch.iter().map(|it| (it.room.channel().clone(), it.members.clone()));
        let request = Verify { seats: seats.collect() };
        let answer: Result<Vec<Verified>, Error> = self.context.services.call(&request).await;
        match answer {
            Ok(verified) => {
                for (seats, verified) in batch.iter().zip(verified) {
                    self.heed(&seats.room, &verified);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "seats were not verified");
                for seats in &batch {
                    seats.room.retry_verify(&seats.scope, now);
                }
            }
        }
    }

    fn heed(&self, room: &Room, verified: &Verified) {
        if !verified.exists {
            return self.put_out_all(room.channel());
        }
        room.note_closed_unless_known(verified.closed);
        let put_out = verified.gone.iter().map(|member| room.put_out(member)).sum();
        self.context.metrics.count_put_out(put_out);
    }
}

/// When a room that was verified now is verified again.
fn next(now: Instant) -> Instant {
    now + VERIFY_EVERY + VERIFY_EVERY.mul_f64(fastrand::f64())
}
