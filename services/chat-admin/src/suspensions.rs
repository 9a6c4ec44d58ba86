//! Accounts that may not use any channel.
//!
//! The bucket decides, for every replica at once: it is read from its leader whenever an account is let in, and when a
//! gateway asks whether one may stay. Nothing else of the account changes, so lifting a suspension brings everything
//! back that is still there.

use std::sync::Arc;

use goch_chassis::bucket::Entry;
use goch_contract::{Actor, Error, ErrorCode, Uid, rest::Suspension, services::admin::Revoked};

use crate::{
    record::SuspensionRecord,
    registry::{
        bucket::{self, Bucket, Creation},
        cut,
    },
    revoker::Revoker,
};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Suspensions {
    bucket: Arc<Bucket<SuspensionRecord>>,
    revoker: Revoker,
}

impl Suspensions {
    pub(crate) fn new(bucket: Arc<Bucket<SuspensionRecord>>, revoker: Revoker) -> Self {
        Self { bucket, revoker }
    }

    /// Suspends an account, which need not have been seen before. One that is suspended stays so since when it was,
    /// and the gateways are told once more.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn suspend(&self, uid: &Uid, actor: &Actor) -> Result<Suspension, Error> {
        let record = SuspensionRecord::new(uid.clone(), actor.clone())?;
        let record = match bucket::create(&self.bucket, &uid.token(), &record).await? {
            Creation::Done(_) => {
                tracing::info!(%uid, %actor, "account suspended");
                record
            }
            Creation::Taken(stored) => stored.record,
        };
        self.revoker.revoke(Revoked::Account(uid.clone())).await;
        Ok(record.into_rest())
    }

    /// The suspension of an account, if there is one.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn find(&self, uid: &Uid) -> Result<Option<Suspension>, Error> {
        let stored = self.bucket.get(&uid.token()).await?;
        Ok(stored.map(|stored| stored.record.into_rest()))
    }

    /// Lets an account come back.
    ///
    /// # Errors
    /// `not_found` when it is not suspended; `unavailable`.
    pub(crate) async fn lift(&self, uid: &Uid, actor: &Actor) -> Result<(), Error> {
        let key = uid.token();
        let Some(stored) = self.bucket.get(&key).await? else {
            return Err(not_suspended());
        };
        // Nobody follows this bucket: no marker is needed.
        self.bucket.purge(&key, Some(stored.revision)).await?;
        tracing::info!(%uid, %actor, "suspension lifted");
        Ok(())
    }

    /// Up to `limit` of the accounts that are suspended, by uid, after `after`, and whether others follow.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn list(
        &self,
        after: Option<&Uid>,
        limit: usize,
    ) -> Result<(Vec<Suspension>, bool), Error> {
        let pick = |entry: Entry| {
            let uid = Uid::of_token(&entry.key)?;
            if after.is_some_and(|after| uid <= *after) {
                return None;
            }
            let record = self.bucket.parse(&entry.key, &entry.value).ok()?;
            Some((uid, record.into_rest()))
        };
        let found = self.bucket.first(">", limit.saturating_add(1), pick).await?;
        Ok(cut(found, limit))
    }
}

/// Why an account that is not suspended has no suspension.
pub(crate) fn not_suspended() -> Error {
    Error::of_field(ErrorCode::NotFound, "uid", "the account is not suspended")
}
