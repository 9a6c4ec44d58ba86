//! Creating, closing and reopening a channel: its record, then the event.

use goch_contract::{Actor, ChannelName, Error};

use super::{Lifecycle, finisher::Unfinished};
use crate::{
    announcer::ANNOUNCE_WITHIN,
    log::About,
    record::ChannelRecord,
    registry::{Access, Created, Registry, bucket::Revised, projection::Key},
};

impl Lifecycle {
    /// Closes a channel, or reopens it. One that is as wished already stays as it is.
    ///
    /// # Errors
    /// `not_found`; `unavailable` when the log has not yet taken the event of the last turn: events
    /// must follow each other as the turns did.
    pub(crate) async fn turn(
        &self,
        name: &ChannelName,
        close: bool,
        actor: &Actor,
    ) -> Result<ChannelRecord, Error> {
        let turned = self
            .change_channel(name, async |stored| {
                if stored.record.closed_at.is_some() == close {
                    return Ok(false);
                }
                if !stored.record.announced {
                    self.publish_turn(&stored.record).await?;
                }
                stored.record.turn(close);
                stored.record.actor = Some(actor.clone());
                Ok(true)
            })
            .await?;
        let record = turned.record.clone();
        if !record.announced {
            tracing::info!(channel = %name, closed = close, %actor, "channel turned");
            self.announce_turn_within(turned).await;
        }
        Ok(record)
    }

    /// Creates a channel.
    ///
    /// # Errors
    /// As [`Registry::create_channel`].
    pub(crate) async fn create(
        &self,
        registry: &Registry,
        name: ChannelName,
        access: Access,
        actor: &Actor,
    ) -> Result<Created, Error> {
        let (created, stored) = registry.create_channel(name, access, actor).await?;
        if !stored.record.announced {
            self.announce_turn_within(stored).await;
        }
        Ok(created)
    }

    /// Publishes the event of the last turn, or leaves it to whoever finishes such things.
    async fn announce_turn_within(&self, turned: Revised<ChannelRecord>) {
        let name = turned.record.name.clone();
        let announced = tokio::time::timeout(ANNOUNCE_WITHIN, self.announce_turn(turned)).await;
        if !matches!(announced, Ok(Ok(()))) {
            tracing::warn!(channel = %name, "the event of the channel will follow");
            self.unfinished.add(Unfinished::Channel(name));
        }
    }

    /// Publishes the event of the last turn, and notes that it is.
    pub(super) async fn announce_turn(
        &self,
        mut turned: Revised<ChannelRecord>,
    ) -> Result<(), Error> {
        self.publish_turn(&turned.record).await?;
        turned.record.announced = true;
        let name = turned.record.name.clone();
        // If it has changed meanwhile, whoever changed it has seen to the event.
        if let Some(revision) =
            self.buckets.channels.replace(&name.token(), &turned.record, turned.revision).await?
        {
            self.project(Key::Channel(name), revision, &turned.record).await;
        }
        Ok(())
    }

    async fn publish_turn(&self, record: &ChannelRecord) -> Result<(), Error> {
        let (event, deduplication_id) = record.turned();
        let actor = record.actor.as_ref();
        self.log.publish(&record.name, &event, deduplication_id, About::Channel, actor).await?;
        Ok(())
    }
}
