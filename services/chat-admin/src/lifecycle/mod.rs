//! What ends: channels are closed and deleted, members removed and banned, messages withdrawn, people's
//! data erased.
//!
//! Each is several steps over several places, and must be finished even if the process dies in
//! between. So the first step writes into the record what is to be done; every further step can be
//! repeated; and what a replica left unfinished, another one finishes ([`finisher`]).

mod closing;
mod deletion;
mod erasure;
pub(crate) mod finisher;
mod membership;
mod revising;
pub(crate) mod sweeper;

use std::{future::Future, sync::Arc, time::Duration};

use goch_chassis::{Chassis, nats::Nats};
use goch_contract::{ChannelName, Error, ErrorCode};

use tokio_util::task::TaskTracker;

use self::finisher::Unfinished;
pub(crate) use self::revising::{Deletion, Edit, Right};
use crate::{
    ServiceClient,
    announcer::Announcer,
    log::Log,
    memberships::{ATTEMPTS_MAX, Memberships, too_many_changes},
    record::{
        ChannelRecord, DeletionRecord, ErasureRecord, MemberRecord, Record, SuspensionRecord,
    },
    registry::{
        bucket::{Bucket, Revised},
        projection::{Key, Projection, Write},
    },
    waiting::Waiting,
};

/// How long a request waits for what may also be finished later.
const FINISH_WITHIN: Duration = Duration::from_secs(8);

/// How far something is that takes several steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All of it is done.
    Done,
    /// It is certain to be done, and some of it is not yet.
    UnderWay,
}

/// The buckets, each the truth about what it holds.
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    pub(crate) channels: Arc<Bucket<ChannelRecord>>,
    pub(crate) members: Arc<Bucket<MemberRecord>>,
    pub(crate) erasures: Arc<Bucket<ErasureRecord>>,
    pub(crate) suspensions: Arc<Bucket<SuspensionRecord>>,
    pub(crate) deletions: Arc<Bucket<DeletionRecord>>,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    buckets: Buckets,
    projection: Projection,
    announcer: Announcer,
    memberships: Memberships,
    log: Log,
    services: ServiceClient,
    unfinished: Arc<Waiting<Unfinished>>,
    tasks: TaskTracker,
}

impl Lifecycle {
    pub(crate) fn new(
        chassis: &Chassis,
        nats: &Nats,
        buckets: Buckets,
        memberships: Memberships,
        unfinished: Arc<Waiting<Unfinished>>,
    ) -> Self {
        Self {
            buckets,
            projection: memberships.projection.clone(),
            announcer: memberships.announcer.clone(),
            memberships,
            log: Log::new(chassis, nats),
            services: nats.services(chassis),
            unfinished,
            tasks: chassis.shutdown.tasks().clone(),
        }
    }

    /// Writes to Redis at once what the keeper would write a moment later.
    async fn project(&self, key: Key, revision: u64, record: &impl Record) {
        self.projection.write_at_once(Write::of(key, revision, record)).await;
    }

    /// Changes a channel's record with `change`, which tells whether there is anything to change.
    ///
    /// # Errors
    /// `not_found`, also for a channel that is being deleted.
    async fn change_channel(
        &self,
        name: &ChannelName,
        mut change: impl AsyncFnMut(&mut Revised<ChannelRecord>) -> Result<bool, Error>,
    ) -> Result<Revised<ChannelRecord>, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let stored = self.buckets.channels.get(&name.token()).await?;
            let mut stored =
                stored.filter(|stored| !stored.record.deleting).ok_or_else(no_channel)?;
            if !change(&mut stored).await? {
                return Ok(stored);
            }
            if let Some(revision) = self
                .buckets
                .channels
                .replace(&name.token(), &stored.record, stored.revision)
                .await?
            {
                stored.revision = revision;
                self.project(Key::Channel(name.clone()), revision, &stored.record).await;
                return Ok(stored);
            }
        }
        Err(too_many_changes())
    }

    /// Finishes `work` now, or leaves it to [`finisher`].
    async fn finish_within(
        &self,
        unfinished: Unfinished,
        work: impl Future<Output = Result<(), Error>>,
    ) -> Progress {
        let outcome = tokio::time::timeout(FINISH_WITHIN, work).await;
        if matches!(outcome, Ok(Ok(()))) {
            self.unfinished.remove(&unfinished);
            return Progress::Done;
        }
        if let Ok(Err(error)) = outcome {
            tracing::warn!(work = ?unfinished, %error, "the rest will follow");
        }
        self.unfinished.add(unfinished);
        Progress::UnderWay
    }
}

fn no_channel() -> Error {
    Error::of_field(ErrorCode::NotFound, "name", "there is no channel of this name")
}
