//! Tells every gateway that what it remembers of a channel or a member no longer holds.

use async_nats::Client;
use goch_contract::{ChannelName, Uid, services::admin::Revoked, subjects::Subjects};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Revoker {
    client: Client,
    subjects: Subjects,
}

impl Revoker {
    pub(crate) fn new(client: Client, subjects: Subjects) -> Self {
        Self { client, subjects }
    }

    /// Revokes a member's authorisation, or those of the whole channel. What is told may be lost; the
    /// gateways find out for themselves then, later.
    pub(crate) async fn revoke(&self, channel: &ChannelName, uid: Option<&Uid>) {
        let revoked = Revoked { channel: channel.clone(), uid: uid.cloned() };
        let Ok(payload) = serde_json::to_vec(&revoked) else { return };
        if let Err(error) = self.client.publish(self.subjects.revoked(), payload.into()).await {
            tracing::warn!(%channel, %error, "the gateways were not told");
        }
    }
}
