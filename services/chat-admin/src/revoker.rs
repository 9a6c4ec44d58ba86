//! Tells every gateway that what it remembers of a channel, a member or an account no longer holds.

use async_nats::Client;
use goch_contract::{services::admin::Revoked, subjects::Subjects};

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

    /// Revokes what gateways remember. What is told may be lost; they find out for themselves then, later.
    pub(crate) async fn revoke(&self, revoked: Revoked) {
        let Ok(payload) = serde_json::to_vec(&revoked) else { return };
        if let Err(error) = self.client.publish(self.subjects.revoked(), payload.into()).await {
            tracing::warn!(?revoked, %error, "the gateways were not told");
        }
    }
}
