//! Editing and deleting messages.
//!
//! An event says what becomes of a message, and it is stored only if the channel's latest event is still
//! the one up to which the message was looked at. So no edit follows a deletion, and each edit that
//! comes before it is found when the text is erased.
//!
//! A deletion is several steps: it is written down, told to the channel, then the message and its edits
//! are erased from the log and forgotten in Redis. Each can be repeated, and [`super::finisher`] does
//! what is left of one that was interrupted, telling the channel included. In a log that is full there is
//! no room for the event: then erasing comes first, and makes some.

use std::{collections::BTreeMap, time::Duration};

use goch_contract::{
    Actor, ChannelName, Error, ErrorCode, MembershipId, MessageId, PersonKind, Seq, Uid,
    UnixMillis,
    event::{Deleted, Edited, Event, Message, Sender, revision_deduplication_id},
    services::{
        admin::{Change, Revise, Revision},
        broker::{EraseMessage, Revised as RevisedMessage, Revisions, stored_time},
        history::ForgetEvents,
    },
};

use super::{Lifecycle, Progress, finisher::Unfinished, no_channel, too_many_changes};
use crate::{
    log::{About, Whom, is_full},
    record::{ChannelRecord, DeletionRecord, MemberRecord, deletion_key, member_key},
    registry::bucket::{self, Creation, Revised},
};

/// How often an event is tried to be stored before another one of the channel comes first.
const ATTEMPTS_MAX: usize = 16;

/// The pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(10);

/// On whose word a message is revised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Right {
    /// A member's of this kind, who may revise what was said in this membership.
    Own(MembershipId, PersonKind),
    /// Ticketing's, which may revise everything, and may delete in a closed channel too.
    Any,
}

impl Right {
    /// Whose id an edit or a deletion has.
    fn sender<'a>(&'a self, uid: &'a Uid) -> Sender<'a> {
        match self {
            Self::Own(membership, _) => Sender::Member(membership),
            Self::Any => Sender::Ticketing(uid),
        }
    }

    /// Who revises: ticketing speaks as an account.
    fn whom<'a>(&self, uid: &'a Uid) -> Whom<'a> {
        let kind = match self {
            Self::Own(_, kind) => *kind,
            Self::Any => PersonKind::Account,
        };
        Whom { kind, uid }
    }
}

/// An edit, checked against the limits.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) channel: ChannelName,
    pub(crate) message: Seq,
    pub(crate) uid: Uid,
    pub(crate) id: MessageId,
    pub(crate) text: String,
    pub(crate) meta: Option<BTreeMap<String, String>>,
    /// Who of ticketing has it edited; none if its author has.
    pub(crate) actor: Option<Actor>,
}

/// A deletion.
#[derive(Debug, Clone)]
pub(crate) struct Deletion {
    pub(crate) channel: ChannelName,
    pub(crate) message: Seq,
    pub(crate) uid: Uid,
    pub(crate) id: MessageId,
    /// Who of ticketing has it deleted; none if its author has.
    pub(crate) actor: Option<Actor>,
}

/// A message as it stands.
struct Standing {
    message: Message,
    /// Whose it is; nobody's if ticketing posted it.
    membership: Option<MembershipId>,
    /// What its author is.
    author: PersonKind,
    latest: Option<(Seq, Event)>,
    tail: Seq,
}

impl Lifecycle {
    /// Does what a member wants of a message. What is left of a deletion then follows.
    ///
    /// # Errors
    /// As [`Revise`] says; `unavailable`.
    pub(crate) async fn revise(&self, request: Revise) -> Result<Revision, Error> {
        let Revise { channel, message, uid, membership, id, change } = request;
        let kind = self.require_membership(&channel, &uid, &membership).await?;
        let right = Right::Own(membership, kind);
        match change {
            Change::Edit { text, meta } => {
                let edit = Edit { channel, message, uid, id, text, meta, actor: None };
                self.edit(edit, right).await
            }
            Change::Delete => {
                let deletion = Deletion { channel, message, uid, id, actor: None };
                let (told, unfinished) = self.begin_deletion(deletion, right).await?;
                let lifecycle = self.clone();
                self.tasks.spawn(async move { lifecycle.finish_message_within(unfinished).await });
                told.ok_or_else(not_told)
            }
        }
    }

