//! Recent events in Redis: quick to read, and never the only place of anything.
//!
//! The consumers of all replicas add events blindly ([`Store::write`]), whether anybody has asked for
//! the channel or not. When somebody does, the channel is *filled*: its latest events are read from
//! the log, added, and the set gets its *mark*, which says
//!
//! - `floor`: every event after this sequence is here, and the event at `floor` is the one before
//!   them (0: there is none);
//! - `top`: that holds up to here, and beyond as far as the consumer's work is done ([`Progress`]);
//! - `history`: and while this server has this history of writes.
//!
//! The last is Redis's own `master_replid`, which changes when a server restarts or a replica takes
//! its place, the two ways in which Redis forgets what it has acknowledged. Each script compares it
//! in its own round trip, on the node that holds the channel. So a Redis that was wiped (no mark), lost
//! a key (no mark) or came back with old data (another history) is noticed by the very request
//! that would have been answered wrongly, and there is no state to be kept for Redis as a whole.
//!
//! Why a fill cannot miss an event that is stored meanwhile: it first leaves a token in the set, then
//! reads the log, then sets the mark if the token is still there. An event that the log did not have
//! when it was read is written by a consumer after that, into the set with the token; if the set
//! vanished in between, so did the token.
//!
//! What lies before `floor` is counted in the log, and such counts are *kept* in the same set, so that
//! they go with the channel whenever something of it is forgotten. They are shared by all members with
//! the same read position, who are many if they have read nothing. A count that was under way while
//! something was deleted is not kept: it, too, needs its token to be still there. The consumer takes the
//! token away with each deletion that it writes, and forgetting takes away everything.

mod layout;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fred::{
    clients::Client,
    interfaces::{ClientLike as _, KeysInterface as _, SortedSetsInterface as _},
    types::{Value, scripts::Script},
};
use goch_chassis::redis::queue_script;
use goch_contract::{
    ChannelName, Seq, Uid, UnixMillis,
    event::{self, Logged},
    services::history::{PAGE_BYTES_MAX, Window},
};

pub(crate) use layout::Entry;
use layout::{digits, read_event};

use crate::{config::HistoryConfig, progress::Progress};

const READ: &str =
    concat!(include_str!("known.lua"), include_str!("revised.lua"), include_str!("read.lua"));
const COUNT: &str =
    concat!(include_str!("known.lua"), include_str!("counted.lua"), include_str!("count.lua"));
const KEEP: &str =
    concat!(include_str!("known.lua"), include_str!("counted.lua"), include_str!("keep.lua"));
const LAST: &str =
    concat!(include_str!("known.lua"), include_str!("revised.lua"), include_str!("last.lua"));
const TRIM: &str = include_str!("trim.lua");
const FILL: &str = include_str!("fill.lua");
const BEGIN: &str = include_str!("begin.lua");
const COMPLETE: &str = include_str!("complete.lua");

/// When a channel's kept counts take so many members of its set, all go, and those that are asked for are
/// made again.
const COUNTS_MAX: usize = 50_000;

/// A kept count is moved on when it is so many events behind, at the latest: the script goes through them.
const MOVED_ON_AFTER_MAX: usize = 1_000;

/// Events of a fill that are added at a time.
const FILL_ENTRIES: usize = 200;

/// How long a read may take before the log is asked instead.
const READ_TIMEOUT: Duration = Duration::from_millis(300);

/// Redis does not answer, or not in a way that can be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("no random number: {0}")]
    Token(#[from] getrandom::Error),
    #[error("Redis: {0}")]
    Redis(#[from] fred::error::Error),
    #[error("Redis is slow or away")]
    Slow,
    #[error("Redis holds something unreadable")]
    Unreadable,
}

/// Events of a channel, as far as Redis knows them.
#[derive(Debug)]
pub(crate) struct View {
    /// Every event after this one is in Redis; the event before them, 0 for none.
    pub(crate) floor: Seq,
    /// Every event from `floor` up to here was written.
    pub(crate) certain: Seq,
    /// Rising by sequence, each with its `prev`.
    pub(crate) events: Vec<Logged>,
    /// Whether there are no more events in Redis in that direction, rather than no more room.
    pub(crate) ended: bool,
    /// Whether events before the moment that was asked for are in Redis.
    pub(crate) skipped: bool,
}

/// A member's messages to read, as far as Redis knows them.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    /// They are counted up to here, but for what is missing.
    pub(crate) through: Seq,
    pub(crate) missing: Option<Missing>,
}

