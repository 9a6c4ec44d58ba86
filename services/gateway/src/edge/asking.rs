//! Questions to chat-admin on behalf of strangers: who may ask, and how many at a time.
//!
//! A stranger's guess costs a request to chat-admin, which answers so many at a time for everybody.
//! So guesses that fail are counted, by address and by channel, and whoever has made too many is
//! refused without a question; and those who have not proved yet who they are share a small number of
//! places, of which one channel has a few.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use goch_chassis::nats::REQUEST_TIMEOUT;
use goch_contract::{
    ChannelName, Error, ErrorCode,
    services::{
        ServiceRequest,
        callers::{Gateway, Sends},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Address, Channel, Edge, Throttled};
use crate::ServiceClient;

/// Questions of strangers that one process asks at a time: a part of what one chat-admin works on.
pub(super) const PLACES: usize = 64;

/// Of those, questions about one channel.
pub(super) const PLACES_OF_CHANNEL: usize = 16;

/// On whose behalf a question is asked.
#[derive(Clone)]
pub(crate) struct Caller {
    edge: Arc<Edge>,
    address: Arc<Address>,
    /// Whether it has proved already who it is, elsewhere.
    is_known: bool,
}

/// A place among those who ask; none is needed by who is known.
pub(crate) struct Place {
    _places: Option<[OwnedSemaphorePermit; 2]>,
}

impl Caller {
    pub(super) fn new(edge: &Arc<Edge>, address: &Arc<Address>, is_known: bool) -> Self {
        Self { edge: Arc::clone(edge), address: Arc::clone(address), is_known }
    }

    /// Whether the address may guess again.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn may_guess(&self) -> Result<(), Limited> {
        match self.address.failures.wait(Instant::now()) {
            None => Ok(()),
            Some(wait) => Err(self.limited("address", wait)),
        }
    }

    /// Whether something may be asked about the channel. Others' guesses do not keep out an address
    /// that has made none lately, unless many clients may be behind it.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn may_ask(&self, channel: &ChannelName) -> Result<(), Limited> {
        self.may_guess()?;
        let now = Instant::now();
        if self.is_known || !(self.address.is_many || self.address.failures_seen.owes(now)) {
            return Ok(());
        }
        match self.edge.channel(channel).failures.wait(now) {
            None => Ok(()),
            Some(wait) => Err(self.limited("channel", wait)),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// `unavailable` when that takes too long.
    pub(crate) async fn place(&self, channel: &ChannelName) -> Result<Place, Error> {
        if self.is_known {
            return Ok(Place { _places: None });
        }
        let channel = self.edge.channel(channel);
        let places = async {
            // The channel's first: whoever waits for those keeps nobody else waiting.
            let of_channel = Arc::clone(&channel.places).acquire_owned().await.ok()?;
            let of_all = Arc::clone(&self.edge.places).acquire_owned().await.ok()?;
            Some([of_channel, of_all])
        };
        if let Ok(Some(places)) = tokio::time::timeout(REQUEST_TIMEOUT, places).await {
            return Ok(Place { _places: Some(places) });
        }
        self.edge.count("questions");
        Err(Error::unavailable("too many ask who they are; try again later"))
    }

    /// Asks chat-admin about the channel, for a request over HTTP.
    pub(crate) async fn ask<R>(
        &self,
        services: &ServiceClient,
        channel: &ChannelName,
        request: &R,
    ) -> Result<R::Response, Throttled>
    where
        R: ServiceRequest + Sync,
        Gateway: Sends<R>,
    {
        let limited = |Limited { error, wait }| Throttled::new(error, wait);
        self.may_ask(channel).map_err(limited)?;
        let _place = self.place(channel).await?;
        // Others of its guesses may have been wrong meanwhile.
        self.may_ask(channel).map_err(limited)?;
        let answer = services.call(request).await;
        self.note(channel, &answer);
        Ok(answer?)
    }

    /// Counts a guess about the channel that was wrong.
    pub(crate) fn note<T>(&self, channel: &ChannelName, answer: &Result<T, Error>) {
        if answer.as_ref().is_err_and(is_wrong_guess) {
            self.note_failure();
            self.edge.channel(channel).failures.note(Instant::now());
        }
    }

    /// Counts a wrong guess that is about no channel.
    pub(crate) fn note_failure(&self) {
        let now = Instant::now();
        self.address.failures.note(now);
        self.address.failures_seen.note(now);
    }

    fn limited(&self, whose: &str, wait: Duration) -> Limited {
        self.edge.count("failures");
        let message = format!("too many wrong secrets or names from this {whose}; wait");
        Limited { error: Error::new(ErrorCode::RateLimited, message), wait }
    }
}

/// A refusal for a while.
#[derive(Debug)]
pub(crate) struct Limited {
    pub(crate) error: Error,
    pub(crate) wait: Duration,
}

impl From<Limited> for Error {
    fn from(limited: Limited) -> Self {
        limited.error
    }
}

/// Wrong secrets, and names that are not there or not the client's own.
fn is_wrong_guess(error: &Error) -> bool {
    match error.code {
        ErrorCode::Unauthorized | ErrorCode::Conflict => true,
        // Of a person or a channel that is known it is an answer to no guess.
        ErrorCode::Forbidden => error.field.is_none(),
        _ => false,
    }
}

impl Channel {
    pub(super) fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(PLACES_OF_CHANNEL))
    }
}
