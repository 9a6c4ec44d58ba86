//! The answers: from Redis where what it has is whole, else from the log.

use std::{slice, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use goch_contract::{
    ChannelName, Error, ErrorCode, Seq, Uid,
    event::{Logged, Outline},
    services::{
        broker::{LogPage, Span, Tails},
        history::{
            LAST_MESSAGES_MAX, LastMessages, PAGE_BYTES_MAX, Page, PageRequest, Read, Unread,
            UnreadCount, Window,
        },
    },
};
use tokio::{sync::watch, time::timeout};

use crate::{
    ServiceClient,
    counter::LogCounter,
    filler::Filler,
    metrics::{HistoryMetrics, SourceLabels},
    positions::Positions,
    progress::Progress,
    store::{Last, Store, View},
};

/// The most events of a page.
const PAGE_EVENTS_MAX: u32 = 1_000;

/// How long a fresh answer waits for Redis to have the latest events. As a rule it has them some tens of
/// milliseconds after the log.
const CATCH_UP_WITHIN: Duration = Duration::from_millis(500);

/// Requests to the log at a time, for one list of latest messages.
const LOG_REQUESTS_MAX: usize = 16;

/// Events of one such request.
const LOG_EVENTS: u32 = 50;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) store: Store,
    pub(crate) filler: Filler,
    pub(crate) positions: Positions,
    pub(crate) counter: LogCounter,
    pub(crate) broker: ServiceClient,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) metrics: HistoryMetrics,
}

/// How far Redis is, and how far it has to be for an answer.
#[derive(Debug, Clone, Copy)]
struct Reached {
    is_answering: bool,
    progress: Progress,
    needed: Seq,
}

impl Reached {
    /// Whether Redis may answer; up to a channel's latest event only if it is not behind.
    fn may_answer(&self, to_tail: bool) -> bool {
        let has_what_is_needed = self.is_answering && self.progress.written >= self.needed;
        has_what_is_needed && !(to_tail && self.progress.is_behind())
    }
}

