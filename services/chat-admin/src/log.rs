//! Publishing events to the log, each acknowledged before it counts as stored.

use std::error::Error as _;

use async_nats::{
    Client, HeaderMap,
    connection::State,
    header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID},
    jetstream::{
        self, ErrorCode,
        context::{PublishError, PublishErrorKind},
        message::PublishMessage,
    },
};
use goch_chassis::{
    Chassis,
    nats::{Nats, REQUEST_TIMEOUT},
};
use goch_contract::{
    Actor, ChannelName, Error, PersonKind, Seq, Uid,
    ended::Ended,
    event::{ACTOR_HEADER, DELETED_HEADER, Event, MESSAGE_HEADER, name_person, name_sender},
    subjects::Subjects,
    trace,
};

/// What NATS says of a stream that is full. The code is that of other failures to store, too.
const MAXIMUM_EXCEEDED: &str = "maximum bytes exceeded";

/// The log, for writing. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    client: Client,
    jetstream: jetstream::Context,
    subjects: Subjects,
}

/// Where the log has an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) seq: Seq,
    /// An earlier publish with the same deduplication id stored it.
    pub(crate) duplicate: bool,
}

/// Somebody whom an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whom<'a> {
    pub(crate) kind: PersonKind,
    pub(crate) uid: &'a Uid,
}

/// Whose event it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About<'a> {
    /// A message that ticketing says in the name of this account: what counts as unread.
    Sender(&'a Uid),
    /// The coming or going of this member.
    Member(Whom<'a>),
    /// What somebody made of a message.
    Revision {
        message: Seq,
        deletes: bool,
        by: Whom<'a>,
        /// Whose message it is, if the event tells anything of it.
        author: Option<Whom<'a>>,
    },
    /// The channel itself.
    Channel,
}

impl Log {
    pub(crate) fn new(chassis: &Chassis, nats: &Nats) -> Self {
        Self {
            client: nats.client.clone(),
            jetstream: nats.jetstream(),
            subjects: chassis.nats.subjects.clone(),
        }
    }

    /// Stores an event of `channel`, which `actor` of ticketing had happen, if anybody of ticketing did.
    ///
    /// # Errors
    /// `unavailable`: the event may or may not be stored, and publishing it again with the same
    /// `deduplication_id` is safe. [`is_full`] knows those that say that the log had no room for it.
    pub(crate) async fn publish(
        &self,
        channel: &ChannelName,
        event: &Event,
        deduplication_id: String,
        about: About<'_>,
        actor: Option<&Actor>,
    ) -> Result<Stored, Error> {
        let headers = about.headers(Some(deduplication_id), actor);
        let subject = self.subjects.log(channel);
        self.store(subject, event.to_payload(), headers).await.map_err(Failure::tell)
    }

    /// Stores an event of `channel` if its latest event is `after`; nothing if it is another one. One
    /// that was stored before with the same `deduplication_id` is found either way.
    ///
    /// # Errors
    /// As [`Self::publish`]. Without a `deduplication_id`, the caller looks for the event before publishing
    /// it again.
    pub(crate) async fn publish_after(
        &self,
        channel: &ChannelName,
        event: &Event,
        deduplication_id: Option<&str>,
        about: About<'_>,
        actor: Option<&Actor>,
        after: Seq,
    ) -> Result<Option<Stored>, Error> {
        let mut headers = about.headers(deduplication_id.map(str::to_owned), actor);
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, after.to_string());
        match self.store(self.subjects.log(channel), event.to_payload(), headers).await {
            Ok(stored) => Ok(Some(stored)),
            Err(failure) if failure.is_overtaken() => Ok(None),
            Err(failure) => Err(failure.tell()),
        }
    }

    /// Stores that something has ended, which `actor` of ticketing asked for.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub(crate) async fn publish_end(
        &self,
        ended: &Ended,
        deduplication_id: String,
        actor: Option<&Actor>,
    ) -> Result<(), Error> {
        // Nobody's: it must not be found, and erased, as a person's event.
        let headers = About::Channel.headers(Some(deduplication_id), actor);
        let subject = match ended {
            Ended::ChannelDeleted(deleted) => self.subjects.ended_channel(&deleted.channel),
            Ended::PersonErased(_) => self.subjects.ended_people(),
        };
        self.store(subject, ended.to_payload(), headers).await.map_err(Failure::tell)?;
        Ok(())
    }

    async fn store(
        &self,
        subject: String,
        payload: Vec<u8>,
        mut headers: HeaderMap,
    ) -> Result<Stored, Failure> {
        // While NATS is away the event would wait in the client's buffer and could be stored long
        // after its sender was told that it was not.
        if self.client.connection_state() != State::Connected {
            return Err(Failure::Away);
        }
        trace::inject(&mut headers);
        let message = PublishMessage::build().payload(payload.into()).headers(headers);
        let publish = async { self.jetstream.send_publish(subject, message).await?.await };
        let ack = tokio::time::timeout(REQUEST_TIMEOUT, publish).await;
        let ack = ack.map_err(|_| Failure::Away)?.map_err(Failure::Publish)?;
        Ok(Stored { seq: Seq(ack.sequence), duplicate: ack.duplicate })
    }
}

