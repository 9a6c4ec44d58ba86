//! Counting messages, with the counts of what lies before the events that are kept.

use std::collections::BTreeMap;

use fred::types::Value;
use goch_contract::{ChannelName, Seq, Uid};

use super::{Store, StoreError, layout::digits, random_token, read_seq};
use crate::progress::Progress;

/// When a channel's kept counts take so many members of its set, all go, and those that are asked for are
/// made again.
const COUNTS_MAX: usize = 50_000;

/// A kept count is moved on when it is so many events behind, at the latest: the script goes through them.
const MOVED_ON_AFTER_MAX: usize = 1_000;

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

impl Store {
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
            uid.token().into_owned(),
            digits(position.0),
            digits(progress.written.0),
            token,
            (self.window() / 4).min(MOVED_ON_AFTER_MAX).to_string(),
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
        arguments
            .extend(counts.flat_map(|(uid, count)| [uid.token().into_owned(), count.to_string()]));
        let key = self.key(progress.generation, channel);
        self.ask(&self.scripts.keep, key, arguments).await.map(|_| ())
    }
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