impl History {
    fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// How far Redis is, and whether that suffices. For a fresh answer it has to have the channels' last
    /// events, and is given a moment to get there. If nobody can tell which those are, what it has is
    /// better than nothing. While Redis does not answer, nothing that it has suffices.
    async fn reached(&self, channels: &[ChannelName], fresh: bool) -> Reached {
        let is_answering = self.store.is_answering();
        if !is_answering || !fresh {
            return Reached { is_answering, progress: self.progress(), needed: Seq(0) };
        }
        let needed = match self.tails(channels).await {
            Ok(tails) => tails.into_iter().max().unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, "an answer may lack the latest events");
                Seq(0)
            }
        };
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|it| it.need_not_be_awaited(needed));
        // If it takes longer, the log answers.
        _ = timeout(CATCH_UP_WITHIN, reached).await;
        Reached { is_answering, progress: self.progress(), needed }
    }

    // Pages.

    /// A page.
    pub(crate) async fn page(&self, request: PageRequest) -> Result<Page, Error> {
        let PageRequest { channel, window, limit, fresh, revised_through } = request;
        let (channel, limit) = (&channel, limit.clamp(1, PAGE_EVENTS_MAX));
        let reached = self.reached(slice::from_ref(channel), fresh).await;
        let to_tail = !matches!(window, Window::Before(_));
        if !reached.may_answer(to_tail) {
            return self.page_of_log(channel, window, limit).await;
        }
        let progress = reached.progress;
        let view = match self.store.read(progress, channel, window, limit).await {
            Ok(Some(view)) if covers(&view, window, revised_through) => view,
            Ok(Some(_)) => return self.page_of_log(channel, window, limit).await,
            Ok(None) => {
                self.filler.ask(progress, channel);
                return self.page_of_log(channel, window, limit).await;
            }
            Err(error) => {
                tracing::debug!(%channel, %error, "a page comes from the log");
                return self.page_of_log(channel, window, limit).await;
            }
        };
        let Some((before, missing)) = older(&view, window, limit) else {
            self.count_page("redis");
            let more = more(&view, window);
            return Ok(Page { events: view.events, more });
        };
        let window = Window::Before(before);
        let request = LogPage::shown(channel.clone(), window, missing);
        let older = self.broker.call(&request).await?;
        self.count_page("both");
        Ok(join(older, view.events))
    }

    async fn page_of_log(
        &self,
        channel: &ChannelName,
        window: Window,
        limit: u32,
    ) -> Result<Page, Error> {
        self.count_page("log");
        self.broker.call(&LogPage::shown(channel.clone(), window, limit)).await
    }

    fn count_page(&self, source: &'static str) {
        self.metrics.pages.get_or_create(&SourceLabels { source }).inc();
    }

    // Unread messages and read positions.

    /// The messages of others after a member's read position.
    pub(crate) async fn unread(&self, request: Unread) -> Result<UnreadCount, Error> {
        let Unread { channel, uid, kind, fresh } = request;
        let reached = self.reached(slice::from_ref(&channel), fresh).await;
        let position = self.positions.get(&channel, &uid, kind).await?;
        let (count, through) = if reached.may_answer(true) {
            self.count(reached.progress, &channel, &uid, position).await?
        } else {
            self.count_in_log(&channel, &uid, position).await?
        };
        Ok(UnreadCount { count, position, through })
    }

    /// How many, and up to where that is exact.
    async fn count(
        &self,
        progress: Progress,
        channel: &ChannelName,
        uid: &Uid,
        position: Seq,
    ) -> Result<(u64, Seq), Error> {
        let counted = match self.store.count(progress, channel, uid, position).await {
            Ok(Some(counted)) => counted,
            Ok(None) => {
                self.filler.ask(progress, channel);
                return self.count_in_log(channel, uid, position).await;
            }
            Err(error) => {
                tracing::debug!(%channel, %error, "a count comes from the log");
                return self.count_in_log(channel, uid, position).await;
            }
        };
        let Some(missing) = &counted.missing else {
            self.note_count("redis");
            return Ok((counted.count, counted.through));
        };
        self.note_count("both");
        let span = Span {
            not_from: uid.clone(),
            after: missing.after,
            before: Seq(missing.through.0.saturating_add(1)),
            by_sender: false,
        };
        let keeps_for = missing.token.is_some().then_some(position);
        let earlier = self.counter.count(channel, span, keeps_for).await?;
        if earlier.through < missing.through {
            return Err(Error::unavailable("the log has not yet reached who was asked"));
        }
        if let Some(by_sender) = &earlier.by_sender {
            let kept = self.store.keep(progress, channel, position, missing, by_sender).await;
            if let Err(error) = kept {
                tracing::debug!(%channel, %error, "a count was not kept");
            }
        }
        Ok((counted.count.saturating_add(earlier.count), counted.through))
    }

    async fn count_in_log(
        &self,
        channel: &ChannelName,
        uid: &Uid,
        after: Seq,
    ) -> Result<(u64, Seq), Error> {
        self.note_count("log");
        let before = Seq(u64::MAX);
        let span = Span { not_from: uid.clone(), after, before, by_sender: false };
        let counted = self.counter.count(channel, span, None).await?;
        Ok((counted.count, counted.through))
    }

    fn note_count(&self, source: &'static str) {
        self.metrics.counts.get_or_create(&SourceLabels { source }).inc();
    }

    /// Moves a read position, not beyond the channel's latest event: from there it would hide
    /// messages that are still to come.
    pub(crate) async fn read(&self, request: Read) -> Result<Seq, Error> {
        let Read { channel, uid, kind, seq } = request;
        let newest = self.store.newest(self.progress(), &channel).await.unwrap_or_default();
        let seq = if seq <= newest {
            seq
        } else {
            let tails = self.tails(slice::from_ref(&channel)).await?;
            seq.min(tails.first().copied().unwrap_or_default())
        };
        if seq == Seq(0) {
            return self.positions.get(&channel, &uid, kind).await;
        }
        self.positions.advance(&channel, &uid, kind, seq).await
    }

    async fn tails(&self, channels: &[ChannelName]) -> Result<Vec<Seq>, Error> {
        self.broker.call(&Tails { channels: channels.to_vec() }).await
    }

    // Latest messages.

    /// The latest message of each channel.
    pub(crate) async fn last(&self, request: LastMessages) -> Result<Vec<Option<Logged>>, Error> {
        let LastMessages { channels, fresh } = request;
        if channels.len() > LAST_MESSAGES_MAX {
            return Err(Error::of_field(
                ErrorCode::BadRequest,
                "channels",
                format!("at most {LAST_MESSAGES_MAX} channels can be asked for at once"),
            ));
        }
        let reached = self.reached(&channels, fresh).await;
        let progress = reached.progress;
        let known = if reached.may_answer(true) {
            self.store.last(progress, &channels).await.ok()
        } else {
            None
        };
        let known = known
            .filter(|known| known.len() == channels.len())
            .unwrap_or_else(|| channels.iter().map(|_| Last::Unknown).collect());
        let answers = channels.into_iter().zip(known).map(|(channel, last)| async move {
            match last {
                Last::Message(message) => Ok(Some(message)),
                Last::NoneAfter(Seq(0)) => Ok(None),
                Last::NoneAfter(floor) => {
                    self.last_in_log(&channel, Window::Before(Seq(floor.0.saturating_add(1)))).await
                }
                Last::Unknown => {
                    self.filler.ask(progress, &channel);
                    self.last_in_log(&channel, Window::Latest).await
                }
            }
        });
        stream::iter(answers).buffered(LOG_REQUESTS_MAX).try_collect().await
    }

    async fn last_in_log(
        &self,
        channel: &ChannelName,
        mut window: Window,
    ) -> Result<Option<Logged>, Error> {
        loop {
            let request = LogPage::shown(channel.clone(), window, LOG_EVENTS);
            let page = self.broker.call(&request).await?;
            let first = page.events.first().map(|logged| logged.seq);
            if let Some(message) = page.events.into_iter().rev().find(is_message) {
                return Ok(Some(message));
            }
            match first {
                Some(first) if page.more => window = Window::Before(first),
                _ => return Ok(None),
            }
        }
    }
}

