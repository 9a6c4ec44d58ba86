//! The body of a request, at a least rate and within a deadline.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_web::{
    Error as HttpError, HttpMessage as _,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    http::{ConnectionType, StatusCode},
    middleware::Next,
};
use bytes::Bytes;
use futures_util::Stream;
use goch_contract::Error;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::REQUEST_WITHIN;
use crate::problem::Refusal;

/// How long a body may take however little of it has come.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes of a body that must come in each second after that.
const BYTES_PER_SECOND: u32 = 1_024;

/// Has a request answered within [`REQUEST_WITHIN`], and its body come at a least rate.
///
/// # Errors
/// `unavailable` when that takes longer; the error of the rest otherwise.
pub async fn within_deadline<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, HttpError> {
    let answer = timeout(REQUEST_WITHIN, next.call(pace(request))).await;
    let mut answer =
        answer.unwrap_or_else(|_| Err(Refusal(Error::unavailable("it took too long")).into()))?;
    if answer.status() == StatusCode::REQUEST_TIMEOUT {
        // The rest of the body would be taken for the next request, or awaited.
        let head = answer.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(answer)
}

/// The request with a body that ends in an error when it comes too slowly.
#[must_use]
pub fn pace(mut request: ServiceRequest) -> ServiceRequest {
    let payload = request.take_payload();
    if !matches!(payload, Payload::None) {
        let payload = Box::pin(Paced::new(payload));
        request.set_payload(Payload::Stream { payload });
    }
    request
}

/// Whether a body could not be read because it came too slowly.
pub(crate) fn is_too_slow(error: &PayloadError) -> bool {
    matches!(error, PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

struct Paced<S> {
    payload: S,
    begun: Instant,
    bytes: u32,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    fn new(payload: S) -> Self {
        let begun = Instant::now();
        Self { payload, begun, bytes: 0, deadline: Box::pin(sleep_until(begun + GRACE)) }
    }
}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Stream for Paced<S> {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(next) = Pin::new(&mut self.payload).poll_next(context) {
            if let Some(Ok(chunk)) = &next {
                let bytes = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
                self.bytes = self.bytes.saturating_add(bytes);
                let allowed = GRACE + Duration::from_secs(1) * self.bytes / BYTES_PER_SECOND;
                let deadline = self.begun + allowed.min(REQUEST_WITHIN);
                self.deadline.as_mut().reset(deadline);
            }
            return Poll::Ready(next);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into()))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    /// How long it takes until a body is there, or refused, of which `bytes` come every second, `count`
    /// times.
    async fn read(bytes: usize, count: usize) -> (Duration, bool) {
        let trickle = stream::iter(0..count).then(|_| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Bytes::from(vec![b'x'; bytes]))
        });
        let mut paced = Paced::new(Box::pin(trickle));
        let begun = Instant::now();
        while let Some(chunk) = paced.next().await {
            if let Err(error) = chunk {
                assert!(is_too_slow(&error));
                return (begun.elapsed(), false);
            }
        }
        (begun.elapsed(), true)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_in_is_refused_soon_and_one_at_a_fair_rate_is_read() {
        let (took, is_whole) = read(1, 100).await;
        assert!(!is_whole && took <= GRACE + Duration::from_secs(1), "{took:?}");
        assert_eq!(read(1, 3).await, (Duration::from_secs(3), true));
        assert_eq!(read(2_000, 10).await, (Duration::from_secs(10), true));
        let (took, is_whole) = read(2_000, 100).await;
        assert!(!is_whole && took <= REQUEST_WITHIN, "{took:?}");
    }
}
