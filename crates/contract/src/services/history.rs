//! Requests to ingest-history: recent events, unread counts and read positions, from Redis.

use serde::{Deserialize, Serialize};

use super::{Service, ServiceRequest};
use crate::{
    error::Error,
    event::Logged,
    ids::{ChannelName, Seq, Uid, UnixMillis},
    person::{Person, PersonKind},
};

/// Which events of a channel a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The latest ones.
    Latest,
    /// The latest ones before a sequence.
    Before(Seq),
    /// The first ones after a sequence.
    After(Seq),
    /// The first ones since a moment.
    Since(UnixMillis),
}

/// A moment that a client names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// In Unix milliseconds.
    Millis(u64),
    /// In Unix seconds, as clients of the first Goch do.
    Seconds(u64),
}

impl Since {
    /// The earliest moment in milliseconds, in March 1973: an earlier one is one of today in seconds.
    pub const MILLIS_MIN: u64 = 100_000_000_000;

    /// The latest moment in milliseconds, the end of the year 9999: beyond it, time formats along the way give up.
    pub const MILLIS_MAX: u64 = 253_402_300_799_999;

    /// The latest moment in seconds.
    pub const SECONDS_MAX: u64 = Self::MILLIS_MAX / 1_000;

    /// # Errors
    /// `bad_request` when it is beyond all calendars, or in the other unit.
    fn moment(self) -> Result<UnixMillis, Error> {
        match self {
            Self::Millis(millis @ Self::MILLIS_MIN..=Self::MILLIS_MAX) => Ok(UnixMillis(millis)),
            Self::Seconds(seconds @ ..=Self::SECONDS_MAX) => Ok(UnixMillis(seconds * 1_000)),
            Self::Millis(_) => {
                Err(Error::bad_request("since", "since must be in Unix milliseconds"))
            }
            Self::Seconds(_) => Err(Error::bad_request("since", "since must be in Unix seconds")),
        }
    }
}

impl Window {
    /// The latest events, those after a sequence, or those since a moment; a client may name one of the two, not
    /// both.
    ///
    /// # Errors
    /// `bad_request` when both are given or the moment cannot be meant.
    pub fn parse(after: Option<u64>, since: Option<Since>) -> Result<Self, Error> {
        match (after, since) {
            (None, None) => Ok(Self::Latest),
            (Some(after), None) => Ok(Self::After(Seq(after))),
            (None, Some(since)) => since.moment().map(Self::Since),
            (Some(_), Some(_)) => {
                Err(Error::bad_request("since", "after and since exclude each other"))
            }
        }
    }
}

/// Events of a channel, whole and rising by sequence.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Page {
    /// The events.
    pub events: Vec<Logged>,
    /// Whether more remain: newer ones for [`Window::After`] and [`Window::Since`], else older ones.
    pub more: bool,
}

/// The largest page in bytes of its events. A page ends early, with `more`, rather than exceed what
/// NATS lets through (`max_payload`, 1 MB by default).
pub const PAGE_BYTES_MAX: usize = 768 * 1024;

/// A page of a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageRequest {
    /// The channel.
    pub channel: ChannelName,
    /// Which events.
    pub window: Window,
    /// The most events of the answer.
    pub limit: u32,
    /// Whether everything that is stored by now has to be in the answer, even what is not yet in Redis.
    #[serde(default)]
    pub fresh: bool,
    /// Up to here every edit and deletion has to be in what the answer shows. Whoever asks knows of later
    /// ones. For [`Window::Latest`] and [`Window::Before`]: what follows a page of the other two tells of
    /// them in its turn.
    #[serde(default)]
    pub revised_through: Seq,
}

/// A member's unread messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadCount {
    /// Messages of others after the read position, up to `through`.
    pub count: u64,
    /// The read position; 0 for a member who has read nothing.
    pub position: Seq,
    /// Up to here the count is exact, unless a later event deletes what it has. Messages after this are
    /// not counted: there may be some that history has not yet seen.
    pub through: Seq,
}

impl ServiceRequest for PageRequest {
    const SERVICE: Service = Service::History;
    const ENDPOINT: &'static str = "page";
    type Response = Page;
}