/// Whether Redis has all that decides this window's end that is fixed, and every edit and deletion up to
/// `revised_through`.
fn covers(view: &View, window: Window, revised_through: Seq) -> bool {
    if view.certain < revised_through {
        return false;
    }
    match window {
        Window::Latest => true,
        // Else an event before the bound may not have been written yet.
        Window::Before(bound) => bound.0 <= view.certain.0.saturating_add(1),
        Window::After(after) => after >= view.floor,
        // Times rise along a channel but for what the publishers' clocks differ. The page begins at
        // the first event that is not older than the moment; that one is known to be the first only
        // if the one before it is here and older.
        Window::Since(_) => view.skipped || view.floor == Seq(0),
    }
}

/// What the log has to add before the events of Redis: events before which sequence, and how many.
fn older(view: &View, window: Window, limit: u32) -> Option<(Seq, u32)> {
    let held = u32::try_from(view.events.len()).unwrap_or(u32::MAX);
    let missing = limit.saturating_sub(held);
    let is_backward = matches!(window, Window::Latest | Window::Before(_));
    if !is_backward || !view.ended || view.floor == Seq(0) || missing == 0 {
        return None;
    }
    let after_floor = Seq(view.floor.0.saturating_add(1));
    let before = match window {
        Window::Before(bound) => bound.min(after_floor),
        _ => after_floor,
    };
    Some((before, missing))
}

fn more(view: &View, window: Window) -> bool {
    let is_backward = matches!(window, Window::Latest | Window::Before(_));
    !view.ended || (is_backward && view.floor > Seq(0))
}

/// Older events and newer ones as one page, which stays within [`PAGE_BYTES_MAX`].
fn join(older: Page, mut newer: Vec<Logged>) -> Page {
    if let Some(first) = newer.first_mut() {
        first.prev = older.events.last().map_or(first.prev, |last| last.seq);
    }
    let mut bytes: usize = newer.iter().map(size).sum();
    let mut fits = |logged: &Logged| {
        bytes = bytes.saturating_add(size(logged));
        bytes <= PAGE_BYTES_MAX
    };
    let fitting = older.events.iter().rev().take_while(|logged| fits(logged)).count();
    let mut events = older.events;
    let cut = events.len() - fitting;
    events.drain(..cut);
    events.append(&mut newer);
    Page { events, more: older.more || cut > 0 }
}

fn size(logged: &Logged) -> usize {
    logged.event.get().len()
}

fn is_message(logged: &Logged) -> bool {
    serde_json::from_str::<Outline<'_>>(logged.event.get())
        .is_ok_and(|outline| outline.kind == "message")
}

#[cfg(test)]
mod tests {
    use goch_contract::UnixMillis;
    use serde_json::value::RawValue;

    use super::*;

