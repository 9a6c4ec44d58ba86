//! Accounts that may not use any channel.
//!
//! The bucket decides, for every replica at once: it is read from its leader whenever an account is let in, and when a
//! gateway asks whether one may stay. Nothing else of the account changes, so lifting a suspension brings everything
//! back that is still there.

use std::sync::Arc;

use goch_chassis::bucket::Entry;
use goch_contract::{
    Account, Actor, Error, ErrorCode, TenantName, Uid, rest::Suspension, services::admin::Revoked,
};

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
    pub(crate) async fn suspend(
        &self,
        account: &Account,
        actor: &Actor,
    ) -> Result<Suspension, Error> {
        let record = SuspensionRecord::new(account.uid.clone(), actor.clone())?;
        let record = match bucket::create(&self.bucket, &account.key(), &record).await? {
            Creation::Done(_) => {
                tracing::info!(%account, %actor, "account suspended");
                record
            }
            Creation::Taken(stored) => stored.record,
        };
        // Its namesakes, too: they are asked for anew, and stay.
        self.revoker.revoke(Revoked::Account(account.uid.clone())).await;
        Ok(record.into_rest())
    }

    /// The suspension of an account, if there is one.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn find(&self, account: &Account) -> Result<Option<Suspension>, Error> {
        let stored = self.bucket.get(&account.key()).await?;
        Ok(stored.map(|stored| stored.record.into_rest()))
    }

    /// Lets an account come back.
    ///
    /// # Errors
    /// `not_found` when it is not suspended; `unavailable`.
    pub(crate) async fn lift(&self, account: &Account, actor: &Actor) -> Result<(), Error> {
        let key = account.key();
        let Some(stored) = self.bucket.get(&key).await? else {
            return Err(not_suspended());
        };
        // Nobody follows this bucket: no marker is needed.
        self.bucket.purge(&key, Some(stored.revision)).await?;
        tracing::info!(%account, %actor, "suspension lifted");
        Ok(())
    }

    /// Up to `limit` of a tenant's accounts that are suspended, by uid, after `after`, and whether others follow.
    ///
    /// # Errors
    /// `unavailable`.
    pub(crate) async fn list(
        &self,
        tenant: Option<&TenantName>,
        after: Option<&Uid>,
        limit: usize,
    ) -> Result<(Vec<Suspension>, bool), Error> {
        let pick = |entry: Entry| {
            let (whose, uid) = Account::of_key(&entry.key)?;
            if whose.as_ref() != tenant || after.is_some_and(|after| uid <= *after) {
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
