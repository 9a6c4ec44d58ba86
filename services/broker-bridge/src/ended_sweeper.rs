//! Takes what has ended out of the log once it has been there for its time: it names people.
//!
//! Channels' events stay as long as the log keeps them. What says that a channel is deleted or somebody's data
//! erased is there for receivers of webhooks only, and is kept as long as what could not be delivered to them.

use std::time::Duration;

use async_nats::jetstream::{message::StreamMessage, stream::RawMessageErrorKind};
use goch_chassis::shutdown::Shutdown;
use goch_contract::{Error, Seq, UnixMillis};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{eraser::Eraser, replay::Replay};

/// How long reading may take.
const GET_TIMEOUT: Duration = Duration::from_secs(3);

/// How often it is looked whether anything is due; more often where it is kept for less than some hours.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// So often within the time for which it is kept.
const LOOKS: u32 = 10;

/// See the module. Replicas that sweep at the same time do the same.
pub(crate) struct EndedSweeper {
    replay: Replay,
    eraser: Eraser,
    keep_for: Duration,
}

impl EndedSweeper {
    pub(crate) fn new(replay: &Replay, eraser: &Eraser, keep_for: Duration) -> Self {
        Self { replay: replay.clone(), eraser: eraser.clone(), keep_for }
    }

    /// Sweeps until the service ends.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut look = interval((self.keep_for / LOOKS).min(LOOK_EVERY));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.unless_begun(look.tick()).await.is_some() {
            match shutdown.unless_begun(self.sweep()).await {
                Some(Err(error)) => tracing::debug!(%error, "what has ended stays for now"),
                Some(Ok(0)) | None => {}
                Some(Ok(count)) => tracing::debug!(count, "what has ended is swept"),
            }
        }
    }

    /// Removes what is too old; how many.
    async fn sweep(&self) -> Result<u64, Error> {
        let mut count = 0;
        while let Some(oldest) = self.oldest().await?.filter(|oldest| self.is_due(oldest)) {
            if !self.eraser.delete(Seq(oldest.sequence)).await? {
                // It would be the oldest once more.
                return Ok(count);
            }
            count += 1;
        }
        Ok(count)
    }

    async fn oldest(&self) -> Result<Option<StreamMessage>, Error> {
        let subjects = self.replay.subjects().ended_of_all();
        let get = self.replay.log().get_first_raw_message_by_subject(subjects, 1);
        match timeout(GET_TIMEOUT, get).await {
            Ok(Ok(message)) => Ok(Some(message)),
            Ok(Err(error)) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            _ => Err(Error::unavailable("the log cannot be read now")),
        }
    }

    fn is_due(&self, message: &StreamMessage) -> bool {
        let stored = u64::try_from(message.time.unix_timestamp_nanos() / 1_000_000);
        let age = UnixMillis::now().0.saturating_sub(stored.unwrap_or_default());
        Duration::from_millis(age) >= self.keep_for
    }
}
