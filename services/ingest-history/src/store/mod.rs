//! Recent events in Redis: quick to read, and never the only place of anything.
//!
//! The consumers of all replicas add events blindly ([`Store::write`]), whether anybody has asked for
//! the channel or not. When somebody does, the channel is *filled*: its latest events are read from
//! the log, added, and the set gets its *mark*, which says
//!
//! - `floor`: every event after this sequence is here, and the event at `floor` is the one before
//!   them (0: there is none);
//! - `top`: that holds up to here, and beyond as far as the consumer's work is done
//!   ([`Progress`](crate::progress::Progress));
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
//!
//! Memory may be short. [`room`] says what is kept then, [`evict`] lets idle channels go, and events that Redis
//! refuses for that take their channel's whole set with them: it is not known any more, so nothing is answered
//! from it that lacks them.

mod counts;
mod evict;
mod layout;
mod read;
mod room;
#[cfg(test)]
mod tests;
mod uses;
mod write;

use std::{sync::Arc, time::Duration};

use fred::types::{Value, scripts::Script};
use goch_chassis::redis::{Redis, RedisError};
use goch_contract::{ChannelName, Seq};

use self::uses::Uses;
pub(crate) use self::{
    layout::Entry,
    read::{Last, View},
};
use crate::config::HistoryConfig;

const READ: &str =
    concat!(include_str!("known.lua"), include_str!("revised.lua"), include_str!("read.lua"));
const COUNT: &str =
    concat!(include_str!("known.lua"), include_str!("counted.lua"), include_str!("count.lua"));
const KEEP: &str =
    concat!(include_str!("known.lua"), include_str!("counted.lua"), include_str!("keep.lua"));
const LAST: &str =
    concat!(include_str!("known.lua"), include_str!("revised.lua"), include_str!("last.lua"));
const FILL: &str = include_str!("fill.lua");
const BEGIN: &str = include_str!("begin.lua");
const COMPLETE: &str = include_str!("complete.lua");

/// How long a read may take before the log is asked instead.
const READ_TIMEOUT: Duration = Duration::from_millis(300);

/// Redis does not answer, or not in a way that can be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("no random number: {0}")]
    Token(#[from] getrandom::Error),
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Command(#[from] fred::error::Error),
    #[error("Redis holds something unreadable")]
    Unreadable,
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
    redis: Redis,
    prefix: Arc<str>,
    /// Events of a channel while there is room.
    window: usize,
    idle_seconds: i64,
    scripts: Arc<Scripts>,
    uses: Uses,
}

impl Store {
    pub(crate) fn new(redis: Redis, config: &HistoryConfig) -> Self {
        let scripts = Scripts {
            read: Script::from_lua(READ),
            count: Script::from_lua(COUNT),
            keep: Script::from_lua(KEEP),
            begin: Script::from_lua(BEGIN),
            fill: Script::from_lua(FILL),
            complete: Script::from_lua(COMPLETE),
        };
        Self {
            redis,
            prefix: Arc::from(&*config.redis.prefix),
            window: config.window,
            idle_seconds: config.idle_seconds,
            scripts: Arc::new(scripts),
            uses: Uses::default(),
        }
    }

    /// `generation` tells the log from an earlier one of that name, whose sequences mean something
    /// else.
    fn key(&self, generation: u64, channel: &ChannelName) -> String {
        format!("{}:{{{}}}:history:{generation}", self.prefix, channel.token())
    }

    /// Whether it is worth asking Redis.
    pub(crate) fn is_answering(&self) -> bool {
        self.redis.is_answering()
    }

    /// Waits until it is.
    pub(crate) async fn answering(&self) {
        self.redis.answering().await;
    }

    /// Whether a channel may be filled now.
    pub(crate) fn takes_fills(&self) -> bool {
        self.is_answering() && room::takes_fills(&self.redis)
    }

    /// How many events of a channel are kept: fewer while memory is short.
    pub(crate) fn window(&self) -> usize {
        room::window(self.window, self.redis.fullness())
    }

    /// Runs a script that reads; none when Redis does not know the channel.
    async fn ask(
        &self,
        script: &Script,
        key: String,
        arguments: Vec<String>,
    ) -> Result<Option<Value>, StoreError> {
        let client = self.redis.client();
        let answer = script.evalsha_with_reload::<Value, _, _>(client, key, arguments);
        let answer = self.redis.read(READ_TIMEOUT, answer).await?;
        Ok(Some(answer).filter(|answer| !answer.is_null()))
    }
}

/// A token that no other process has.
pub(crate) fn random_token() -> Result<String, getrandom::Error> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

fn read_seq(value: &Value) -> Option<Seq> {
    value.as_str()?.parse().ok().map(Seq)
}
