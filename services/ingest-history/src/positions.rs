//! Read positions: one bucket, key `<channel>.<uid>`, or `<channel>.<uid>.guest` for a guest, value the sequence in
//! decimal.
//!
//! There is no copy of them in Redis. Reading one is a direct get, about as quick as Redis, and for who has read nothing
//! another of the stream's leader; a copy that outlived a failure between two writes would count what was read as
//! unread.

use std::{
    future::{Future, IntoFuture as _},
    time::Duration,
};

use async_nats::{
    Client,
    connection::State,
    jetstream::{
        kv::{CreateErrorKind, Operation, Store, UpdateErrorKind},
        stream::LastRawMessageErrorKind,
    },
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use goch_contract::{
    ChannelName, Error, Person, PersonKind, Seq, Uid, services::history::ForgetPositions,
};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Attempts to move a position that others move at the same time. Each attempt that fails means that
/// somebody else moved it.
const ATTEMPTS_MAX: usize = 8;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Positions {
    client: Client,
    bucket: Store,
}

/// A position, and the revision under which it is stored.
struct Stored {
    revision: u64,
    seq: Seq,
}

impl Stored {
    fn new(revision: u64, value: &[u8]) -> Self {
        // What is not ours counts as nothing, and is replaced by the next move.
        Self { revision, seq: parse(value).unwrap_or_default() }
    }
}

impl Positions {
    pub(crate) fn new(client: Client, bucket: Store) -> Self {
        Self { client, bucket }
    }

    /// The position of a member; 0 for one who has read nothing.
    pub(crate) async fn get(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        kind: PersonKind,
    ) -> Result<Seq, Error> {
        let stored = self.stored(&key(channel, uid, kind)).await?;
        Ok(stored.map_or(Seq(0), |stored| stored.seq))
    }

    /// Moves the position of a member to `seq`, unless it is there or beyond; tells where it is then.
    pub(crate) async fn advance(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        kind: PersonKind,
        seq: Seq,
    ) -> Result<Seq, Error> {
        let key = key(channel, uid, kind);
        for _ in 0..ATTEMPTS_MAX {
            let stored = self.stored(&key).await?;
            let value = Bytes::from(seq.to_string());
            let is_moved = match stored {
                Some(stored) if stored.seq >= seq => return Ok(stored.seq),
                Some(stored) => self.update(&key, value, stored.revision).await?,
                None => self.create(&key, value).await?,
            };
            if is_moved {
                return Ok(seq);
            }
        }
        Err(Error::unavailable("the read position is being moved by too many at once"))
    }

    /// Forgets the positions that match, without a trace.
    pub(crate) async fn forget(&self, which: &ForgetPositions) -> Result<(), Error> {
        let filter = format!("{}{}", self.bucket.prefix, filter(which));
        match which {
            ForgetPositions::OfPerson(person @ Person::Account(account))
                if !account.channels.is_all() =>
            {
                for key in self.keys_of(person, filter).await? {
                    self.purge(key).await?;
                }
                Ok(())
            }
            _ => self.purge(filter).await,
        }
    }

    async fn purge(&self, filter: String) -> Result<(), Error> {
        let purge = self.bucket.stream.purge().filter(filter);
        let purged = self.call(purge.into_future()).await?;
        purged.map(|_| ()).map_err(|error| failed(&error))
    }

    /// The subjects of an account's positions, among those of all of this uid: no filter tells tenants apart.
    async fn keys_of(&self, person: &Person, filter: String) -> Result<Vec<String>, Error> {
        let found = self.call(self.bucket.stream.info_with_subjects(filter)).await?;
        let mut found = found.map_err(|error| failed(&error))?;
        let mut keys = Vec::new();
        while let Some(subject) = self.call(found.next()).await? {
            let (subject, _) = subject.map_err(|error| failed(&error))?;
            let key = subject.strip_prefix(&self.bucket.prefix).unwrap_or_default();
            let channel = key.split('.').next().and_then(ChannelName::of_token);
            if channel.is_some_and(|channel| person.is_known_in(&channel)) {
                keys.push(subject);
            }
        }
        Ok(keys)
    }

    async fn stored(&self, key: &str) -> Result<Option<Stored>, Error> {
        let entry = self.call(self.bucket.entry(key)).await?.map_err(|error| failed(&error))?;
        if let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) {
            return Ok(Some(Stored::new(entry.revision, &entry.value)));
        }
        // A replica that lags behind may not have it yet.
        let subject = format!("{}{key}", self.bucket.prefix);
        let last = self.call(self.bucket.stream.get_last_raw_message_by_subject(&subject)).await?;
        match last {
            // These keys are purged and never deleted, so there are no markers.
            Ok(message) => Ok(Some(Stored::new(message.sequence, &message.payload))),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<bool, Error> {
        match self.call(self.bucket.create(key, value)).await? {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<bool, Error> {
        match self.call(self.bucket.update(key, value, revision)).await? {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> Result<T, Error> {
        // Without this, a write would wait in the client's buffer and be stored long after its
        // caller was told that it was not.
        if self.client.connection_state() != State::Connected {
            return Err(away());
        }
        tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(|_| away())
    }
}

/// An account and a guest of the same uid have been in a channel one after the other, and have read what they have read.
fn key(channel: &ChannelName, uid: &Uid, kind: PersonKind) -> String {
    let (channel, uid) = (channel.token(), uid.token());
    match kind {
        PersonKind::Account => format!("{channel}.{uid}"),
        PersonKind::Guest => format!("{channel}.{uid}.guest"),
    }
}

/// What the keys match that are to be forgotten, and no others do.
fn filter(which: &ForgetPositions) -> String {
    match which {
        ForgetPositions::OfChannel(channel) => format!("{}.>", channel.token()),
        ForgetPositions::OfPerson(Person::Account(account)) => format!("*.{}", account.uid.token()),
        ForgetPositions::OfPerson(Person::Guest(channel, uid)) => {
            key(channel, uid, PersonKind::Guest)
        }
    }
}

fn parse(value: &[u8]) -> Option<Seq> {
    std::str::from_utf8(value).ok()?.parse().ok().map(Seq)
}

fn failed(error: &dyn std::error::Error) -> Error {
    tracing::warn!(%error, "the bucket of read positions cannot be used");
    away()
}

fn away() -> Error {
    Error::unavailable("read positions cannot be read or written now")
}

#[cfg(test)]
mod tests {
    use goch_contract::Tenants;

    use super::*;

    #[test]
    fn a_persons_positions_are_forgotten_and_no_namesakes() {
        let uid = Uid::parse("ann").unwrap();
        let [one, other] = ["a", "b"].map(|name| ChannelName::parse(name).unwrap());
        let people = [
            (&one, PersonKind::Account),
            (&other, PersonKind::Account),
            (&one, PersonKind::Guest),
            (&other, PersonKind::Guest),
        ];
        let forgotten = |which: &ForgetPositions| {
            let filter = filter(which);
            people.map(|(channel, kind)| matches(&filter, &key(channel, &uid, kind)))
        };
        let of = |person| forgotten(&ForgetPositions::OfPerson(person));
        let account = Tenants::default().account(None, &uid);
        assert_eq!(of(Person::Account(account)), [true, true, false, false]);
        assert_eq!(of(Person::Guest(one.clone(), uid.clone())), [false, false, true, false]);
        let of_channel = forgotten(&ForgetPositions::OfChannel(other.clone()));
        assert_eq!(of_channel, [false, true, false, true]);
    }

    /// Whether NATS takes a subject for one that the filter means.
    fn matches(filter: &str, subject: &str) -> bool {
        let (mut wanted, mut tokens) = (filter.split('.'), subject.split('.'));
        loop {
            match (wanted.next(), tokens.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (wanted, token) if wanted == token => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn a_position_is_its_digits_and_nothing_else() {
        assert_eq!(parse(b"42"), Some(Seq(42)));
        for value in [b"".as_slice(), b"-1", b"x", b"\xff", b"99999999999999999999999"] {
            assert_eq!(parse(value), None);
        }
    }
}
