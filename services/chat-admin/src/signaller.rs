//! Tells whoever has a channel open what is not stored in its log.

use async_nats::Client;
use goch_contract::{ChannelName, Seq, Uid, frame::Signal, subjects::Subjects};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Signaller {
    client: Client,
    subjects: Subjects,
}

impl Signaller {
    pub(crate) fn new(client: Client, subjects: Subjects) -> Self {
        Self { client, subjects }
    }

    /// Tells a read position that is stored, as gateways do. What is told may be lost; who has the channel open hears of
    /// it with the next one, or asks anew after an interruption.
    pub(crate) async fn tell_read(&self, channel: ChannelName, uid: Uid, seq: Seq) {
        let subject = self.subjects.signal(&channel);
        let signal = Signal::Read { channel, uid, seq };
        if let Err(error) = self.client.publish(subject, signal.to_json().into()).await {
            tracing::warn!(%error, "a read position was not told");
        }
    }
}
