//! A member who talks, and sends again with the same id until it is acked.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::line::{ANSWER_WITHIN, Broken, Line, is_temporary};
use crate::{
    checker::{Ack, Send},
    member::Member,
};

/// Messages that may wait for their acks at a time.
const UNDER_WAY_MAX: usize = 4;

/// A message that is older is not sent again: its id may be forgotten (docs/protocol.md, Sending
/// exactly once). Less than the window of two minutes by the longest that an attempt may take.
const RESEND_WITHIN: Duration = Duration::from_secs(100);

/// How long a writer goes on after it was told to stop, to get its last acks.
const LAST_ACKS_WITHIN: Duration = Duration::from_mins(1);

/// What a writer has done.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) sends: Vec<Send>,
    pub(super) acks: Vec<Ack>,
    /// Refusals that asked for another try.
    pub(super) refusals: usize,
    pub(super) connects: usize,
    /// What should never be answered.
    pub(super) surprises: Vec<String>,
}

struct UnderWay {
    id: String,
    text: String,
    since: Instant,
}

/// A member who talks.
pub(super) struct Writer {
    member: Member,
    gateways: Vec<String>,
    rng: Rng,
    under_way: VecDeque<UnderWay>,
    next_say: Instant,
    written: Written,
}

impl Writer {
    pub(super) fn new(member: Member, gateways: Vec<String>, rng: Rng) -> Self {
        let (under_way, next_say) = (VecDeque::new(), Instant::now());
        Self { member, gateways, rng, under_way, next_say, written: Written::default() }
    }

    /// Talks until `stop`, and then until everything is acked or given up.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Written {
        let mut end: Option<Instant> = None;
        loop {
            if stop.is_cancelled() {
                let end = *end.get_or_insert_with(|| Instant::now() + LAST_ACKS_WITHIN);
                if self.under_way.is_empty() || Instant::now() > end {
                    return self.written;
                }
            }
            // Why it broke does not matter: the next connection goes on.
            let _ = self.converse(&stop).await;
            sleep(Duration::from_millis(self.rng.u64(50..500))).await;
        }
    }

    async fn converse(&mut self, stop: &CancellationToken) -> Result<(), Broken> {
        let address = self.gateways[self.rng.usize(..self.gateways.len())].clone();
        let mut line = Line::open(&address).await?;
        self.written.connects += 1;
        self.enter(&mut line).await?;
        self.under_way.retain(|message| message.since.elapsed() < RESEND_WITHIN);
        for message in &self.under_way {
            line.send(&self.frame(message)).await?;
        }
        loop {
            let is_over = stop.is_cancelled();
            if is_over && self.under_way.is_empty() {
                line.close().await;
                return Ok(());
            }
            let may_speak = !is_over && self.under_way.len() < UNDER_WAY_MAX;
            if may_speak && Instant::now() >= self.next_say {
                self.say(&mut line).await?;
                self.next_say = Instant::now() + Duration::from_millis(self.rng.u64(20..500));
            }
            // Waits until it is time to speak, or for an answer when nothing more may be said.
            let patience = if may_speak {
                self.next_say.saturating_duration_since(Instant::now())
            } else {
                ANSWER_WITHIN
            };
            match timeout(patience, line.next()).await {
                Ok(frame) => self.hear(&frame?, &mut line).await?,
                Err(_) if !may_speak => return Err(Broken),
                Err(_) => {}
            }
        }
    }

    /// Subscribes; without that nothing may be said.
    async fn enter(&mut self, line: &mut Line) -> Result<(), Broken> {
        let mut frame = self.member.subscribe_frame();
        frame["id"] = json!("subscribe");
        frame["limit"] = json!(1);
        line.send(&frame).await?;
        loop {
            let answer = line.answer().await?;
            match answer["type"].as_str() {
                Some("subscribed") => return Ok(()),
                Some("error") => {
                    if !is_temporary(&answer) {
                        self.written.surprises.push(answer.to_string());
                    }
                    return Err(Broken);
                }
                _ => {}
            }
        }
    }

    async fn say(&mut self, line: &mut Line) -> Result<(), Broken> {
        let (uid, number) = (&self.member.uid, self.written.sends.len());
        let id = format!("{uid}-{number}");
        let length = self.rng.usize(0..400);
        let text = format!("{number} of {uid} {}", "x".repeat(length));
        let send = Send { uid: uid.clone(), id: id.clone(), text: text.clone() };
        self.written.sends.push(send);
        let message = UnderWay { id, text, since: Instant::now() };
        let frame = self.frame(&message);
        self.under_way.push_back(message);
        line.send(&frame).await
    }

    fn frame(&self, message: &UnderWay) -> Value {
        json!({"type": "send", "channel": self.member.channel, "id": message.id,
               "text": message.text})
    }

    async fn hear(&mut self, frame: &Value, line: &mut Line) -> Result<(), Broken> {
        let position = |id: &str| self.under_way.iter().position(|message| message.id == id);
        match (frame["type"].as_str(), frame["id"].as_str()) {
            (Some("ack"), Some(id)) => {
                if let Some(index) = position(id) {
                    self.under_way.remove(index);
                }
                self.written.acks.push(Ack {
                    uid: self.member.uid.clone(),
                    id: id.to_owned(),
                    seq: frame["seq"].as_u64().unwrap_or_default(),
                    time: frame["time"].as_u64().unwrap_or_default(),
                    duplicate: frame["duplicate"].as_bool().unwrap_or_default(),
                });
            }
            (Some("error"), Some(id)) if is_temporary(frame) => {
                self.written.refusals += 1;
                if let Some(index) = position(id)
                    && self.under_way[index].since.elapsed() < RESEND_WITHIN
                {
                    sleep(Duration::from_millis(self.rng.u64(50..400))).await;
                    let again = self.frame(&self.under_way[index]);
                    line.send(&again).await?;
                }
            }
            (Some("error"), _) => self.written.surprises.push(frame.to_string()),
            (Some("reconnect"), _) => {
                sleep(Duration::from_millis(frame["after_ms"].as_u64().unwrap_or(0).min(2_000)))
                    .await;
                return Err(Broken);
            }
            _ => {}
        }
        Ok(())
    }
}