    /// Changes what a message says.
    ///
    /// # Errors
    /// As [`Revise`] says; `unavailable`.
    pub(crate) async fn edit(&self, edit: Edit, right: Right) -> Result<Revision, Error> {
        let Edit { channel, message, uid, id, text, meta, actor } = edit;
        let deduplication_id =
            revision_deduplication_id(&channel, "edited", right.sender(&uid), &id);
        let mut turn = Turn::default();
        for _ in 0..ATTEMPTS_MAX {
            self.require_channel(&channel, true).await?;
            let standing = self.standing(&channel, message).await?.ok_or_else(no_message)?;
            standing.require_right(&right)?;
            if matches!(standing.latest, Some((_, Event::Deleted(_)))) {
                return Err(no_message());
            }
            let time = UnixMillis::now();
            let event = Event::Edited(Edited {
                channel: channel.clone(),
                time,
                id: id.clone(),
                message,
                uid: uid.clone(),
                text: text.clone(),
                meta: standing.meta_after(meta.as_ref()),
            });
            let author = Some(Whom { kind: standing.author, uid: &standing.message.from_uid });
            let about = About::Revision { message, deletes: false, by: right.whom(&uid), author };
            let expected = turn.expect(standing.tail);
            let stored = self.log.publish_after(
                &channel,
                &event,
                Some(&deduplication_id),
                about,
                actor.as_ref(),
                expected,
            );
            if let Some(stored) = stored.await? {
                let (seq, duplicate) = (stored.seq, stored.duplicate);
                let actor = actor.as_ref().map(Actor::as_str);
                tracing::info!(%channel, %message, %uid, %seq, duplicate, actor, "message edited");
                let time =
                    if duplicate { stored_time(&self.services, channel, seq).await? } else { time };
                return Ok(Revision { seq, time, duplicate });
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(too_many_changes())
    }

    /// Withdraws a message, and waits for its erasure.
    ///
    /// # Errors
    /// As [`Revise`] says; `unavailable` when it is not certain to be done.
    pub(crate) async fn delete_message(
        &self,
        deletion: Deletion,
        right: Right,
    ) -> Result<Progress, Error> {
        let (_, unfinished) = self.begin_deletion(deletion, right).await?;
        Ok(self.finish_message_within(unfinished).await)
    }

    /// Writes a deletion down and tells the channel; nothing as long as the log has no room for that. The
    /// message is erased then.
    async fn begin_deletion(
        &self,
        deletion: Deletion,
        right: Right,
    ) -> Result<(Option<Revision>, Unfinished), Error> {
        let Deletion { channel, message, uid, id, actor } = deletion;
        let channel_record = self.require_channel(&channel, right != Right::Any).await?;
        let revised = self.revised(&channel, message).await?;
        let unfinished = Unfinished::Message(channel.clone(), message);
        if let Some((seq, Event::Deleted(deleted))) = latest_of(&revised) {
            if (&deleted.uid, &deleted.id) != (&uid, &id) {
                return Err(no_message());
            }
            let time = deleted.time;
            return Ok((Some(Revision { seq, time, duplicate: true }), unfinished));
        }
        let key = deletion_key(&channel, message);
        let standing = Standing::of(revised);
        if let Some(standing) = &standing {
            standing.require_right(&right)?;
        }
        let by = match right {
            Right::Own(membership, kind) => Some((membership, kind)),
            Right::Any => None,
        };
        let record = DeletionRecord::new(&channel_record, message, uid, by, id, actor)?;
        let mut stored = if standing.is_some() {
            match bucket::create(&self.buckets.deletions, &key, &record).await? {
                Creation::Done(revision) => Revised { revision, record },
                Creation::Taken(stored) if stored.record.is_same(&record) => stored,
                // Somebody else's comes first, and is certain to be done.
                Creation::Taken(_) => return Err(no_message()),
            }
        } else {
            // It may have been erased by the same deletion, which is not told yet.
            let stored = self.buckets.deletions.get(&key).await?;
            stored.filter(|stored| stored.record.is_same(&record)).ok_or_else(no_message)?
        };
        // From here on it is finished, whatever this process comes to.
        self.unfinished.add(unfinished.clone());
        let revision = match self.tell_deletion(&mut stored).await {
            Ok(revision) => revision.ok_or_else(no_message)?,
            Err(error) if is_full(&error) => return Ok((None, unfinished)),
            Err(error) => return Err(error),
        };
        let DeletionRecord { channel, uid, actor, .. } = stored.record;
        let actor = actor.as_ref().map(Actor::as_str);
        tracing::info!(%channel, %message, %uid, seq = %revision.seq, actor, "message deleted");
        Ok((Some(revision), unfinished))
    }

    async fn finish_message_within(&self, unfinished: Unfinished) -> Progress {
        let Unfinished::Message(channel, message) = &unfinished else { return Progress::Done };
        let (channel, message) = (channel.clone(), *message);
        self.finish_within(unfinished, self.finish_message(&channel, message)).await
    }

    /// Does what is left of a deletion.
    pub(super) async fn finish_message(
        &self,
        channel: &ChannelName,
        message: Seq,
    ) -> Result<(), Error> {
        let key = deletion_key(channel, message);
        let Some(mut stored) = self.buckets.deletions.get(&key).await? else { return Ok(()) };
        match self.tell_deletion(&mut stored).await {
            Ok(None) => {}
            Ok(Some(_)) => self.erase_message(channel, message, false).await?,
            Err(error) => {
                if is_full(&error) {
                    self.forget_first(&mut stored).await?;
                }
                return Err(error);
            }
        }
        // Nobody follows this bucket: no marker is needed.
        self.buckets.deletions.purge(&key, Some(stored.revision)).await
    }

    /// Tells the channel that a message is deleted, as [`Self::publish_deletion`] does, and erases the
    /// message from the log before if that makes the room which the log lacks. Nobody waits for Redis here:
    /// a member is told as long as it is away, too.
    ///
    /// # Errors
    /// One that [`is_full`] knows when it did not: the event follows when there is room.
    async fn tell_deletion(
        &self,
        stored: &mut Revised<DeletionRecord>,
    ) -> Result<Option<Revision>, Error> {
        if !stored.record.erased_first {
            let told = self.publish_deletion(&stored.record).await;
            if !told.as_ref().is_err_and(is_full) {
                return told;
            }
            stored.record.erased_first = true;
            self.replace_deletion(stored).await?;
            let DeletionRecord { channel, message, .. } = &stored.record;
            tracing::warn!(%channel, %message, "the log is full: a message is erased before its channel is told");
        }
        let DeletionRecord { channel, message, forgotten_first, .. } = &stored.record;
        if !forgotten_first {
            self.erase_from_log(channel, *message, true).await?;
        }
        self.publish_deletion(&stored.record).await
    }

    /// Erases a message, of which its channel is told later, in Redis too, unless that is done.
    async fn forget_first(&self, stored: &mut Revised<DeletionRecord>) -> Result<(), Error> {
        let DeletionRecord { channel, message, forgotten_first, .. } = &stored.record;
        if *forgotten_first {
            return Ok(());
        }
        self.erase_message(channel, *message, true).await?;
        stored.record.forgotten_first = true;
        self.replace_deletion(stored).await
    }

    async fn replace_deletion(&self, stored: &mut Revised<DeletionRecord>) -> Result<(), Error> {
        let key = deletion_key(&stored.record.channel, stored.record.message);
        let replaced = self.buckets.deletions.replace(&key, &stored.record, stored.revision);
        stored.revision = replaced.await?.ok_or_else(too_many_changes)?;
        Ok(())
    }

    /// Erases what the log and Redis have of a message.
    pub(super) async fn erase_message(
        &self,
        channel: &ChannelName,
        message: Seq,
        before_deletion: bool,
    ) -> Result<(), Error> {
        let through = self.erase_from_log(channel, message, before_deletion).await?;
        self.services.call(&ForgetEvents { channel: channel.clone(), through }).await
    }

    /// Erases what the log has of a message, and returns the log's last sequence.
    async fn erase_from_log(
        &self,
        channel: &ChannelName,
        message: Seq,
        before_deletion: bool,
    ) -> Result<Seq, Error> {
        let erase = EraseMessage { channel: channel.clone(), message, before_deletion };
        self.services.call(&erase).await
    }

    /// Tells the channel that a message is deleted, unless that is done. Nothing if there is no such
    /// message any more, nor a word about it: its channel is deleted, or its author erased.
    async fn publish_deletion(&self, record: &DeletionRecord) -> Result<Option<Revision>, Error> {
        let DeletionRecord { channel, message, uid, id, time, actor, .. } = record;
        // A cluster of NATS 2.10 or 2.11 goes on refusing the id of what it had no room for. The look for
        // the event and the expected sequence keep it from being stored twice, too.
        let deduplication_id = (!record.erased_first)
            .then(|| revision_deduplication_id(channel, "deleted", record.sender(), id));
        let event = Event::Deleted(Deleted {
            channel: channel.clone(),
            time: *time,
            id: id.clone(),
            message: *message,
            uid: uid.clone(),
        });
        let mut turn = Turn::default();
        for _ in 0..ATTEMPTS_MAX {
            let revised = self.revised(channel, *message).await?;
            if let Some((seq, Event::Deleted(deleted))) = latest_of(&revised) {
                return Ok(Some(Revision { seq, time: deleted.time, duplicate: true }));
            }
            let tail = revised.tail;
            if Standing::of(revised).is_none() && !self.is_still_to_be_told(record).await? {
                return Ok(None);
            }
            let by = Whom { kind: record.kind, uid };
            // Nothing of the author's is in the event.
            let about = About::Revision { message: *message, deletes: true, by, author: None };
            let expected = turn.expect(tail);
            let stored = self.log.publish_after(
                channel,
                &event,
                deduplication_id.as_deref(),
                about,
                actor.as_ref(),
                expected,
            );
            if let Some(stored) = stored.await? {
                let (seq, duplicate) = (stored.seq, stored.duplicate);
                return Ok(Some(Revision { seq, time: *time, duplicate }));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(too_many_changes())
    }

    /// Whether the channel of a message that was erased first is still the one that it was in.
    async fn is_still_to_be_told(&self, record: &DeletionRecord) -> Result<bool, Error> {
        let stored = self.buckets.channels.get(&record.channel.token()).await?;
        Ok(record.erased_first
            && stored.is_some_and(|stored| !stored.record.deleting && record.is_of(&stored.record)))
    }

    /// Checks that there is such a channel, and if it must be open, that it is.
    async fn require_channel(
        &self,
        name: &ChannelName,
        open: bool,
    ) -> Result<ChannelRecord, Error> {
        let stored = self.buckets.channels.get(&name.token()).await?;
        let stored = stored.filter(|stored| !stored.record.deleting).ok_or_else(no_channel)?;
        if open && stored.record.closed_at.is_some() {
            let message = "the channel is closed: its messages stay as they are";
            return Err(Error::of_field(ErrorCode::ChannelClosed, "channel", message));
        }
        Ok(stored.record)
    }

    /// Checks that a membership has not ended, and its account is not suspended: a gateway may not have heard of it
    /// yet. Returns what the member is.
    async fn require_membership(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        membership: &MembershipId,
    ) -> Result<PersonKind, Error> {
        // Of the leader: a replica that lags may not know who has just come, nor who has just gone.
        let stored = self.buckets.members.get(&member_key(channel, uid)).await?;
        let is_member = |it: &MemberRecord| it.is_member() && it.membership() == membership;
        let member = stored
            .map(|stored| stored.record)
            .filter(is_member)
            .ok_or_else(|| Error::new(ErrorCode::Unauthorized, "the membership has ended"))?;
        self.memberships.require_not_suspended(channel, &member).await?;
        Ok(member.kind())
    }

    async fn revised(&self, channel: &ChannelName, message: Seq) -> Result<RevisedMessage, Error> {
        self.services.call(&Revisions { channel: channel.clone(), message }).await
    }

    async fn standing(
        &self,
        channel: &ChannelName,
        message: Seq,
    ) -> Result<Option<Standing>, Error> {
        Ok(Standing::of(self.revised(channel, message).await?))
    }
}

impl Standing {
    /// Nothing if it is not a message, or none any more.
    fn of(revised: RevisedMessage) -> Option<Self> {
        let latest = latest_of(&revised);
        match serde_json::from_str(revised.message?.event.get()).ok()? {
            Event::Message(message) => {
                let (membership, author, tail) = (revised.membership, revised.author, revised.tail);
                Some(Self { message, membership, author, latest, tail })
            }
            _ => None,
        }
    }

    fn require_right(&self, right: &Right) -> Result<(), Error> {
        let is_allowed = match right {
            Right::Own(membership, _) => self.membership.as_ref() == Some(membership),
            Right::Any => true,
        };
        if is_allowed {
            return Ok(());
        }
        let message = "the message is somebody else's";
        Err(Error::of_field(ErrorCode::Forbidden, "seq", message))
    }

    /// The `meta` that goes with an edit: what it had before if the edit does not say.
    fn meta_after(
        &self,
        given: Option<&BTreeMap<String, String>>,
    ) -> Option<BTreeMap<String, String>> {
        let before = match &self.latest {
            Some((_, Event::Edited(edited))) => edited.meta.as_ref(),
            _ => self.message.meta.as_ref(),
        };
        given.or(before).filter(|meta| !meta.is_empty()).cloned()
    }
}

/// The event that edited or deleted a message last, and its place.
fn latest_of(revised: &RevisedMessage) -> Option<(Seq, Event)> {
    let latest = revised.latest.as_ref()?;
    Some((latest.seq, serde_json::from_str(latest.event.get()).ok()?))
}

/// After which event the next one is to be stored.
#[derive(Default)]
struct Turn {
    overtaken_at: Option<Seq>,
}

impl Turn {
    /// The channel's latest event. If that was refused although nothing has come since, it has been
    /// deleted, and the next attempt expects none: so NATS 2.9 sees it, until the next event comes.
    fn expect(&mut self, tail: Seq) -> Seq {
        if self.overtaken_at.take() == Some(tail) {
            return Seq(0);
        }
        self.overtaken_at = Some(tail);
        tail
    }
}

fn not_told() -> Error {
    Error::unavailable("the message is erased; the log is full, and its channel is told later")
}

fn no_message() -> Error {
    let message = "there is no such message, or none any more";
    Error::of_field(ErrorCode::NotFound, "seq", message)
}

#[cfg(test)]
mod tests {
    use goch_contract::event::Logged;
    use serde_json::{json, value::to_raw_value};

    use super::*;

    fn logged(seq: u64, event: &serde_json::Value) -> Logged {
        Logged::new(Seq(seq), Seq(0), to_raw_value(event).unwrap())
    }

    fn membership(id: &str) -> MembershipId {
        MembershipId::parse(id).unwrap()
    }

    fn own(membership_id: &str) -> Right {
        Right::Own(membership(membership_id), PersonKind::Guest)
    }

    fn standing(meta: &serde_json::Value, latest: Option<Logged>) -> Option<Standing> {
        let message = json!({"type": "message", "channel": "c", "time": 1, "id": "m", "text": "x",
                             "from_uid": "ann", "from_name": "Ann", "meta": meta});
        let message = Some(logged(7, &message));
        Standing::of(RevisedMessage {
            message,
            membership: Some(membership("a")),
            author: PersonKind::Guest,
            latest,
            tail: Seq(9),
        })
    }

    #[test]
    fn a_message_is_revised_by_the_membership_that_sent_it_or_by_ticketing() {
        let mut message = standing(&json!(null), None).unwrap();
        assert!(message.require_right(&own("a")).is_ok());
        assert!(message.require_right(&Right::Any).is_ok());
        let refused = message.require_right(&own("b")).unwrap_err();
        assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::Forbidden, Some("seq")));
        // What ticketing posted is nobody's.
        message.membership = None;
        assert!(message.require_right(&own("a")).is_err());
        assert!(message.require_right(&Right::Any).is_ok());
    }

    #[test]
    fn only_a_message_can_be_revised() {
        let joined = json!({"type": "joined", "channel": "c", "time": 1, "uid": "ann",
                            "display_name": "Ann", "membership": "a"});
        let message = Some(logged(7, &joined));
        let author = PersonKind::default();
        let joined =
            RevisedMessage { message, membership: None, author, latest: None, tail: Seq(7) };
        assert!(Standing::of(joined).is_none());
    }

    #[test]
    fn meta_stays_until_an_edit_says_otherwise() {
        let meta = |key: &str| BTreeMap::from([(key.to_owned(), "v".to_owned())]);
        let message = standing(&json!({"first": "v"}), None).unwrap();
        assert_eq!(message.meta_after(None), Some(meta("first")));
        assert_eq!(message.meta_after(Some(&meta("other"))), Some(meta("other")));
        assert_eq!(message.meta_after(Some(&BTreeMap::new())), None);
        let edit = json!({"type": "edited", "channel": "c", "time": 1, "id": "e", "message": 7,
                          "uid": "ann", "text": "y"});
        let edited = standing(&json!({"first": "v"}), Some(logged(8, &edit))).unwrap();
        assert_eq!(edited.meta_after(None), None);
    }

    #[test]
    fn a_channel_whose_latest_event_was_deleted_is_expected_to_have_none() {
        let mut turn = Turn::default();
        assert_eq!(turn.expect(Seq(5)), Seq(5));
        assert_eq!(turn.expect(Seq(6)), Seq(6), "another one came first");
        assert_eq!(turn.expect(Seq(6)), Seq(0));
        assert_eq!(turn.expect(Seq(6)), Seq(6));
    }
}
