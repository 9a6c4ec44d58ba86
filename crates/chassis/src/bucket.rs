//! Typed records in a key-value bucket: how services read, change and follow what they own there.
//!
//! Any replica of a bucket may answer a read, and one that lags behind lacks what others have confirmed. So what
//! decides anything is read from the leader of the bucket's stream ([`Bucket::get`]), and so is that there is nothing,
//! or nothing more. What is only shown, and may be a moment old, costs less ([`Bucket::find`]).

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use async_nats::{
    Client, HeaderMap,
    connection::State,
    jetstream::{
        consumer::{DeliverPolicy, ReplayPolicy, StreamError, push},
        kv::{CreateErrorKind, Operation, Store, UpdateErrorKind},
        message::StreamMessage,
        stream::{ConsumerError, LastRawMessageErrorKind},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use goch_contract::{Error, ErrorCode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{sleep, timeout};

/// How long the next value of a list may take, once its consumer is there.
const NEXT_WITHIN: Duration = Duration::from_millis(750);

/// The pause before a list is read anew.
const PAUSE: Duration = Duration::from_millis(50);

/// How a service uses its buckets.
#[derive(Debug, Clone, Copy)]
pub struct BucketRules {
    /// Who reads, for operators who look at the server's consumers.
    pub reader: &'static str,
    /// What is said while the bucket cannot be used.
    pub away: &'static str,
    /// How long reading one key may take.
    pub read_within: Duration,
    /// How long writing may take.
    pub write_within: Duration,
    /// How long reading the keys of a filter may take.
    pub list_within: Duration,
}

/// A bucket of records of type `R`. Cheap to clone.
#[derive(Debug)]
pub struct Bucket<R> {
    client: Client,
    store: Store,
    rules: BucketRules,
    records: PhantomData<fn() -> R>,
}

impl<R> Clone for Bucket<R> {
    fn clone(&self) -> Self {
        let (client, store) = (self.client.clone(), self.store.clone());
        Self { client, store, rules: self.rules, records: PhantomData }
    }
}

/// A record, and the revision under which it is stored.
#[derive(Debug, Clone)]
pub struct Revised<R> {
    /// The revision.
    pub revision: u64,
    /// The record.
    pub record: R,
}

/// A key's present value.
#[derive(Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The revision under which the value is stored.
    pub revision: u64,
    /// The value.
    pub value: Bytes,
}

/// A change of a key.
#[derive(Debug)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The revision that the change made.
    pub revision: u64,
    /// Nothing once the key is deleted.
    pub value: Option<Bytes>,
    /// Changes that come after this one.
    pub pending: u64,
}

/// The present values of a filter's keys, and then every change.
///
/// The client library mends an interrupted consumer by itself and goes on after the last change that
/// it gave out; what it cannot mend ends the stream or is an error.
pub struct Changes {
    /// Values that are there already.
    pub pending: u64,
    inner: push::Ordered,
    prefix: String,
}

/// Reading a bucket's changes failed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The consumer was not created.
    #[error("the consumer was not created: {0}")]
    Create(#[from] ConsumerError),
    /// The consumer cannot be read.
    #[error("the consumer cannot be read: {0}")]
    Messages(#[from] StreamError),
    /// The consumer was interrupted for good.
    #[error("the consumer was interrupted: {0}")]
    Ordered(#[from] push::OrderedError),
    /// A change does not say where it stands.
    #[error("a change without its place: {0}")]
    Place(async_nats::Error),
}

impl<R: Serialize + DeserializeOwned> Bucket<R> {
    /// Uses `store` by these rules.
    #[must_use]
    pub fn new(client: Client, store: Store, rules: BucketRules) -> Self {
        Self { client, store, rules, records: PhantomData }
    }

    /// The same bucket, for reading the keys of a filter within another time.
    #[must_use]
    pub fn listing_within(&self, list_within: Duration) -> Self {
        let rules = BucketRules { list_within, ..self.rules };
        Self::new(self.client.clone(), self.store.clone(), rules)
    }

    /// The record of a key as some replica has it, or else as the leader has it: it may have changed a moment ago.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn find(&self, key: &str) -> Result<Option<Revised<R>>, Error> {
        match self.peek(key).await? {
            Some(stored) => Ok(Some(stored)),
            None => self.get(key).await,
        }
    }

    /// The record of a key as some replica has it, which may not have it yet: for whoever asks the leader too.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn peek(&self, key: &str) -> Result<Option<Revised<R>>, Error> {
        let entry = self.call(self.rules.read_within, self.store.entry(key)).await?;
        let entry = entry.map_err(|error| self.failed(&error))?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(None);
        };
        let record = self.parse(key, &entry.value)?;
        Ok(Some(Revised { revision: entry.revision, record }))
    }

    /// The record of a key, as the stream's leader has it.
    ///
    /// # Errors
    /// `unavailable`, or `internal` for a record that cannot be read.
    pub async fn get(&self, key: &str) -> Result<Option<Revised<R>>, Error> {
        let message = self.last_change(key).await?;
        let Some(message) = message.filter(|message| !is_marker(Some(&message.headers))) else {
            return Ok(None);
        };
        let record = self.parse(key, &message.payload)?;
        Ok(Some(Revised { revision: message.sequence, record }))
    }

    /// The last change of the keys that match `filter`, as the stream's leader has it.
    async fn last_change(&self, filter: &str) -> Result<Option<StreamMessage>, Error> {
        let subject = format!("{}{filter}", self.store.prefix);
        let get = self.store.stream.get_last_raw_message_by_subject(&subject);
        match self.call(self.rules.read_within, get).await? {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Stores a record if its key has none, and tells its revision; nothing if it has one. Of many
    /// attempts at a time one wins.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn create(&self, key: &str, record: &R) -> Result<Option<u64>, Error> {
        let create = self.store.create(key, to_json(record)?);
        match self.call(self.rules.write_within, create).await? {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Replaces a record that has not changed since `revision`, and tells its new revision; nothing if
    /// it has changed.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn replace(
        &self,
        key: &str,
        record: &R,
        revision: u64,
    ) -> Result<Option<u64>, Error> {
        let update = self.store.update(key, to_json(record)?, revision);
        match self.call(self.rules.write_within, update).await? {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Stores a record, whatever was there.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn put(&self, key: &str, record: &R) -> Result<(), Error> {
        let put = self.call(self.rules.write_within, self.store.put(key, to_json(record)?)).await?;
        put.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// Removes a record, if a `revision` is given only one that has not changed since; false if it
    /// has. What remains is a marker with the key, by which those who follow the bucket hear of it.
    ///
    /// Buckets keep one revision of a key, so the record is gone.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn remove(&self, key: &str, revision: Option<u64>) -> Result<bool, Error> {
        let delete = self.store.delete_expect_revision(key, revision);
        match self.call(self.rules.write_within, delete).await? {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Removes what is stored of the keys that match `filter`, up to a revision if one is given:
    /// records and markers, without a trace. Those who follow the bucket do not hear of it, and must
    /// not be disturbed by it: see [`Self::can_purge`].
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn purge(&self, filter: &str, through: Option<u64>) -> Result<(), Error> {
        let filter = format!("{}{filter}", self.store.prefix);
        let purge = self.store.stream.purge().filter(filter);
        let within = self.rules.write_within;
        let purged = match through {
            Some(revision) => self.call(within, purge.sequence(revision + 1).into_future()).await?,
            None => self.call(within, purge.into_future()).await?,
        };
        purged.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// Whether something may be purged while others follow the bucket: NATS before 2.10 makes them
    /// skip changes.
    #[must_use]
    pub fn can_purge(&self) -> bool {
        self.client.is_server_compatible(2, 10, 0)
    }

    /// The present values of the keys that match `filter`, at most `max`, in the order of their
    /// changes.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn list(&self, filter: &str, max: usize) -> Result<Vec<Entry>, Error> {
        self.some(filter, max, Some).await
    }

    /// What `pick` makes of the present values of the keys that match `filter`, in the order of their changes, the
    /// first `max`. Once there are so many, no more is read.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn some<V>(
        &self,
        filter: &str,
        max: usize,
        pick: impl Fn(Entry) -> Option<V>,
    ) -> Result<Vec<V>, Error> {
        let gathered = self.gather(filter, |values: &mut Vec<V>, entry| {
            values.extend(pick(entry));
            values.len() < max
        });
        gathered.await
    }

    /// What `pick` makes of the present values of the keys that match `filter`, in the order of the ranks
    /// that it gives them, the first `max`. All are read and no more than these are held.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn first<K: Ord, V>(
        &self,
        filter: &str,
        max: usize,
        pick: impl Fn(Entry) -> Option<(K, V)>,
    ) -> Result<Vec<V>, Error> {
        let gathered = self.gather(filter, |values: &mut BTreeMap<K, V>, entry| {
            values.extend(pick(entry));
            if values.len() > max {
                values.pop_last();
            }
            true
        });
        Ok(gathered.await?.into_values().collect())
    }

    /// Takes up present values until `take` says that it is enough.
    async fn gather<V: Default>(
        &self,
        filter: &str,
        take: impl Fn(&mut V, Entry) -> bool,
    ) -> Result<V, Error> {
        let read = async {
            loop {
                if let Some(values) = self.gather_once(filter, &take).await? {
                    return Ok(values);
                }
                sleep(PAUSE).await;
            }
        };
        self.call(self.rules.list_within, read).await?
    }

    /// The values as one consumer finds them; nothing if that is to be done anew: NATS 2.9 can leave a
    /// consumer waiting for a value that is replaced just then, and a consumer's replica can lag behind.
    async fn gather_once<V: Default>(
        &self,
        filter: &str,
        take: impl Fn(&mut V, Entry) -> bool,
    ) -> Result<Option<V>, Error> {
        let last_before = self.last_revision(filter).await?;
        let changes = self.call(self.rules.write_within, self.follow(filter)).await?;
        let mut changes = changes.map_err(|error| self.failed(&error))?;
        let mut values = V::default();
        let (mut pending, mut last) = (changes.pending, 0);
        while pending > 0 {
            let Ok(change) = timeout(NEXT_WITHIN, changes.next()).await else { return Ok(None) };
            let change = change.ok_or_else(|| self.away())?.map_err(|error| self.failed(&error))?;
            let Change { key, revision, value, .. } = change;
            (pending, last) = (change.pending, revision);
            let entry = value.map(|value| Entry { key, revision, value });
            if entry.is_some_and(|entry| !take(&mut values, entry)) {
                return Ok(Some(values));
            }
        }
        // What was the last may have been purged since, and then nothing is lacking.
        let is_whole = last >= last_before || last >= self.last_revision(filter).await?;
        Ok(is_whole.then_some(values))
    }

    /// The revision of the last change of the keys that match `filter`, as the stream's leader has it; 0 if there was
    /// none, or all that is left of it has been purged.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn last_revision(&self, filter: &str) -> Result<u64, Error> {
        Ok(self.last_change(filter).await?.map_or(0, |message| message.sequence))
    }

    /// The records of the keys that match `filter`, at most `max`, in the order of their changes.
    ///
    /// # Errors
    /// `unavailable`, or `internal` for a record that cannot be read.
    pub async fn records(&self, filter: &str, max: usize) -> Result<Vec<R>, Error> {
        let entries = self.list(filter, max).await?;
        entries.iter().map(|entry| self.parse(&entry.key, &entry.value)).collect()
    }

    /// Follows the keys that match `filter`, from their present values on.
    ///
    /// # Errors
    /// [`FollowError`] when NATS does not let it.
    pub async fn follow(&self, filter: &str) -> Result<Changes, FollowError> {
        let consumer = self
            .store
            .stream
            .create_consumer(push::OrderedConfig {
                deliver_subject: self.client.new_inbox(),
                description: Some(self.rules.reader.to_owned()),
                filter_subject: format!("{}{filter}", self.store.prefix),
                replay_policy: ReplayPolicy::Instant,
                deliver_policy: DeliverPolicy::LastPerSubject,
                ..Default::default()
            })
            .await?;
        let pending = consumer.cached_info().num_pending;
        let inner = consumer.messages().await?;
        Ok(Changes { pending, inner, prefix: self.store.prefix.clone() })
    }

    /// When the bucket was created, in Unix milliseconds: tells revisions of a bucket from those of
    /// an earlier one that is gone.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn epoch(&self) -> Result<u64, Error> {
        let info = self.call(self.rules.read_within, self.store.stream.get_info()).await?;
        let info = info.map_err(|error| self.failed(&error))?;
        Ok(u64::try_from(info.created.unix_timestamp_nanos() / 1_000_000).unwrap_or_default())
    }

    /// How many bytes are stored, and the most that may be; none for any number.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn size(&self) -> Result<(u64, Option<u64>), Error> {
        let info = self.call(self.rules.read_within, self.store.stream.get_info()).await?;
        let info = info.map_err(|error| self.failed(&error))?;
        Ok((info.state.bytes, u64::try_from(info.config.max_bytes).ok().filter(|max| *max > 0)))
    }

    /// The record of a key's value.
    ///
    /// # Errors
    /// `internal` when it cannot be read; what it has instead is not repeated anywhere.
    pub fn parse(&self, key: &str, value: &[u8]) -> Result<R, Error> {
        serde_json::from_slice(value).map_err(|error| {
            let error = Error::unreadable("the record", &error);
            tracing::error!(bucket = self.store.name, key, %error, "an unreadable record");
            Error::new(ErrorCode::Internal, "a stored record cannot be read")
        })
    }

    /// Waits for a call, unless the connection is away: a write would then wait in the client's buffer
    /// and could be stored long after its caller was told that it was not.
    async fn call<T>(&self, within: Duration, call: impl Future<Output = T>) -> Result<T, Error> {
        if self.client.connection_state() != State::Connected {
            return Err(self.away());
        }
        timeout(within, call).await.map_err(|_| self.away())
    }

    fn failed(&self, error: &dyn std::error::Error) -> Error {
        tracing::warn!(bucket = self.store.name, %error, "a bucket cannot be used");
        self.away()
    }

    fn away(&self) -> Error {
        Error::unavailable(self.rules.away)
    }
}

impl Stream for Changes {
    type Item = Result<Change, FollowError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.inner.poll_next_unpin(context);
        next.map(|message| message.map(|message| read_change(&message?, &self.prefix)))
    }
}

fn read_change(
    message: &async_nats::jetstream::Message,
    prefix: &str,
) -> Result<Change, FollowError> {
    let place = message.info().map_err(FollowError::Place)?;
    let deleted = is_marker(message.headers.as_ref());
    Ok(Change {
        key: message.subject.strip_prefix(prefix).unwrap_or_default().to_owned(),
        revision: place.stream_sequence,
        value: (!deleted).then(|| message.payload.clone()),
        pending: place.pending,
    })
}

/// Whether a message says that its key was deleted.
fn is_marker(headers: Option<&HeaderMap>) -> bool {
    // `DEL` and `PURGE`; a value that was put has no such header.
    let operation = headers.and_then(|headers| headers.get("KV-Operation"));
    operation.is_some_and(|operation| operation.as_str() != "PUT")
}

fn to_json(record: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(record)
        .map(Bytes::from)
        .map_err(|_| Error::new(ErrorCode::Internal, "a record cannot be serialized"))
}
