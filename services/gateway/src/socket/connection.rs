//! Reads one client's frames, in order, and answers them.
//!
//! A `send` is published at once and acked later, so many can be under way. Everything else is
//! finished before the next frame is read, so that a client may subscribe and send without waiting
//! in between.

use std::{
    collections::HashMap,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt as _,
    future::{self, LocalBoxFuture},
    stream::FuturesUnordered,
};
use goch_contract::{
    ChannelName, Error, ErrorCode, MessageId, Uid, UnixMillis,
    frame::{ClientFrame, ServerFrame, Subscribe},
};
use tokio::net::tcp::OwnedReadHalf;

use super::{
    closing::Closing,
    encode,
    incoming::{Fault, Incoming, Message},
    outbox::Outbox,
    registry::Registered,
    send::Sent,
    watch::Watching,
};
use crate::{
    edge::{Meter, Quota, SocketOfAddress},
    metrics::CodeLabel,
    room::Seat,
    worker::Worker,
};

/// Messages of one socket that may be on their way to the log. Beyond that no frame is read, which
/// holds the client back.
const SENDS_UNDER_WAY_MAX: usize = 64;

/// How long whoever drains the sockets waits for the client's side of the closing handshake.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long that may take beyond.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A channel that this socket is subscribed to.
pub(super) struct Subscription {
    pub(super) seat: Seat,
    pub(super) uid: Uid,
    pub(super) typed: Option<Instant>,
    /// When the token ends; never for a member with a secret.
    pub(super) expires_at: Option<UnixMillis>,
    /// What the member may send, over all of the member's sockets.
    pub(super) messages: Arc<Meter>,
}

/// One client's connection.
pub(crate) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) registered: Registered,
    pub(super) subscriptions: HashMap<ChannelName, Subscription>,
    pub(super) watches: HashMap<ChannelName, Watching>,
    frames: Meter,
    address: SocketOfAddress,
}

type SendsUnderWay = FuturesUnordered<LocalBoxFuture<'static, Sent>>;

impl Connection {
    pub(crate) fn new(
        worker: Rc<Worker>,
        registered: Registered,
        address: SocketOfAddress,
    ) -> Self {
        let quota = Quota::per(worker.config.limits.frames_per_second, Duration::from_secs(1));
        let frames = Meter::new(quota);
        let (subscriptions, watches) = (HashMap::new(), HashMap::new());
        Self { worker, registered, subscriptions, watches, frames, address }
    }

    pub(super) fn outbox(&self) -> &Rc<Outbox> {
        &self.registered.watched().outbox
    }

    /// Runs to the end of the connection. `first` is a subscription from the address's query.
    pub(crate) async fn run(
        mut self,
        mut incoming: Incoming<OwnedReadHalf>,
        first: Option<Result<Subscribe, Error>>,
    ) {
        let mut sends = SendsUnderWay::new();
        match first.filter(|_| self.outbox().is_open()) {
            Some(Ok(subscribe)) => {
                self.handle(ClientFrame::Subscribe(subscribe), &mut sends).await;
            }
            Some(Err(error)) => self.refuse(None, &error),
            None => {}
        }
        self.converse(&mut incoming, &mut sends).await;
        if self.outbox().has_overflowed() {
            self.registered.count(Closing::TooSlow);
        }
        // Leaves the rooms at once, whatever the peer does with the closing handshake.
        self.subscriptions.clear();
        self.watches.clear();
        let Self { registered, address: _counted_until_closed, .. } = self;
        let outbox = Rc::clone(&registered.watched().outbox);
        if outbox.is_cut() {
            return;
        }
        // Read to its end: the kernel would reset a connection of which something is unread, and the
        // close frame could be lost.
        let rest = async { while let Some(Ok(_)) = incoming.receive().await {} };
        let mut goodbye = pin!(future::join(outbox.finish(), rest));
        if tokio::time::timeout(DRAIN_TIMEOUT, &mut goodbye).await.is_err() {
            drop(registered);
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
        }
    }

    async fn converse(
        &mut self,
        incoming: &mut Incoming<OwnedReadHalf>,
        sends: &mut SendsUnderWay,
    ) {
        let watched = Rc::clone(self.registered.watched());
        loop {
            let next_message = async {
                watched.outbox.room().await;
                incoming.receive().await
            };
            tokio::select! {
                biased;
                () = watched.outbox.ended() => return,
                Some(sent) = sends.next(), if !sends.is_empty() => self.acknowledge(sent),
                () = watched.drain.notified() => return self.finish(sends).await,
                message = next_message, if sends.len() < SENDS_UNDER_WAY_MAX => {
                    match message {
                        Some(Ok(message)) => self.take(message, sends).await,
                        Some(Err(fault)) => return self.give_up(fault),
                        None => return watched.outbox.cut(),
                    }
                }
            }
        }
    }

    /// Acks what is under way, then closes.
    async fn finish(&mut self, sends: &mut SendsUnderWay) {
        while let Some(sent) = sends.next().await {
            self.acknowledge(sent);
        }
        self.registered.close(Closing::Draining);
    }