/// How many messages has a member not read?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unread {
    /// The channel.
    pub channel: ChannelName,
    /// The member.
    pub uid: Uid,
    /// What the member is: a guest and an account of one uid have each read on their own.
    #[serde(default)]
    pub kind: PersonKind,
    /// Whether everything that is stored by now has to be in the answer, even what is not yet in Redis.
    #[serde(default)]
    pub fresh: bool,
}

impl ServiceRequest for Unread {
    const SERVICE: Service = Service::History;
    const ENDPOINT: &'static str = "unread";
    type Response = UnreadCount;
}

/// Move a member's read position forward; a position behind the present one changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Read {
    /// The channel.
    pub channel: ChannelName,
    /// The member.
    pub uid: Uid,
    /// What the member is, as in [`Unread`].
    #[serde(default)]
    pub kind: PersonKind,
    /// The latest event that was read.
    pub seq: Seq,
}

impl ServiceRequest for Read {
    const SERVICE: Service = Service::History;
    const ENDPOINT: &'static str = "read";
    /// The read position from now on.
    type Response = Seq;
}

/// The latest message of many channels, for lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LastMessages {
    /// The channels, at most [`LAST_MESSAGES_MAX`].
    pub channels: Vec<ChannelName>,
    /// Whether everything that is stored by now has to be in the answer, even what is not yet in Redis.
    #[serde(default)]
    pub fresh: bool,
}

/// The most channels of one [`LastMessages`].
pub const LAST_MESSAGES_MAX: usize = 100;

impl ServiceRequest for LastMessages {
    const SERVICE: Service = Service::History;
    const ENDPOINT: &'static str = "last";
    /// In the order of the request.
    type Response = Vec<Option<Logged>>;
}

/// Forget what is kept of a channel's events, because some of them are gone from the log. What
/// remains there is read anew when it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForgetEvents {
    /// The channel.
    pub channel: ChannelName,
    /// Nothing that is gone lies after this event.
    pub through: Seq,
}

impl ServiceRequest for ForgetEvents {
    const SERVICE: Service = Service::History;
    const ENDPOINT: &'static str = "forget_events";
    type Response = ();
}

/// Forget read positions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForgetPositions {
    /// Of every member of a channel.
    OfChannel(ChannelName),
    /// Of a person.
    OfPerson(Person),
}

impl ServiceRequest for ForgetPositions {
    const SERVICE: Service = Service::History;
    const ENDPOINT: &'static str = "forget_positions";
    type Response = ();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorCode;

    proptest! {
        #[test]
        fn a_window_is_after_a_sequence_or_since_a_moment(
            after: Option<u64>,
            number in prop_oneof![any::<u64>(), 0..300_000_000_000_u64, 0..300_000_000_000_000_u64],
            is_seconds: bool,
            is_given: bool,
        ) {
            let since = if is_seconds { Since::Seconds(number) } else { Since::Millis(number) };
            let since = is_given.then_some(since);
            match (Window::parse(after, since), after, since) {
                (Ok(Window::Latest), None, None) => {}
                (Ok(Window::After(seq)), Some(after), None) => prop_assert_eq!(seq.0, after),
                (Ok(Window::Since(moment)), None, Some(Since::Millis(millis))) => {
                    prop_assert_eq!(moment.0, millis);
                    prop_assert!((100_000_000_000..=253_402_300_799_999).contains(&millis));
                }
                (Ok(Window::Since(moment)), None, Some(Since::Seconds(seconds))) => {
                    prop_assert_eq!(moment.0, seconds * 1_000);
                }
                (Err(error), after, Some(since)) => {
                    let is_impossible = match since {
                        Since::Millis(it) => !(100_000_000_000..=253_402_300_799_999).contains(&it),
                        Since::Seconds(it) => it > 253_402_300_799,
                    };
                    prop_assert!(after.is_some() || is_impossible);
                    prop_assert_eq!(error.code, ErrorCode::BadRequest);
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn a_moment_of_today_in_the_other_unit_is_refused() {
        let today = 1_800_000_000;
        assert!(Window::parse(None, Some(Since::Millis(today))).is_err());
        assert!(Window::parse(None, Some(Since::Seconds(today * 1_000))).is_err());
        let moment = Window::Since(UnixMillis(today * 1_000));
        assert_eq!(Window::parse(None, Some(Since::Seconds(today))), Ok(moment));
        assert_eq!(Window::parse(None, Some(Since::Millis(today * 1_000))), Ok(moment));
    }
}
