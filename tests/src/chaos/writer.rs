//! A member who talks, edits and deletes what it has said, and repeats each request with the same id until
//! it is acked.

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
    checker::{Ack, Revision, Send},
    member::Member,
};

/// Requests that may wait for their acks at a time.
const UNDER_WAY_MAX: usize = 4;

/// A request that is older is not repeated: its id may be forgotten (docs/protocol.md, Sending
/// exactly once). Less than the window of two minutes by the longest that an attempt may take.
const RESEND_WITHIN: Duration = Duration::from_secs(100);

/// How many of its messages are a writer's latest.
const LATEST: usize = 10;

/// How long a writer goes on after it was told to stop, to get its last acks.
const LAST_ACKS_WITHIN: Duration = Duration::from_mins(1);

/// What a writer has done.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) sends: Vec<Send>,
    pub(super) acks: Vec<Ack>,
    pub(super) revisions: Vec<Revision>,
    pub(super) revision_acks: Vec<Ack>,
    /// Refusals that asked for another try.
    pub(super) refusals: usize,
    pub(super) connects: usize,
    /// What should never be answered.
    pub(super) surprises: Vec<String>,
}

struct UnderWay {
    id: String,
    frame: Value,
    since: Instant,
    /// Which of the writer's revisions it is, if it is not a message.
    revision: Option<usize>,
}

/// A member who talks.
pub(super) struct Writer {
    member: Member,
    gateways: Vec<String>,
    rng: Rng,
    under_way: VecDeque<UnderWay>,
    next_say: Instant,
    /// Its messages that it has not begun to delete, by sequence: what may be revised.
    own: Vec<u64>,
    written: Written,
}

impl Writer {
    pub(super) fn new(member: Member, gateways: Vec<String>, rng: Rng) -> Self {
        Self {
            member,
            gateways,
            rng,
            under_way: VecDeque::new(),
            next_say: Instant::now(),
            own: Vec::new(),
            written: Written::default(),
        }
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
        self.under_way.retain(|request| request.since.elapsed() < RESEND_WITHIN);
        for request in &self.under_way {
            line.send(&request.frame).await?;
        }
        loop {
            let is_over = stop.is_cancelled();
            if is_over && self.under_way.is_empty() {
                line.close().await;
                return Ok(());
            }
            let may_speak = !is_over && self.under_way.len() < UNDER_WAY_MAX;
            if may_speak && Instant::now() >= self.next_say {
                match self.rng.u32(..100) {
                    0..15 if !self.own.is_empty() => self.edit(&mut line).await?,
                    15..25 if !self.own.is_empty() => self.delete(&mut line).await?,
                    25..30 => self.withdraw(&mut line).await?,
                    _ => self.say(&mut line).await?,
                }
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
        let (uid, channel) = (self.member.uid.clone(), self.member.channel.clone());
        let number = self.written.sends.len();
        let id = format!("{uid}-{number}");
        let text = self.text(&format!("#{number}"));
        self.written.sends.push(Send { uid, id: id.clone(), text: text.clone() });
        let frame = json!({"type": "send", "channel": channel, "id": id, "text": text});
        self.ask(line, id, frame, None).await
    }

    /// Changes what one of its messages says.
    async fn edit(&mut self, line: &mut Line) -> Result<(), Broken> {
        let index = self.some_own();
        let message = self.own[index];
        let text = self.text(&format!("~{}", self.written.revisions.len()));
        self.revise(line, message, Some(text)).await
    }

    /// Withdraws one of its messages. An edit of it may still be under way.
    async fn delete(&mut self, line: &mut Line) -> Result<(), Broken> {
        let index = self.some_own();
        let message = self.own.remove(index);
        self.revise(line, message, None).await
    }

    /// Withdraws its latest messages in one go, so that all of a page that somebody resumes with is gone.
    async fn withdraw(&mut self, line: &mut Line) -> Result<(), Broken> {
        for _ in self.under_way.len()..UNDER_WAY_MAX {
            let Some(message) = self.own.pop() else { break };
            self.revise(line, message, None).await?;
        }
        Ok(())
    }

    /// One of its messages; of the latest every other time, which faults have just hit.
    fn some_own(&mut self) -> usize {
        let count = self.own.len();
        let least = if self.rng.bool() { count.saturating_sub(LATEST) } else { 0 };
        self.rng.usize(least..count)
    }

    async fn revise(
        &mut self,
        line: &mut Line,
        message: u64,
        text: Option<String>,
    ) -> Result<(), Broken> {
        let (uid, channel) = (self.member.uid.clone(), self.member.channel.clone());
        let number = self.written.revisions.len();
        let id = format!("{uid}-revision-{number}");
        let mut frame = json!({"type": "delete", "channel": channel, "id": id, "seq": message});
        if let Some(text) = &text {
            frame["type"] = json!("edit");
            frame["text"] = json!(text);
        }
        let revision = Revision { uid, id: id.clone(), message, text, refused: false };
        self.written.revisions.push(revision);
        self.ask(line, id, frame, Some(number)).await
    }

    /// A text that nobody else says, whatever the channel, of any length.
    fn text(&mut self, number: &str) -> String {
        let length = self.rng.usize(0..400);
        let Member { uid, channel, .. } = &self.member;
        format!("{number} of {uid} in {channel}. {}", "x".repeat(length))
    }

    async fn ask(
        &mut self,
        line: &mut Line,
        id: String,
        frame: Value,
        revision: Option<usize>,
    ) -> Result<(), Broken> {
        let request = UnderWay { id, frame: frame.clone(), since: Instant::now(), revision };
        self.under_way.push_back(request);
        line.send(&frame).await
    }

    async fn hear(&mut self, frame: &Value, line: &mut Line) -> Result<(), Broken> {
        let position = |id: &str| self.under_way.iter().position(|request| request.id == id);
        match (frame["type"].as_str(), frame["id"].as_str()) {
            (Some("ack"), Some(id)) => {
                let ended = position(id).and_then(|index| self.under_way.remove(index));
                self.note_ack(frame, id, ended.as_ref());
            }
            (Some("error"), Some(id)) if is_temporary(frame) => {
                self.written.refusals += 1;
                if let Some(index) = position(id)
                    && self.under_way[index].since.elapsed() < RESEND_WITHIN
                {
                    sleep(Duration::from_millis(self.rng.u64(50..400))).await;
                    let again = self.under_way[index].frame.clone();
                    line.send(&again).await?;
                }
            }
            (Some("error"), Some(id)) if frame["code"] == "not_found" => {
                let ended = position(id).and_then(|index| self.under_way.remove(index));
                let revision = ended.and_then(|request| request.revision);
                match revision.and_then(|index| self.written.revisions.get_mut(index)) {
                    Some(revision) => revision.refused = true,
                    None => self.written.surprises.push(frame.to_string()),
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

    /// Notes an ack, and of a message that it may be revised from now on.
    fn note_ack(&mut self, frame: &Value, id: &str, ended: Option<&UnderWay>) {
        let ack = Ack {
            uid: self.member.uid.clone(),
            id: id.to_owned(),
            seq: frame["seq"].as_u64().unwrap_or_default(),
            time: frame["time"].as_u64().unwrap_or_default(),
            duplicate: frame["duplicate"].as_bool().unwrap_or_default(),
        };
        if self.written.revisions.iter().any(|revision| revision.id == id) {
            self.written.revision_acks.push(ack);
            return;
        }
        if ended.is_some() {
            self.own.push(ack.seq);
        }
        self.written.acks.push(ack);
    }
}