    async fn take(&mut self, message: Message, sends: &mut SendsUnderWay) {
        let now = Instant::now();
        self.registered.watched().hear(now);
        match message {
            Message::Text(text) => {
                let frame = ClientFrame::parse(&text, &self.worker.config.limits);
                match (self.take_frame(now), frame) {
                    (Ok(()), Ok(frame)) => self.handle(frame, sends).await,
                    (Ok(()), Err(refused)) => self.refuse(refused.id.as_ref(), &refused.error),
                    (Err(error), Ok(frame)) => self.refuse(frame.id(), &error),
                    (Err(error), Err(refused)) => self.refuse(refused.id.as_ref(), &error),
                }
            }
            Message::Binary => {
                let message = "frames are JSON text, not binary";
                self.refuse(None, &Error::new(ErrorCode::BadFrame, message));
            }
            Message::Ping(payload) => {
                self.outbox().push(encode::pong(&payload));
            }
            Message::Pong => {}
            Message::Close => self.registered.close(Closing::Goodbye),
        }
    }

    /// Lets a frame through unless the socket or its address has sent too many.
    fn take_frame(&self, now: Instant) -> Result<(), Error> {
        let who = if self.frames.take(now).is_err() {
            "socket"
        } else if !self.address.take_frame(now) {
            "address"
        } else {
            return Ok(());
        };
        self.worker.edge.count("frames");
        let message = format!("too many frames from this {who}; wait, then send it again");
        Err(Error::new(ErrorCode::RateLimited, message))
    }

    async fn handle(&mut self, frame: ClientFrame, sends: &mut SendsUnderWay) {
        if let ClientFrame::Send(send) = frame {
            let id = send.id.clone();
            // Boxed, like what follows, so that an idle socket does not carry its size.
            match Box::pin(self.publish(send)).await {
                Ok(sent) => sends.push(sent),
                Err(error) => self.refuse(Some(&id), &error),
            }
            return;
        }
        let outbox = Rc::clone(self.outbox());
        let id = frame.id().cloned();
        let mut acknowledged = Vec::new();
        let outcome = {
            let mut command = Box::pin(self.execute(frame));
            loop {
                tokio::select! {
                    outcome = &mut command => break outcome,
                    Some(sent) = sends.next(), if !sends.is_empty() => acknowledged.push(sent),
                    () = outbox.ended() => return,
                }
            }
        };
        for sent in acknowledged {
            self.acknowledge(sent);
        }
        if let Err(error) = outcome {
            self.refuse(id.as_ref(), &error);
        }
    }

    async fn execute(&mut self, frame: ClientFrame) -> Result<(), Error> {
        match frame {
            ClientFrame::Subscribe(subscribe) => self.subscribe(subscribe).await,
            ClientFrame::Edit(edit) => self.edit(edit).await,
            ClientFrame::Delete(delete) => self.delete(delete).await,
            ClientFrame::History(history) => self.history(history).await,
            ClientFrame::Read { channel, seq } => self.read(&channel, seq),
            ClientFrame::Typing { channel } => self.typing(&channel).await,
            ClientFrame::Watch(watch) => self.watch(watch).await,
            ClientFrame::Authenticate { id, token } => self.authenticate(id.as_ref(), &token).await,
            ClientFrame::Unsubscribe { id, channel } => {
                // A channel that was opened to be read goes on being watched.
                if self.subscriptions.remove(&channel).is_none() {
                    self.watches.remove(&channel).ok_or_else(|| not_subscribed(&channel))?;
                }
                self.note_expiry();
                let frame = ServerFrame::Unsubscribed { id: id.as_ref(), channel: &channel };
                self.answer(&frame);
                Ok(())
            }
            // Handled before.
            ClientFrame::Send(_) => Ok(()),
        }
    }

    /// The subscription to a channel.
    pub(super) fn subscription(&self, channel: &ChannelName) -> Result<&Subscription, Error> {
        self.subscriptions.get(channel).ok_or_else(|| not_subscribed(channel))
    }

    pub(super) fn answer(&self, frame: &ServerFrame<'_>) {
        self.outbox().push(encode::text(&frame.to_json()));
    }

    pub(super) fn refuse(&self, id: Option<&MessageId>, error: &Error) {
        self.count_error(error);
        self.answer(&ServerFrame::error(id, error));
    }

    pub(super) fn count_error(&self, error: &Error) {
        let code = CodeLabel { code: error.code.as_str() };
        self.worker.metrics.errors.get_or_create(&code).inc();
    }

    /// Ends a connection whose bytes make no sense.
    fn give_up(&self, fault: Fault) {
        let closing = match fault {
            Fault::TooLarge => {
                let limit = self.worker.config.limits.frame_bytes;
                let message = format!("a frame must have at most {limit} bytes");
                self.refuse(None, &Error::new(ErrorCode::TooLong, message));
                Closing::TooLarge
            }
            Fault::NotUtf8 => {
                self.refuse(None, &Error::new(ErrorCode::BadFrame, "the frame is not UTF-8"));
                Closing::InvalidText
            }
            Fault::Protocol => Closing::ProtocolError,
        };
        self.registered.close(closing);
    }
}

fn not_subscribed(channel: &ChannelName) -> Error {
    Error::of_field(
        ErrorCode::NotSubscribed,
        "channel",
        format!("this socket is not subscribed to {channel}"),
    )
}
