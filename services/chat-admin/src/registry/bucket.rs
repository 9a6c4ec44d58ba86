//! How this service uses its buckets, the truth about channels and members.

use std::time::Duration;

use goch_chassis::bucket::BucketRules;
pub(crate) use goch_chassis::bucket::{Bucket, Revised};
use goch_contract::Error;

use crate::record::Record;

/// An answer to a gateway needs up to two reads and a write, and has five seconds for everything.
pub(crate) const RULES: BucketRules = BucketRules {
    reader: "chat-admin",
    away: "channels and members cannot be read or written now",
    read_within: Duration::from_secs(1),
    write_within: Duration::from_secs(2),
    list_within: Duration::from_secs(3),
};

/// What became of an attempt to create.
#[derive(Debug)]
pub(crate) enum Creation<R> {
    /// The record is stored, under this revision.
    Done(u64),
    /// Another one is.
    Taken(Revised<R>),
}

/// Stores `record` if its key has none, and finds the one that it has.
///
/// # Errors
/// `unavailable`.
pub(crate) async fn create<R: Record>(
    bucket: &Bucket<R>,
    key: &str,
    record: &R,
) -> Result<Creation<R>, Error> {
    if let Some(revision) = bucket.create(key, record).await? {
        return Ok(Creation::Done(revision));
    }
    let Some(stored) = bucket.get(key).await? else {
        // Deleted meanwhile.
        return Err(Error::unavailable("somebody else is doing the same; try again"));
    };
    // An acknowledgement that was lost makes the client library look whether the key is there.
    if stored.record.creation() == record.creation() {
        return Ok(Creation::Done(stored.revision));
    }
    Ok(Creation::Taken(stored))
}
