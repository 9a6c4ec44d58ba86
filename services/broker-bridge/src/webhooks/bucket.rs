//! A key-value bucket of this service's own records.

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
use futures_util::StreamExt as _;
use goch_contract::{Error, ErrorCode};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long reading many keys may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(4);

/// How long the next of them may take.
const NEXT_WITHIN: Duration = Duration::from_millis(750);

/// A bucket with records of type `R`. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Bucket<R> {
    client: Client,
    store: Store,
    records: PhantomData<fn() -> R>,
}

impl<R> Clone for Bucket<R> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), store: self.store.clone(), records: PhantomData }
    }
}

/// A record, and the revision under which it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Revised<R> {
    pub(crate) revision: u64,
    pub(crate) record: R,
}

/// Present values, and then every change.
pub(crate) struct Changes<R> {
    /// Values that are there already.
    pub(crate) pending: u64,
    inner: push::Ordered,
    prefix: String,
    records: PhantomData<fn() -> R>,
}

/// A change of a key.
#[derive(Debug)]
pub(crate) struct Change<R> {
    pub(crate) key: String,
    pub(crate) revision: u64,
    /// Nothing once the key is deleted, or when the value cannot be read.
    pub(crate) record: Option<R>,
    /// Changes that come after this one.
    pub(crate) pending: u64,
}

impl<R: Serialize + DeserializeOwned> Bucket<R> {
    pub(crate) fn new(client: Client, store: Store) -> Self {
        Self { client, store, records: PhantomData }
    }

    /// The record of a key.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Revised<R>>, Error> {
        self.require_connection()?;
        let entry = timeout(CALL_TIMEOUT, self.store.entry(key)).await.map_err(|_| away())?;
        let entry = entry.map_err(|error| self.failed(&error))?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&entry.value).map_err(|error| self.failed(&error))?;
        Ok(Some(Revised { revision: entry.revision, record }))
    }

    /// Stores a record if its key has none, and tells its revision; nothing if it has one.
    pub(crate) async fn create(&self, key: &str, record: &R) -> Result<Option<u64>, Error> {
        self.require_connection()?;
        let create = self.store.create(key, to_json(record)?);
        match timeout(CALL_TIMEOUT, create).await.map_err(|_| away())? {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Replaces a record that has not changed since it was read, and tells its new revision; nothing
    /// if it has changed.
    pub(crate) async fn replace(
        &self,
        key: &str,
        record: &R,
        revision: u64,
    ) -> Result<Option<u64>, Error> {
        self.require_connection()?;
        let update = self.store.update(key, to_json(record)?, revision);
        match timeout(CALL_TIMEOUT, update).await.map_err(|_| away())? {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Stores a record, whatever was there.
    pub(crate) async fn put(&self, key: &str, record: &R) -> Result<(), Error> {
        self.require_connection()?;
        let put = self.store.put(key, to_json(record)?);
        let put = timeout(CALL_TIMEOUT, put).await.map_err(|_| away())?;
        put.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// Removes a record and leaves a marker, by which those who follow the bucket hear of it.
    pub(crate) async fn remove(&self, key: &str) -> Result<(), Error> {
        self.require_connection()?;
        let delete = timeout(CALL_TIMEOUT, self.store.delete(key)).await.map_err(|_| away())?;
        delete.map_err(|error| self.failed(&error))
    }

    /// Removes the records of the keys that match `filter` without a trace. NATS before 2.10 makes
    /// whoever is reading the bucket skip records then, so there the markers stay.
    pub(crate) async fn erase(&self, filter: &str) -> Result<(), Error> {
        self.require_connection()?;
        if !self.client.is_server_compatible(2, 10, 0) {
            return self.remove_all(filter).await;
        }
        let purge = self.store.stream.purge().filter(format!("{}{filter}", self.store.prefix));
        let purge = timeout(CALL_TIMEOUT, purge).await.map_err(|_| away())?;
        purge.map(|_| ()).map_err(|error| self.failed(&error))
    }

    async fn remove_all(&self, filter: &str) -> Result<(), Error> {
        if !filter.contains(['*', '>']) {
            return self.remove(filter).await;
        }
        for (key, _) in self.list(filter, usize::MAX).await? {
            self.remove(&key).await?;
        }
        Ok(())
    }

    /// The records of the keys that match `filter`, at most `max`, in the order of their changes.
    pub(crate) async fn list(&self, filter: &str, max: usize) -> Result<Vec<(String, R)>, Error> {
        let read = async {
            loop {
                if let Some(records) = self.read(filter, max).await? {
                    return Ok(records);
                }
            }
        };
        timeout(LIST_TIMEOUT, read).await.map_err(|_| away())?
    }

    /// The records as one consumer finds them; nothing if it is to be done anew. NATS 2.9 can leave a
    /// consumer waiting for a value that is replaced just then.
    async fn read(&self, filter: &str, max: usize) -> Result<Option<Vec<(String, R)>>, Error> {
        let mut changes = self.follow(filter).await?;
        let mut records = Vec::new();
        let mut pending = changes.pending;
        while pending > 0 && records.len() < max {
            let Ok(change) = timeout(NEXT_WITHIN, changes.next()).await else { return Ok(None) };
            let change = change?;
            pending = change.pending;
            records.extend(change.record.map(|record| (change.key, record)));
        }
        Ok(Some(records))
    }

    /// Follows the keys that match `filter`, from their present values on.
    pub(crate) async fn follow(&self, filter: &str) -> Result<Changes<R>, Error> {
        self.require_connection()?;
        let consumer = self.store.stream.create_consumer(push::OrderedConfig {
            deliver_subject: self.client.new_inbox(),
            description: Some("broker-bridge".to_owned()),
            filter_subject: format!("{}{filter}", self.store.prefix),
            replay_policy: ReplayPolicy::Instant,
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..Default::default()
        });
        let consumer = timeout(CALL_TIMEOUT, consumer).await.map_err(|_| away())?;
        let consumer = consumer.map_err(|error| self.failed(&error))?;
        let pending = consumer.cached_info().num_pending;
        let inner = consumer.messages().await.map_err(|error| self.failed(&error))?;
        Ok(Changes { pending, inner, prefix: self.store.prefix.clone(), records: PhantomData })
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

impl<R: DeserializeOwned> Changes<R> {
    /// The next change.
    ///
    /// # Errors
    /// `unavailable` when the bucket has to be followed anew.
    pub(crate) async fn next(&mut self) -> Result<Change<R>, Error> {
        let message = self.inner.next().await.ok_or_else(away)?.map_err(|_| away())?;
        let info = message.info().map_err(|_| away())?;
        let (revision, pending) = (info.stream_sequence, info.pending);
        let key = message.subject.strip_prefix(&self.prefix).unwrap_or_default().to_owned();
        // A marker's payload is empty.
        let record = serde_json::from_slice(&message.payload).ok();
        Ok(Change { key, revision, record, pending })
    }
}

fn to_json(record: &impl Serialize) -> Result<Bytes, Error> {
    serde_json::to_vec(record)
        .map(Bytes::from)
        .map_err(|_| Error::new(ErrorCode::Internal, "a record cannot be serialized"))
}

fn away() -> Error {
    Error::unavailable("webhooks cannot be read or changed now")
}
