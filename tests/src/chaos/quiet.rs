//! A channel in which nobody speaks but whoever loses live copies in it, so that what the next event would
//! reveal stays hidden for as long as that is wanted.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    checker::{Ack, Send},
    rest::Rest,
};

/// Its name.
pub(super) const CHANNEL: &str = "quiet";

/// Who speaks, by ticketing's interface.
pub(super) const SPEAKER: &str = "system";

/// How long something may take to be said while services come back.
const SAID_WITHIN: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Default)]
pub(super) struct Quiet {
    /// The last sequence of each listener.
    listeners: Vec<Arc<AtomicU64>>,
    pub(super) sends: Vec<Send>,
    pub(super) acks: Vec<Ack>,
}

impl Quiet {
    pub(super) fn add_listener(&mut self, progress: Arc<AtomicU64>) {
        self.listeners.push(progress);
    }

    /// What is said after `count` other things.
    pub(super) fn text_after(&self, count: usize) -> String {
        format!("#{} in {CHANNEL}.", self.sends.len() + count)
    }

    /// Says the next thing until it is acked; false if that takes too long.
    pub(super) async fn say(&mut self, admin: &Rest) -> bool {
        let (id, text) = (format!("{SPEAKER}-{}", self.sends.len()), self.text_after(0));
        let send = Send { uid: SPEAKER.to_owned(), id: id.clone(), text: text.clone() };
        self.sends.push(send);
        let end = Instant::now() + SAID_WITHIN;
        while Instant::now() < end {
            let path = format!("/v1/admin/channels/{CHANNEL}/messages");
            let request = admin.request(Method::POST, &path).json(&json!({"id": id, "text": text}));
            match admin.try_send(request.timeout(SAID_WITHIN)).await {
                Some(answer) if [200, 201].contains(&answer.status) => {
                    self.acks.push(ack(id, answer.status == 200, &answer.body));
                    return true;
                }
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
        false
    }

    /// Waits until all listeners have what was acked last, and returns how long that took; none if it is
    /// longer than `patience`.
    pub(super) fn all_have_it(
        &self,
        patience: Duration,
    ) -> impl Future<Output = Option<Duration>> + use<> {
        let last = self.acks.last().map_or(0, |ack| ack.seq);
        let listeners = self.listeners.clone();
        async move {
            let begun = Instant::now();
            while listeners.iter().any(|progress| progress.load(Ordering::Relaxed) < last) {
                if begun.elapsed() > patience {
                    return None;
                }
                sleep(Duration::from_millis(10)).await;
            }
            Some(begun.elapsed())
        }
    }
}

fn ack(id: String, duplicate: bool, body: &Value) -> Ack {
    let number = |name: &str| body[name].as_u64().unwrap_or_default();
    Ack { uid: SPEAKER.to_owned(), id, seq: number("seq"), time: number("time"), duplicate }
}
