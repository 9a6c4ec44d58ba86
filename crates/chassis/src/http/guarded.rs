//! A connection that ends when its client does not get on.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

use super::{ANSWER_WITHIN, IDLE_WITHIN, Place};

/// A connection under a deadline: the first byte of a request begins the time for its answer, and each
/// byte of an answer the time until the next one, or the next request.
#[derive(Debug)]
pub struct Guarded<S = TcpStream> {
    stream: S,
    deadline: Pin<Box<Sleep>>,
    /// Whether something was read since something was last written.
    is_asking: bool,
    place: Place,
}

impl<S> Guarded<S> {
    /// Guards a connection that has this place.
    #[must_use]
    pub fn new(stream: S, place: Place) -> Self {
        Self { stream, deadline: Box::pin(sleep(IDLE_WITHIN)), is_asking: false, place }
    }

    /// The connection.
    #[must_use]
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The connection without its guard, for another protocol than HTTP, and its place.
    #[must_use]
    pub fn into_parts(self) -> (S, Place) {
        (self.stream, self.place)
    }

    /// # Errors
    /// `TimedOut` once the deadline is over; else the caller is woken then.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.is_asking = false;
            self.deadline.as_mut().reset(Instant::now() + IDLE_WITHIN);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if !self.is_asking && buffer.filled().len() > before {
            self.is_asking = true;
            self.deadline.as_mut().reset(Instant::now() + ANSWER_WITHIN);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn connected() -> (Guarded<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(64);
        (Guarded::new(server, Place::unlimited()), client)
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_trickle_in_do_not_move_the_deadline_and_an_answer_does() {
        let (mut guarded, mut client) = connected();
        for _ in 0..2 {
            client.write_all(b"G").await.unwrap();
            let begun = Instant::now();
            guarded.read_u8().await.unwrap();
            sleep(ANSWER_WITHIN.mul_f64(0.9)).await;
            client.write_all(b"E").await.unwrap();
            guarded.read_u8().await.unwrap();
            guarded.write_all(b"answer").await.unwrap();
            assert!(begun.elapsed() < ANSWER_WITHIN);
        }
        client.write_all(b"G").await.unwrap();
        let begun = Instant::now();
        let error = loop {
            match guarded.read_u8().await {
                Ok(_) => {
                    client.write_all(b"E").await.unwrap();
                    sleep(Duration::from_secs(1)).await;
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() <= ANSWER_WITHIN + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_or_takes_nothing_is_not_waited_for() {
        let (mut guarded, _client) = connected();
        let begun = Instant::now();
        assert_eq!(guarded.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() <= IDLE_WITHIN + Duration::from_secs(1));

        let (mut guarded, _client) = connected();
        let error = guarded.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
