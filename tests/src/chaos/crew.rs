//! Who talks and who listens while things fail.

use std::sync::{Arc, atomic::AtomicU64};

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    javascript::{self, JavaScript},
    plan::Plan,
    quiet::{self, Quiet},
    reader::{Heard, Reader},
    writer::{Writer, Written},
};
use crate::{member::Member, system::System};

/// Sockets on each gateway that listen to the quiet channel.
const QUIET_LISTENERS: usize = 2;

/// A reader at work.
pub(super) struct Readers {
    pub(super) name: String,
    pub(super) channel: String,
    /// The last sequence that it has seen.
    pub(super) progress: Arc<AtomicU64>,
    pub(super) task: JoinHandle<Heard>,
}

/// A writer at work.
pub(super) struct Writers {
    pub(super) channel: String,
    pub(super) task: JoinHandle<Written>,
}

/// Where the crew works, and what it is told.
pub(super) struct Crew<'a> {
    pub(super) system: &'a System,
    /// Addresses of all gateways.
    pub(super) gateways: &'a [String],
    /// Readers stay where they are from now on.
    pub(super) calm: &'a CancellationToken,
    pub(super) stop_writers: &'a CancellationToken,
    pub(super) stop_readers: &'a CancellationToken,
}

pub(super) fn channel_name(number: usize) -> String {
    format!("channel-{number}")
}

impl Crew<'_> {
    /// Makes the channels and starts who talks and listens there; the JavaScript client does both, where Node
    /// is.
    pub(super) async fn enter(&self, plan: &Plan, rng: &mut Rng) -> (Vec<Writers>, Vec<Readers>) {
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        let javascript = JavaScript::start(self.gateways, plan.seed).await;
        for number in 0..plan.channels {
            let channel = channel_name(number);
            self.system.create_channel(&channel, false).await;
            if let Some(javascript) = &javascript {
                let name = javascript::NAME.to_owned();
                let member = Member::join(self.system.gateway(), &channel, &name).await;
                let stops = (self.stop_writers.clone(), self.stop_readers.clone());
                let talker = javascript.enter(&member, stops.0, stops.1).await;
                writers.push(Writers { channel: channel.clone(), task: talker.written });
                let (progress, task) = (talker.progress, talker.heard);
                readers.push(Readers { name, channel: channel.clone(), progress, task });
            }
            for writer in 0..plan.writers {
                let name = format!("writer-{writer}");
                let member = Member::join(self.system.gateway(), &channel, &name).await;
                let writer = Writer::new(member, self.gateways.to_vec(), rng.fork());
                let task = tokio::spawn(writer.run(self.stop_writers.clone()));
                writers.push(Writers { channel: channel.clone(), task });
            }
            for reader in 0..plan.readers {
                let name = format!("reader-{reader}");
                let (gateways, calm) = (self.gateways.to_vec(), self.calm.clone());
                readers.push(self.listen(&channel, name, gateways, calm, rng.fork()).await);
            }
        }
        (writers, readers)
    }

    /// Makes the channel in which nobody speaks but whoever brings faults about, and starts who listens there,
    /// each at one gateway for good.
    pub(super) async fn listen_to_quiet(&self, rng: &mut Rng) -> (Quiet, Vec<Readers>) {
        let (mut quiet, mut readers) = (Quiet::default(), Vec::new());
        self.system.create_channel(quiet::CHANNEL, false).await;
        let calm = CancellationToken::new();
        calm.cancel();
        for (index, gateway) in self.gateways.iter().enumerate() {
            for listener in 0..QUIET_LISTENERS {
                let name = format!("reader-{index}-{listener}");
                let (gateways, calm) = (vec![gateway.clone()], calm.clone());
                let reader = self.listen(quiet::CHANNEL, name, gateways, calm, rng.fork()).await;
                quiet.add_listener(Arc::clone(&reader.progress));
                readers.push(reader);
            }
        }
        (quiet, readers)
    }

    async fn listen(
        &self,
        channel: &str,
        name: String,
        gateways: Vec<String>,
        calm: CancellationToken,
        rng: Rng,
    ) -> Readers {
        let member = Member::join(self.system.gateway(), channel, &name).await;
        let progress = Arc::new(AtomicU64::new(0));
        let reader = Reader::new(member, gateways, rng, Arc::clone(&progress));
        let task = tokio::spawn(reader.run(calm, self.stop_readers.clone()));
        Readers { name, channel: channel.to_owned(), progress, task }
    }
}
