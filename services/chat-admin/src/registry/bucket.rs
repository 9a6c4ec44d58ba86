//! One key-value bucket, the truth about what it holds.

use std::{marker::PhantomData, time::Duration};

use async_nats::{
    Client,
    connection::State,
    jetstream::{
        consumer::{DeliverPolicy, ReplayPolicy, push},
        kv::{CreateErrorKind, Operation, Store, UpdateErrorKind},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use goch_contract::{Error, ErrorCode};

use crate::record::Record;

/// How long reading one key may take. An answer to a gateway needs up to two reads and a write, and
/// has five seconds for everything.
const GET_TIMEOUT: Duration = Duration::from_secs(1);

/// How long writing one key may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long reading the keys of a filter may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);

/// A bucket of records of type `R`.
#[derive(Debug)]
pub(crate) struct Bucket<R> {
    client: Client,
    store: Store,
    records: PhantomData<fn() -> R>,
}

/// A record, and the revision under which it is stored.
#[derive(Debug)]
pub(crate) struct Revised<R> {
    pub(crate) revision: u64,
    pub(crate) record: R,
}

/// What became of an attempt to create.
#[derive(Debug)]
pub(crate) enum Creation<R> {
    /// The record is stored, under this revision.
    Done(u64),
    /// Another one is.
    Taken(Revised<R>),
}

/// A change of a key.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) revision: u64,
    /// Nothing once the key is deleted.
    pub(crate) value: Option<Bytes>,
    /// Changes that come after this one.
    pub(crate) pending: u64,
}

/// The present values of a filter's keys, and then every change.
pub(crate) struct Changes {
    /// Values that are there already.
    pub(crate) pending: u64,
    inner: push::Ordered,
    prefix: String,
}

/// Reading a bucket's changes failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error("the consumer was not created: {0}")]
    Create(#[from] async_nats::jetstream::stream::ConsumerError),
    #[error("the consumer cannot be read: {0}")]
    Messages(#[from] async_nats::jetstream::consumer::StreamError),
    #[error("the consumer was interrupted: {0}")]
    Ordered(#[from] push::OrderedError),
    #[error("a change without its place: {0}")]
    Place(async_nats::Error),
}

impl<R: Record> Bucket<R> {
    pub(crate) fn new(client: Client, store: Store) -> Self {
        Self { client, store, records: PhantomData }
    }

    /// The record of a key.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Revised<R>>, Error> {
        self.require_connection()?;
        let entry = tokio::time::timeout(GET_TIMEOUT, self.store.entry(key))
            .await
            .map_err(|_| away())?
            .map_err(|error| self.failed(&error))?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(None);
        };
        let record = self.parse(key, &entry.value)?;
        Ok(Some(Revised { revision: entry.revision, record }))
    }

    /// Stores `record` if its key has none; of many attempts at a time one wins.
    pub(crate) async fn create(&self, key: &str, record: &R) -> Result<Creation<R>, Error> {
        self.require_connection()?;
        let create = self.store.create(key, to_json(record)?);
        let created = tokio::time::timeout(WRITE_TIMEOUT, create).await.map_err(|_| away())?;
        match created {
            Ok(revision) => return Ok(Creation::Done(revision)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(self.failed(&error)),
        }
        let Some(stored) = self.get(key).await? else {
            // Deleted meanwhile, or read from a replica that lags behind.
            return Err(Error::unavailable("somebody else is doing the same; try again"));
        };
        // An acknowledgement that was lost makes the client library look whether the key is there.
        if stored.record.creation() == record.creation() {
            return Ok(Creation::Done(stored.revision));
        }
        Ok(Creation::Taken(stored))
    }

    /// Replaces a record that has not changed since it was read, and tells its new revision; nothing
    /// if it has changed.
    pub(crate) async fn replace(
        &self,
        key: &str,
        replaced: &Revised<R>,
    ) -> Result<Option<u64>, Error> {
        self.require_connection()?;
        let update = self.store.update(key, to_json(&replaced.record)?, replaced.revision);
        let updated = tokio::time::timeout(WRITE_TIMEOUT, update).await.map_err(|_| away())?;
        match updated {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Removes a record that has not changed since it was read; false if it has. What remains is a
    /// marker with the key, by which those who follow the bucket hear of it.
    ///
    /// The buckets keep one revision of a key, so the record is gone. It is not purged, because NATS
    /// before 2.10 makes those who follow a bucket skip changes when a key is purged.
    pub(crate) async fn remove(&self, key: &str, revision: u64) -> Result<bool, Error> {
        self.require_connection()?;
        let delete = self.store.delete_expect_revision(key, Some(revision));
        let deleted = tokio::time::timeout(WRITE_TIMEOUT, delete).await.map_err(|_| away())?;
        match deleted {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Removes what was stored for a key up to `revision`, record or marker, without a trace: those
    /// who follow the bucket do not hear of it. What was stored since stays. Only for a bucket that
    /// nobody follows, or where [`Self::can_erase`].
    pub(crate) async fn erase(&self, key: &str, revision: u64) -> Result<(), Error> {
        self.require_connection()?;
        let subject = format!("{}{key}", self.store.prefix);
        let purge = self.store.stream.purge().filter(subject).sequence(revision + 1);
        let purged = tokio::time::timeout(WRITE_TIMEOUT, purge).await.map_err(|_| away())?;
        purged.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// Whether something may be erased while others follow the bucket: NATS before 2.10 makes them
    /// skip changes.
    pub(crate) fn can_erase(&self) -> bool {
        self.client.is_server_compatible(2, 10, 0)
    }

    /// The records of the keys that match `filter`, at most `max`.
    pub(crate) async fn list(&self, filter: &str, max: usize) -> Result<Vec<R>, Error> {
        let changes = self.read(filter, max).await?;
        let records = changes
            .iter()
            .filter_map(|change| change.value.as_ref().map(|value| self.parse(&change.key, value)));
        records.collect()
    }

    /// The keys that match `filter`, each with its present revision, at most `max`.
    pub(crate) async fn revisions(
        &self,
        filter: &str,
        max: usize,
    ) -> Result<Vec<(String, u64)>, Error> {
        let changes = self.read(filter, max).await?;
        Ok(changes.into_iter().map(|change| (change.key, change.revision)).collect())
    }

    /// The present values of the keys that match `filter`, at most `max`.
    async fn read(&self, filter: &str, max: usize) -> Result<Vec<Change>, Error> {
        self.require_connection()?;
        let read = async {
            let mut changes = self.follow(filter).await.map_err(|error| self.failed(&error))?;
            let mut values = Vec::new();
            let mut pending = changes.pending;
            while pending > 0 && values.len() < max {
                let change = changes.next().await.ok_or_else(away)?;
                let change = change.map_err(|error| self.failed(&error))?;
                pending = change.pending;
                if change.value.is_some() {
                    values.push(change);
                }
            }
            Ok(values)
        };
        tokio::time::timeout(LIST_TIMEOUT, read).await.map_err(|_| away())?
    }

    /// Follows the keys that match `filter`, from their present values on.
    ///
    /// The client library mends an interrupted consumer by itself and goes on after the last change
    /// that it gave out; what it cannot mend ends the stream or is an error.
    pub(crate) async fn follow(&self, filter: &str) -> Result<Changes, FollowError> {
        let consumer = self
            .store
            .stream
            .create_consumer(push::OrderedConfig {
                deliver_subject: self.client.new_inbox(),
                description: Some("chat-admin".to_owned()),
                filter_subject: format!("{}{filter}", self.store.prefix),
                replay_policy: ReplayPolicy::Instant,
                deliver_policy: DeliverPolicy::LastPerSubject,
                ..Default::default()
            })
            .await?;
        let pending = consumer.cached_info().num_pending;
        Ok(Changes {
            pending,
            inner: consumer.messages().await?,
            prefix: self.store.prefix.clone(),
        })
    }

    /// When the bucket was created, in Unix milliseconds: tells revisions of a bucket from those of
    /// an earlier one that is gone.
    pub(crate) async fn epoch(&self) -> Result<u64, Error> {
        self.require_connection()?;
        let info = tokio::time::timeout(GET_TIMEOUT, self.store.stream.get_info())
            .await
            .map_err(|_| away())?
            .map_err(|error| self.failed(&error))?;
        Ok(u64::try_from(info.created.unix_timestamp_nanos() / 1_000_000).unwrap_or_default())
    }

    fn parse(&self, key: &str, value: &[u8]) -> Result<R, Error> {
        serde_json::from_slice(value).map_err(|error| {
            let error = Error::unreadable("the record", &error);
            tracing::error!(bucket = self.store.name, key, %error, "an unreadable record");
            Error::new(ErrorCode::Internal, "a stored record cannot be read")
        })
    }

    /// Without this, a write would wait in the client's buffer and could be stored long after its
    /// caller was told that it was not.
    fn require_connection(&self) -> Result<(), Error> {
        if self.client.connection_state() == State::Connected { Ok(()) } else { Err(away()) }
    }

    fn failed(&self, error: &dyn std::error::Error) -> Error {
        tracing::warn!(bucket = self.store.name, %error, "a bucket cannot be used");
        away()
    }
}

impl Stream for Changes {
    type Item = Result<Change, FollowError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = self.inner.poll_next_unpin(context);
        next.map(|message| message.map(|message| read_change(&message?, &self.prefix)))
    }
}

fn read_change(
    message: &async_nats::jetstream::Message,
    prefix: &str,
) -> Result<Change, FollowError> {
    let place = message.info().map_err(FollowError::Place)?;
    // `DEL` and `PURGE`; a value that was put has no such header.
    let deleted = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("KV-Operation"))
        .is_some_and(|operation| operation.as_str() != "PUT");
    Ok(Change {
        key: message.subject.strip_prefix(prefix).unwrap_or_default().to_owned(),
        revision: place.stream_sequence,
        value: (!deleted).then(|| message.payload.clone()),
        pending: place.pending,
    })
}

fn to_json(record: &impl serde::Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(record)
        .map(Bytes::from)
        .map_err(|_| Error::new(ErrorCode::Internal, "a record cannot be serialized"))
}

fn away() -> Error {
    Error::unavailable("channels and members cannot be read or written now")
}