/// Messages that are no longer in Redis and not yet in a count that is kept there.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    pub(crate) after: Seq,
    /// Up to here, inclusive.
    pub(crate) through: Seq,
    /// With this they can be kept; none if no count may be.
    pub(crate) token: Option<String>,
}

/// What Redis knows of a channel's latest message.
#[derive(Debug)]
pub(crate) enum Last {
    /// The channel is not known.
    Unknown,
    /// There is none after this event.
    NoneAfter(Seq),
    Message(Logged),
}

struct Scripts {
    read: Script,
    count: Script,
    keep: Script,
    begin: Script,
    fill: Script,
    complete: Script,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    client: Client,
    prefix: Arc<str>,
    window: usize,
    idle_seconds: i64,
    scripts: Arc<Scripts>,
}

/// A fill under way.
#[derive(Debug)]
pub(crate) struct Filling {
    key: String,
    token: String,
    history: String,
}

impl Store {
    pub(crate) fn new(client: Client, config: &HistoryConfig) -> Self {
        let scripts = Scripts {
            read: Script::from_lua(READ),
            count: Script::from_lua(COUNT),
            keep: Script::from_lua(KEEP),
            begin: Script::from_lua(BEGIN),
            fill: Script::from_lua(FILL),
            complete: Script::from_lua(COMPLETE),
        };
        Self {
            client,
            prefix: Arc::from(&*config.redis.prefix),
            window: config.window,
            idle_seconds: config.idle_seconds,
            scripts: Arc::new(scripts),
        }
    }

    /// `generation` tells the log from an earlier one of that name, whose sequences mean something
    /// else.
    fn key(&self, generation: u64, channel: &ChannelName) -> String {
        format!("{}:{{{channel}}}:history:{generation}", self.prefix)
    }

    /// How many events of a channel are kept.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    // Writing.

    /// Adds events, in any order and as often as one likes.
    pub(crate) async fn write(&self, generation: u64, entries: &[Entry]) -> Result<(), StoreError> {
        let mut sets = HashMap::<&ChannelName, Vec<(f64, Value)>>::new();
        for entry in entries {
            let members = entry.members().map(|member| (0.0, Value::Bytes(member)));
            sets.entry(&entry.channel).or_default().extend(members);
        }
        let pipeline = self.client.pipeline();
        let mut keys = Vec::with_capacity(sets.len());
        for (channel, members) in sets {
            let key = self.key(generation, channel);
            pipeline.zadd::<(), _, _>(&key, None, None, false, false, members).await?;
            pipeline.expire::<(), _>(&key, self.idle_seconds, None).await?;
            pipeline.zlexcount::<(), _, _, _>(&key, "[e", "(f").await?;
            keys.push(key);
        }
        if keys.is_empty() {
            return Ok(());
        }
        // After the deletions are in: a count that is made from then on leaves out what they delete.
        let deletions = entries.iter().filter(|entry| entry.deletes());
        let channels: BTreeSet<_> = deletions.map(|entry| &entry.channel).collect();
        for channel in channels {
            let key = self.key(generation, channel);
            pipeline.zremrangebylex::<(), _, _, _>(&key, "[c", "(d").await?;
            pipeline.zremrangebylex::<(), _, _, _>(&key, "[n", "(p").await?;
        }
        let answers: Vec<Value> = pipeline.all().await?;
        let counts = answers.iter().skip(2).step_by(3).take(keys.len());
        let counts = counts.map(|count| count.as_u64().unwrap_or(0));
        self.trim(keys.into_iter().zip(counts)).await
    }

    /// Trims the sets that are well beyond the window: an eighth, so that it is not done each time.
    async fn trim(&self, counts: impl Iterator<Item = (String, u64)>) -> Result<(), StoreError> {
        let most = u64::try_from(self.window + self.window / 8).unwrap_or(u64::MAX);
        let pipeline = self.client.pipeline();
        let mut any = false;
        for (key, _) in counts.filter(|(_, count)| *count > most) {
            queue_script(&pipeline, TRIM, &[key], &[&self.window.to_string()]).await?;
            any = true;
        }
        if any {
            pipeline.all::<Value>().await?;
        }
        Ok(())
    }

    /// Begins to fill a channel. The log is to be read after this.
    pub(crate) async fn begin_fill(
        &self,
        generation: u64,
        channel: &ChannelName,
        token: String,
    ) -> Result<Filling, StoreError> {
        let key = self.key(generation, channel);
        let arguments = vec![token.clone(), self.idle_seconds.to_string()];
        let history = self.scripts.begin.evalsha_with_reload(&self.client, key.as_str(), arguments);
        Ok(Filling { history: history.await?, key, token })
    }

