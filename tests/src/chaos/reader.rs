//! A member who listens, and resumes as docs/protocol.md says, after every disconnect and now and then.
//!
//! While connected it trusts the gateway, as a simple client would: it closes no hole itself, so an event
//! that is let out too early is in what it was given, for the checker to find.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    line::{Broken, Line, is_temporary},
    truth::{given, given_page},
};
use crate::{
    checker::{Given, Look, Subscription, Way},
    member::Member,
};

/// The id of a request for older events.
const LOOK: &str = "look";

/// How far back in the log a reader looks.
const LOOK_BACK_MAX: u64 = 1_000;

/// Live events that may wait for the answer to a subscribe.
const WAITING_MAX: usize = 10_000;

/// What a reader was given.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) connects: usize,
    /// Pages without an event that were not the last.
    pub(super) empty_pages: usize,
    /// What should never be answered.
    pub(super) surprises: Vec<String>,
}

/// A member who listens.
pub(super) struct Reader {
    member: Member,
    gateways: Vec<String>,
    rng: Rng,
    last: u64,
    /// The last sequence, for whoever waits for this reader.
    progress: Arc<AtomicU64>,
    /// Before which sequence older events are asked for at the moment.
    looks_before: Option<u64>,
    heard: Heard,
}

impl Reader {
    pub(super) fn new(
        member: Member,
        gateways: Vec<String>,
        rng: Rng,
        progress: Arc<AtomicU64>,
    ) -> Self {
        let heard = Heard::default();
        Self { member, gateways, rng, last: 0, progress, looks_before: None, heard }
    }

    /// Listens until `stop`; calm once `calm` is cancelled.
    pub(super) async fn run(mut self, calm: CancellationToken, stop: CancellationToken) -> Heard {
        loop {
            match stop.run_until_cancelled(self.converse(&calm)).await {
                None => return self.heard,
                // Why it broke does not matter: the next connection goes on.
                Some(_) => sleep(self.pause(&calm)).await,
            }
        }
    }

    /// How long it stays away; now and then so long that it has pages to catch up with.
    fn pause(&mut self, calm: &CancellationToken) -> Duration {
        let is_long = !calm.is_cancelled() && self.rng.u8(..4) == 0;
        Duration::from_millis(self.rng.u64(if is_long { 1_000..5_000 } else { 20..400 }))
    }

    async fn converse(&mut self, calm: &CancellationToken) -> Result<(), Broken> {
        let address = self.gateways[self.rng.usize(..self.gateways.len())].clone();
        let mut line = Line::open(&address).await?;
        self.heard.connects += 1;
        self.looks_before = None;
        self.catch_up(&mut line).await?;
        let until = Instant::now() + Duration::from_millis(self.rng.u64(500..15_000));
        while calm.is_cancelled() || Instant::now() < until {
            match timeout(Duration::from_millis(500), line.next()).await {
                Ok(frame) => self.hear(&frame?, &mut line).await?,
                Err(_) => continue,
            }
            match self.rng.u32(..200) {
                // Reads what it has seen, sometimes.
                0..10 => self.read(&mut line).await?,
                10..20 => self.look_back(&mut line).await?,
                // Asks for what might have been missed, as after a minute of silence.
                21..25 => self.catch_up(&mut line).await?,
                // Stops reading for a while.
                20 if !calm.is_cancelled() => {
                    sleep(Duration::from_millis(self.rng.u64(500..4_000))).await;
                }
                _ => {}
            }
        }
        // Half of them vanish without a word.
        if self.rng.bool() {
            line.close().await;
        }
        Ok(())
    }

    /// Subscribes and takes pages until there are no more. Live events wait until then.
    async fn catch_up(&mut self, line: &mut Line) -> Result<(), Broken> {
        self.heard.subscriptions.push(Subscription { after: self.last, ..Subscription::default() });
        // Small pages: all of one may have been deleted a moment ago.
        let limit = if self.rng.bool() { self.rng.u32(1..4) } else { self.rng.u32(4..40) };
        line.subscribe(&self.member, self.last, limit).await?;
        let mut waiting: Vec<Given> = Vec::new();
        loop {
            let frame = line.answer().await?;
            match frame["type"].as_str() {
                Some("subscribed") => {
                    if self.take_page(&frame)? {
                        line.subscribe(&self.member, self.last, limit).await?;
                        continue;
                    }
                    for given in waiting {
                        // Some are in the pages.
                        if given.seq > self.last {
                            self.take(given);
                        }
                    }
                    return Ok(());
                }
                Some("error") if frame["id"] != LOOK => {
                    if !is_temporary(&frame) {
                        self.heard.surprises.push(frame.to_string());
                    }
                    return Err(Broken);
                }
                Some("error") => self.looks_before = None,
                Some("history") => self.note_look(&frame),
                _ if frame["prev"].is_u64() => {
                    // Whoever drops one has to close its hole; this one resumes instead.
                    if waiting.len() == WAITING_MAX {
                        return Err(Broken);
                    }
                    waiting.push(given(&frame, Way::Live));
                }
                _ => {}
            }
        }
    }

