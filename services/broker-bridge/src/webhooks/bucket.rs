//! How this service uses the buckets of webhooks.

use std::time::Duration;

use goch_chassis::bucket::BucketRules;
pub(crate) use goch_chassis::bucket::{Bucket, Entry, Revised};
use goch_contract::Error;
use serde::{Serialize, de::DeserializeOwned};

/// See [`BucketRules`].
pub(crate) const RULES: BucketRules = BucketRules {
    reader: "broker-bridge",
    away: "webhooks cannot be read or changed now",
    read_within: Duration::from_secs(2),
    write_within: Duration::from_secs(2),
    list_within: Duration::from_secs(4),
};

/// The records of the keys that match `filter`, at most `max`, in the order of their changes. One that
/// cannot be read is left out: it must not keep the others from being delivered.
///
/// # Errors
/// `unavailable`.
pub(crate) async fn list<R>(
    bucket: &Bucket<R>,
    filter: &str,
    max: usize,
) -> Result<Vec<(String, R)>, Error>
where
    R: Serialize + DeserializeOwned,
{
    let entries = bucket.list(filter, max).await?;
    let readable = entries.into_iter().filter_map(|entry| {
        let record = bucket.parse(&entry.key, &entry.value).ok()?;
        Some((entry.key, record))
    });
    Ok(readable.collect())
}

/// Removes the records of the keys that match `filter` without a trace. Where a purge would make
/// whoever is reading the bucket skip records, they are removed one by one, and the markers stay.
///
/// # Errors
/// `unavailable`.
pub(crate) async fn erase<R>(bucket: &Bucket<R>, filter: &str) -> Result<(), Error>
where
    R: Serialize + DeserializeOwned,
{
    if bucket.can_purge() {
        return bucket.purge(filter, None).await;
    }
    if !filter.contains(['*', '>']) {
        return bucket.remove(filter, None).await.map(|_| ());
    }
    for (key, _) in list(bucket, filter, usize::MAX).await? {
        bucket.remove(&key, None).await?;
    }
    Ok(())
}