    /// Adds events that were read from the log; false if the channel has been forgotten since the
    /// fill began: what was read may be gone from the log by now.
    pub(crate) async fn fill(
        &self,
        filling: &Filling,
        entries: &[Entry],
    ) -> Result<bool, StoreError> {
        for entries in entries.chunks(FILL_ENTRIES) {
            let members = entries.iter().flat_map(|entry| entry.members().map(Value::Bytes));
            let arguments: Vec<_> =
                std::iter::once(Value::from(filling.token.as_str())).chain(members).collect();
            let script = &self.scripts.fill;
            let key = filling.key.as_str();
            if !script.evalsha_with_reload::<bool, _, _>(&self.client, key, arguments).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Forgets what is kept of a channel, fills that are under way included.
    pub(crate) async fn forget(
        &self,
        generation: u64,
        channel: &ChannelName,
    ) -> Result<(), StoreError> {
        Ok(self.client.del(self.key(generation, channel)).await?)
    }

    /// Marks the channel as whole between `floor` and `top` once that is written; false if it has
    /// to be filled anew.
    pub(crate) async fn complete_fill(
        &self,
        filling: Filling,
        floor: Seq,
        top: Seq,
    ) -> Result<bool, StoreError> {
        let Filling { key, token, history } = filling;
        let arguments = vec![token, history, digits(floor.0), digits(top.0)];
        let script = &self.scripts.complete;
        Ok(script.evalsha_with_reload(&self.client, key.as_str(), arguments).await?)
    }

    // Reading.

    /// Events of a channel; none when Redis does not know the channel.
    pub(crate) async fn read(
        &self,
        progress: Progress,
        channel: &ChannelName,
        window: Window,
        limit: u32,
    ) -> Result<Option<View>, StoreError> {
        let (direction, bound) = match window {
            Window::Latest => ("backward", u64::MAX),
            Window::Before(Seq(bound)) => ("backward", bound),
            Window::After(Seq(bound)) => ("forward", bound),
            Window::Since(UnixMillis(bound)) => ("since", bound),
        };
        let arguments = vec![
            digits(progress.written.0),
            direction.to_owned(),
            digits(bound),
            limit.to_string(),
            PAGE_BYTES_MAX.to_string(),
        ];
        let answer =
            self.ask(&self.scripts.read, self.key(progress.generation, channel), arguments);
        let Some(answer) = answer.await? else { return Ok(None) };
        read_view(answer, direction == "backward").map(Some).ok_or(StoreError::Unreadable)
    }

    /// Messages after `position` that are not `uid`'s own; none when Redis does not know the channel.
    pub(crate) async fn count(
        &self,
        progress: Progress,
        channel: &ChannelName,
        uid: &Uid,
        position: Seq,
    ) -> Result<Option<Counted>, StoreError> {
        // An event that expires in the log would stay in a count that is kept.
        let token = if progress.expires { String::new() } else { random_token()? };
        let arguments = vec![
            uid.to_string(),
            digits(position.0),
            digits(progress.written.0),
            token,
            (self.window / 4).min(MOVED_ON_AFTER_MAX).to_string(),
        ];
        let answer =
            self.ask(&self.scripts.count, self.key(progress.generation, channel), arguments);
        let Some(answer) = answer.await? else { return Ok(None) };
        read_counted(&answer.into_array()).map(Some).ok_or(StoreError::Unreadable)
    }

    /// Keeps how many of the missing messages each sender said, for whoever has read up to `position`.
    /// Not if any of them may have been deleted since they were found missing.
    pub(crate) async fn keep(
        &self,
        progress: Progress,
        channel: &ChannelName,
        position: Seq,
        missing: &Missing,
        by_sender: &BTreeMap<Uid, u64>,
    ) -> Result<(), StoreError> {
        let Some(token) = &missing.token else { return Ok(()) };
        let mut arguments = vec![
            token.clone(),
            digits(position.0),
            digits(missing.after.0),
            digits(missing.through.0),
            digits(progress.written.0),
            COUNTS_MAX.to_string(),
        ];
        let counts = by_sender.iter();
        arguments.extend(counts.flat_map(|(uid, count)| [uid.to_string(), count.to_string()]));
        let key = self.key(progress.generation, channel);
        self.ask(&self.scripts.keep, key, arguments).await.map(|_| ())
    }

    async fn ask(
        &self,
        script: &Script,
        key: String,
        arguments: Vec<String>,
    ) -> Result<Option<Value>, StoreError> {
        if !self.client.is_connected() {
            return Err(StoreError::Slow);
        }
        let answer = script.evalsha_with_reload::<Value, _, _>(&self.client, key, arguments);
        let answer = tokio::time::timeout(READ_TIMEOUT, answer).await;
        let answer = answer.map_err(|_| StoreError::Slow)??;
        Ok(Some(answer).filter(|answer| !answer.is_null()))
    }

    /// The latest message of each channel, in one round trip.
    pub(crate) async fn last(
        &self,
        progress: Progress,
        channels: &[ChannelName],
    ) -> Result<Vec<Last>, StoreError> {
        let written = digits(progress.written.0);
        let pipeline = self.client.pipeline();
        for channel in channels {
            let key = self.key(progress.generation, channel);
            queue_script(&pipeline, LAST, &[key], &[&written]).await?;
        }
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        let answers = tokio::time::timeout(READ_TIMEOUT, pipeline.all::<Vec<Value>>()).await;
        let answers = answers.map_err(|_| StoreError::Slow)??;
        let last = |answer| read_last(answer).ok_or(StoreError::Unreadable);
        answers.into_iter().map(last).collect()
    }

    /// The latest event that Redis has, certain or not; 0 for none.
    pub(crate) async fn newest(
        &self,
        progress: Progress,
        channel: &ChannelName,
    ) -> Result<Seq, StoreError> {
        let key = self.key(progress.generation, channel);
        let newest =
            self.client.zrevrangebylex::<Vec<Bytes>, _, _, _>(key, "(f", "[e", Some((0, 1)));
        let newest = tokio::time::timeout(READ_TIMEOUT, newest).await;
        let newest = newest.map_err(|_| StoreError::Slow)??;
        Ok(newest.first().and_then(|member| read_event(member)).map_or(Seq(0), |event| event.seq))
    }
}

/// A token that no other process has.
pub(crate) fn random_token() -> Result<String, getrandom::Error> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

fn read_seq(value: &Value) -> Option<Seq> {
    value.as_str()?.parse().ok().map(Seq)
}

fn read_counted(answer: &[Value]) -> Option<Counted> {
    let (counted, missing) = answer.split_at_checked(2)?;
    let missing = match missing {
        [] => None,
        [after, through, token] => {
            let token = token.as_string().filter(|token| !token.is_empty());
            Some(Missing { after: read_seq(after)?, through: read_seq(through)?, token })
        }
        _ => return None,
    };
    Some(Counted { count: counted[0].as_u64()?, through: read_seq(&counted[1])?, missing })
}

fn read_view(answer: Value, backward: bool) -> Option<View> {
    let [floor, certain, predecessor, ended, skipped, rows, edits] =
        <[Value; 7]>::try_from(answer.into_array()).ok()?;
    let rows = rows.into_array().into_iter();
    let mut events =
        rows.map(|row| row.as_bytes().and_then(read_event)).collect::<Option<Vec<_>>>()?;
    for pair in edits.into_array().chunks_exact(2) {
        // Lua counts from one.
        let event = events.get_mut(usize::try_from(pair[0].as_u64()?).ok()?.checked_sub(1)?)?;
        edit(event, &pair[1])?;
    }
    if backward {
        events.reverse();
    }
    let mut prev = read_seq(&predecessor)?;
    for event in &mut events {
        event.prev = std::mem::replace(&mut prev, event.seq);
    }
    Some(View {
        floor: read_seq(&floor)?,
        certain: read_seq(&certain)?,
        events,
        ended: ended.as_i64()? == 1,
        skipped: skipped.as_i64()? == 1,
    })
}

fn read_last(answer: Value) -> Option<Last> {
    if answer.is_null() {
        return Some(Last::Unknown);
    }
    match answer.into_array().as_slice() {
        [floor] => Some(Last::NoneAfter(read_seq(floor)?)),
        [_, message, predecessor, edits @ ..] => {
            let mut message = read_event(message.as_bytes()?)?;
            message.prev = read_seq(predecessor)?;
            if let Some(latest) = edits.first() {
                edit(&mut message, latest)?;
            }
            Some(Last::Message(message))
        }
        _ => None,
    }
}

/// Has a message say what it was edited to by the event in `row`.
fn edit(message: &mut Logged, row: &Value) -> Option<()> {
    message.event = event::edited(&message.event, &read_event(row.as_bytes()?)?.event)?;
    Some(())
}