    /// Takes a page's events; its end counts as processed. Tells whether there is more behind it.
    fn take_page(&mut self, page: &Value) -> Result<bool, Broken> {
        let events = page["messages"].as_array().ok_or(Broken)?;
        for given in given_page(events) {
            self.take(given);
        }
        if page["more"] != true {
            return Ok(false);
        }
        let end = page["last_seq"].as_u64().ok_or(Broken)?;
        if events.is_empty() {
            self.heard.empty_pages += 1;
            if end <= self.last {
                self.heard.surprises.push(format!("a page that leads nowhere: {page}"));
                return Err(Broken);
            }
        }
        self.last = self.last.max(end);
        Ok(true)
    }

    async fn hear(&mut self, frame: &Value, line: &mut Line) -> Result<(), Broken> {
        match frame["type"].as_str() {
            Some("reconnect") => {
                let after = Duration::from_millis(frame["after_ms"].as_u64().unwrap_or_default());
                // What still comes must not be missed.
                while let Ok(Ok(frame)) = timeout(Duration::from_secs(10), line.next()).await {
                    self.note(&frame);
                }
                sleep(after.min(Duration::from_secs(2))).await;
                Err(Broken)
            }
            Some("error") => {
                if !is_temporary(frame) {
                    self.heard.surprises.push(frame.to_string());
                }
                if frame["id"] == LOOK {
                    self.looks_before = None;
                }
                Ok(())
            }
            Some("history") => {
                self.note_look(frame);
                Ok(())
            }
            _ => {
                self.note(frame);
                Ok(())
            }
        }
    }

    /// Takes a frame that is an event of the log: those have a `prev`.
    fn note(&mut self, frame: &Value) {
        if frame["prev"].is_u64() {
            self.take(given(frame, Way::Live));
        }
    }

    fn take(&mut self, given: Given) {
        self.last = self.last.max(given.seq);
        self.progress.store(self.last, Ordering::Relaxed);
        if let Some(subscription) = self.heard.subscriptions.last_mut() {
            subscription.given.push(given);
        }
    }

    /// Asks for older events, one page at a time.
    async fn look_back(&mut self, line: &mut Line) -> Result<(), Broken> {
        if self.last == 0 || self.looks_before.is_some() {
            return Ok(());
        }
        let before = self.last + 1 - self.rng.u64(0..self.last.min(LOOK_BACK_MAX));
        self.looks_before = Some(before);
        let limit = self.rng.u32(1..60);
        let frame = json!({"type": "history", "id": LOOK, "channel": self.member.channel,
                           "before": before, "limit": limit});
        line.send(&frame).await
    }

    fn note_look(&mut self, frame: &Value) {
        let events = frame["messages"].as_array().map(|events| given_page(events));
        if let Some(before) = self.looks_before.take()
            && let Some(events) = events
            && let Some(subscription) = self.heard.subscriptions.last_mut()
        {
            let known = subscription.given.last().map_or(0, |given| given.seq);
            let more = frame["more"] == true;
            subscription.looks.push(Look { before, known, more, events });
        }
    }

    async fn read(&mut self, line: &mut Line) -> Result<(), Broken> {
        let frame = json!({"type": "read", "channel": self.member.channel, "seq": self.last});
        line.send(&frame).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_which_all_is_deleted_leads_on_from_its_end() {
        let text = |text: &str| text.to_owned();
        let member = Member { channel: text("c"), uid: text("ann"), secret: text("s") };
        let mut reader = Reader::new(member, Vec::new(), Rng::with_seed(1), Arc::default());
        let empty = json!({"messages": [], "more": true, "last_seq": 7});
        assert!(reader.take_page(&empty).unwrap());
        assert_eq!((reader.last, reader.heard.empty_pages), (7, 1));
        // The last one says where the channel ends, not what was given.
        assert!(!reader.take_page(&json!({"messages": [], "more": false, "last_seq": 9})).unwrap());
        assert_eq!(reader.last, 7);
        assert!(reader.heard.surprises.is_empty());
        // Nowhere.
        assert!(reader.take_page(&empty).is_err());
        assert_eq!(reader.heard.surprises.len(), 1);
    }
}