    fn logged(seq: u64, prev: u64, bytes: usize) -> Logged {
        let event = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes))).unwrap();
        Logged::new(Seq(seq), Seq(prev), event)
    }

    fn view(floor: u64, certain: u64, seqs: &[u64], ended: bool) -> View {
        let events = seqs.iter().map(|seq| logged(*seq, 0, 1)).collect();
        View { floor: Seq(floor), certain: Seq(certain), events, ended, skipped: false }
    }

    #[test]
    fn a_window_whose_fixed_end_redis_does_not_know_goes_to_the_log() {
        let view = view(5, 10, &[6, 10], true);
        assert!(covers(&view, Window::Before(Seq(11)), Seq(0)));
        assert!(!covers(&view, Window::Before(Seq(12)), Seq(0)));
        assert!(covers(&view, Window::After(Seq(5)), Seq(0)));
        assert!(!covers(&view, Window::After(Seq(4)), Seq(0)));
        assert!(!covers(&view, Window::Since(UnixMillis(1)), Seq(0)));
    }

    #[test]
    fn what_lies_before_redis_is_asked_of_the_log() {
        let held = view(5, 10, &[6, 10], true);
        assert_eq!(older(&held, Window::Latest, 4), Some((Seq(6), 2)));
        assert_eq!(older(&held, Window::Latest, 2), None);
        assert_eq!(older(&held, Window::After(Seq(5)), 4), None);
        assert_eq!(older(&view(5, 10, &[], true), Window::Before(Seq(3)), 4), Some((Seq(3), 4)));
        assert_eq!(older(&view(0, 10, &[6, 10], true), Window::Latest, 4), None);
        assert_eq!(older(&view(5, 10, &[10], false), Window::Latest, 4), None);
    }

    #[test]
    fn two_parts_make_one_chain() {
        let older = Page { events: vec![logged(3, 1, 1), logged(5, 3, 1)], more: true };
        let page = join(older, vec![logged(6, 4, 1)]);
        let places: Vec<_> = page.events.iter().map(|event| (event.seq.0, event.prev.0)).collect();
        assert_eq!(places, [(3, 1), (5, 3), (6, 5)]);
        assert!(page.more);
    }

    #[test]
    fn a_page_of_two_parts_stays_within_its_bytes() {
        let half = PAGE_BYTES_MAX / 2;
        let older = Page { events: vec![logged(3, 0, half), logged(5, 3, 100)], more: false };
        let page = join(older, vec![logged(6, 5, half)]);
        let seqs: Vec<_> = page.events.iter().map(|event| event.seq.0).collect();
        assert_eq!(seqs, [5, 6]);
        assert!(page.more);
    }

    #[test]
    fn the_log_has_more_where_redis_ends_and_behind_what_redis_had_no_room_for() {
        let (whole, from_five) = (view(0, 10, &[6, 10], true), view(5, 10, &[6, 10], true));
        let full = view(0, 10, &[6, 10], false);
        for backward in [Window::Latest, Window::Before(Seq(11))] {
            assert!(!more(&whole, backward) && more(&from_five, backward) && more(&full, backward));
        }
        for forward in [Window::After(Seq(5)), Window::Since(UnixMillis(1))] {
            assert!(!more(&whole, forward) && !more(&from_five, forward) && more(&full, forward));
        }
    }

    #[test]
    fn a_page_begins_at_a_moment_if_what_is_before_that_is_known() {
        let at = Window::Since(UnixMillis(1));
        assert!(covers(&view(0, 10, &[6], true), at, Seq(0)));
        assert!(covers(&View { skipped: true, ..view(5, 10, &[6], true) }, at, Seq(0)));
    }

    #[test]
    fn a_page_of_two_parts_that_has_everything_says_so() {
        let older = Page { events: vec![logged(3, 0, 1)], more: false };
        let page = join(older, vec![logged(6, 3, 1)]);
        assert_eq!((page.events.len(), page.more), (2, false));
        let nothing = join(Page::default(), vec![logged(6, 3, 1)]);
        assert_eq!((nothing.events[0].prev, nothing.more), (Seq(3), false));
    }

    #[test]
    fn of_the_events_messages_are_messages() {
        let event = |kind: &str| {
            let event = format!(r#"{{"type":"{kind}","channel":"c","time":1,"from_uid":"ann"}}"#);
            Logged::new(Seq(1), Seq(0), RawValue::from_string(event).unwrap())
        };
        assert!(is_message(&event("message")));
        assert!(!is_message(&event("edited")) && !is_message(&logged(1, 0, 3)));
    }

    #[test]
    fn redis_answers_if_it_has_what_is_needed_and_is_not_behind_where_that_matters() {
        let mut current = Progress::new(1, false);
        (current.waiting, current.in_hand, current.written) = (0, 0, Seq(10));
        let behind = Progress::new(1, false);
        assert!(!current.is_behind() && behind.is_behind());
        let may_answer = |is_answering, progress: Progress, needed, to_tail| {
            Reached { is_answering, progress, needed: Seq(needed) }.may_answer(to_tail)
        };
        for to_tail in [false, true] {
            assert!(may_answer(true, current, 10, to_tail));
            assert!(!may_answer(true, current, 11, to_tail));
            assert!(!may_answer(false, current, 0, to_tail));
            assert!(!may_answer(true, behind, 1, to_tail));
        }
        // What lies before an event that Redis has does not change.
        assert!(may_answer(true, behind, 0, false) && !may_answer(true, behind, 0, true));
    }

    #[test]
    fn a_page_that_lacks_edits_which_the_asker_does_not_add_itself_comes_from_the_log() {
        let view = view(5, 10, &[6, 10], true);
        assert!(covers(&view, Window::Before(Seq(8)), Seq(10)));
        assert!(!covers(&view, Window::Before(Seq(8)), Seq(11)));
    }
}