impl About<'_> {
    fn headers(self, deduplication_id: Option<String>, actor: Option<&Actor>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(id) = deduplication_id {
            headers.insert(NATS_MESSAGE_ID, id);
        }
        if let Some(actor) = actor {
            headers.insert(ACTOR_HEADER, actor.as_str());
        }
        match self {
            Self::Sender(uid) => name_sender(&mut headers, PersonKind::Account, uid),
            Self::Member(Whom { kind, uid }) => name_person(&mut headers, kind, uid),
            Self::Revision { message, deletes, by, author } => {
                headers.insert(MESSAGE_HEADER, message.to_string());
                let author = author.filter(|author| *author != by);
                for Whom { kind, uid } in [Some(by), author].into_iter().flatten() {
                    name_person(&mut headers, kind, uid);
                }
                if deletes {
                    headers.insert(DELETED_HEADER, "1");
                }
            }
            Self::Channel => {}
        }
        headers
    }
}

/// Why an event was not stored, as far as it is known.
enum Failure {
    Away,
    Publish(PublishError),
}

impl Failure {
    /// Whether the channel's latest event is another one than was expected. A cluster that still has
    /// another event of the channel in hand has a code of its own for that.
    fn is_overtaken(&self) -> bool {
        let Self::Publish(error) = self else { return false };
        error.kind() == PublishErrorKind::WrongLastSequence
            || self.code() == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
    }

    /// Whether the log has no room: neither this event nor anything of its size is stored.
    fn is_full(&self) -> bool {
        self.source().is_some_and(|source| {
            source.error_code() == ErrorCode::STREAM_STORE_FAILED
                && source.to_string().contains(MAXIMUM_EXCEEDED)
        })
    }

    /// Whether another publish with the same id is not known to have ended. A cluster of NATS 2.10 or 2.11
    /// says so of one that it has refused for want of room, too, until the deduplication window has passed.
    fn is_in_process(&self) -> bool {
        self.code() == Some(ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT)
    }

    fn code(&self) -> Option<ErrorCode> {
        self.source().map(jetstream::Error::error_code)
    }

    /// What the stream's leader answered.
    fn source(&self) -> Option<&jetstream::Error> {
        let Self::Publish(error) = self else { return None };
        error.source()?.downcast_ref()
    }

    fn tell(self) -> Error {
        if self.is_full() {
            return full();
        }
        if self.is_in_process() {
            return in_process();
        }
        if let Self::Publish(error) = self {
            tracing::warn!(%error, "an event was not stored");
        }
        not_stored()
    }
}

fn not_stored() -> Error {
    Error::unavailable("the log did not store it; try again with the same id")
}

fn full() -> Error {
    Error::unavailable("the log is full")
}

fn in_process() -> Error {
    Error::unavailable(
        "the log has this under way, or had no room for it; try again with the same id",
    )
}

/// Whether an event was not stored because the log is full, or was a moment ago. It is not stored later
/// either, unless another publish with the same id is just under way.
pub(crate) fn is_full(error: &Error) -> bool {
    [full(), in_process()].contains(error)
}

#[cfg(test)]
mod tests {
    use goch_contract::event::{GUEST_HEADER, MEMBER_HEADER};
    use serde_json::json;

    use super::*;

    /// What becomes of a publish that NATS answers like this.
    fn told(code: u64, description: &str) -> Error {
        let answer = json!({"code": 503, "err_code": code, "description": description});
        let answer: jetstream::Error = serde_json::from_value(answer).unwrap();
        Failure::Publish(PublishError::with_source(PublishErrorKind::Other, answer)).tell()
    }

    #[test]
    fn an_edit_names_who_did_it_and_whose_message_it_is_and_one_person_once() {
        let uid = Uid::parse("ann").unwrap();
        let named = |by: PersonKind, author: PersonKind| {
            let [by, author] = [by, author].map(|kind| Whom { kind, uid: &uid });
            let author = Some(author);
            let about = About::Revision { message: Seq(7), deletes: false, by, author };
            let headers = about.headers(None, None);
            [MEMBER_HEADER, GUEST_HEADER].map(|name| headers.get_all(name).count())
        };
        assert_eq!(named(PersonKind::Account, PersonKind::Account), [1, 0]);
        assert_eq!(named(PersonKind::Guest, PersonKind::Guest), [0, 1]);
        assert_eq!(named(PersonKind::Account, PersonKind::Guest), [1, 1], "two people");
    }

    #[test]
    fn a_log_without_room_is_told_from_one_that_fails_and_stays_so_for_the_same_id() {
        assert!(is_full(&told(10_077, "maximum bytes exceeded")));
        assert!(is_full(&told(10_158, "duplicate message id is in process")));
        assert!(!is_full(&told(10_077, "no space left on device")));
        assert!(!is_full(&told(10_008, "JetStream system temporarily unavailable")));
        assert!(!is_full(&Failure::Away.tell()));
    }
}
