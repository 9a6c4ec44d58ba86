//! A TCP proxy between a service and NATS, which does what lines and servers do in a bad moment: it cuts
//! connections, keeps bytes back, and loses live copies of events and word of empty pulls.
//!
//! Core NATS promises nothing about either: a server or client that is overrun drops some, and a server that
//! ends takes along what it was about to say. Nothing else is lost here: other answers and signals pass.

mod frames;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinSet,
};

use self::frames::{Frames, Message};
use crate::{service::Service, system::System};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// They pass.
    Whole,
    /// They wait, and nobody is told.
    Silent,
    /// Connections are closed, new ones too.
    Cut,
}

/// A live copy of an event, on its way to a gateway.
#[derive(Debug)]
pub struct LiveCopy<'a> {
    /// The event's channel.
    pub channel: &'a str,
    payload: &'a [u8],
}

impl<'a> LiveCopy<'a> {
    /// The live copy that a message is, if it is one.
    fn of(message: &Message<'a>) -> Option<Self> {
        let mut tokens = message.subject.split('.').skip(1);
        let is_live = tokens.next() == Some("live");
        let channel = tokens.next().filter(|_| is_live)?;
        Some(Self { channel, payload: message.payload })
    }

    /// What the event says, if it is a message.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let event: Value = serde_json::from_slice(self.payload).ok()?;
        event["text"].as_str().map(ToOwned::to_owned)
    }
}

type IsLost = Box<dyn FnMut(&LiveCopy<'_>) -> bool + Send>;

/// What is lost, and how much was.
#[derive(Default)]
struct Losses {
    is_lost: Mutex<Option<IsLost>>,
    /// Whether word is lost that a pull brings no more.
    ends_are_lost: AtomicBool,
    lost: AtomicUsize,
}

impl Losses {
    fn set(&self, is_lost: Option<IsLost>) {
        *self.is_lost.lock().unwrap_or_else(PoisonError::into_inner) = is_lost;
    }

    fn takes(&self, message: &Message<'_>) -> bool {
        let takes = if let Some(copy) = LiveCopy::of(message) {
            let mut is_lost = self.is_lost.lock().unwrap_or_else(PoisonError::into_inner);
            is_lost.as_mut().is_some_and(|is_lost| is_lost(&copy))
        } else {
            self.ends_are_lost.load(Ordering::Relaxed) && is_end_of_pull(message)
        };
        if takes {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        takes
    }
}

/// Of what a service is sent to its inbox, only word that a pull brings no more has no payload.
fn is_end_of_pull(message: &Message<'_>) -> bool {
    message.subject.starts_with("_INBOX.") && message.payload.is_empty()
}

/// See the module. Ends when it is dropped.
pub struct Proxy {
    addresses: Vec<SocketAddr>,
    line: Arc<watch::Sender<Line>>,
    losses: Arc<Losses>,
    /// Aborted when dropped.
    _listeners: JoinSet<()>,
}

impl Proxy {
    /// Puts a proxy between each gateway and all NATS servers, from the gateway's next start on. In a
    /// cluster the servers must not [tell](crate::Servers::keep_addresses) clients of each other.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn before_gateways(system: &mut System) -> Vec<Self> {
        let targets = system.servers().nats_addresses();
        let mut proxies = Vec::new();
        for gateway in &mut system.gateways {
            proxies.push(Self::before(gateway, &targets).await);
        }
        proxies
    }

    /// Puts a proxy between a service and NATS servers, from the service's next start on.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn before(service: &mut Service, targets: &[String]) -> Self {
        let proxy = Self::start(targets).await.expect("a proxy's port");
        let urls = proxy.addresses.iter().map(|address| format!("nats://{address}"));
        service.set("NATS_URL", &urls.collect::<Vec<_>>().join(","));
        proxy
    }

    async fn start(targets: &[String]) -> std::io::Result<Self> {
        let line = Arc::new(watch::Sender::new(Line::Whole));
        let losses = Arc::new(Losses::default());
        let mut listeners = JoinSet::new();
        let mut addresses = Vec::new();
        for target in targets {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            addresses.push(listener.local_addr()?);
            let (line, losses) = (Arc::clone(&line), Arc::clone(&losses));
            listeners.spawn(accept(listener, target.clone(), line, losses));
        }
        Ok(Self { addresses, line, losses, _listeners: listeners })
    }

    /// What becomes of bytes from now on.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Loses word that a pull brings no more, or does so no longer.
    pub fn lose_ends_of_pulls(&self, are_lost: bool) {
        self.losses.ends_are_lost.store(are_lost, Ordering::Relaxed);
    }

    /// Loses the live copies for which `is_lost` holds, on each of the gateway's connections.
    pub fn lose(&self, is_lost: impl FnMut(&LiveCopy<'_>) -> bool + Send + 'static) {
        self.losses.set(Some(Box::new(is_lost)));
    }

    /// Loses no more live copies.
    pub fn lose_none(&self) {
        self.losses.set(None);
    }

    /// How much was lost so far.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.losses.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Line::Cut);
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    line: Arc<watch::Sender<Line>>,
    losses: Arc<Losses>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if *line.borrow() == Line::Cut {
            continue;
        }
        if let Ok(server) = TcpStream::connect(&target).await {
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            tokio::spawn(carry(client_in, server_out, line.subscribe(), <[u8]>::to_vec));
            let (mut frames, losses) = (Frames::default(), Arc::clone(&losses));
            let pass = move |bytes: &[u8]| frames.pass(bytes, |message| losses.takes(message));
            tokio::spawn(carry(server_in, client_out, line.subscribe(), pass));
        }
    }
}

/// Carries what `pass` leaves of bytes one way, until either end closes or the line is cut.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    mut pass: impl FnMut(&[u8]) -> Vec<u8>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            cut = line.wait_for(|line| *line == Line::Cut) => {
                let _ = cut;
                return;
            }
            read = from.read(&mut buffer) => read,
        };
        let Ok(count @ 1..) = read else { return };
        if line.wait_for(|line| *line != Line::Silent).await.is_err() {
            return;
        }
        if *line.borrow() == Line::Cut || to.write_all(&pass(&buffer[..count])).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_copies_alone_can_be_lost() {
        let losses = Losses::default();
        let payload = br#"{"type":"message","text":"Hello"}"#;
        let takes = |subject| losses.takes(&Message { subject, payload });
        assert!(!takes("goch.live.c"), "nothing is lost unless that was asked for");
        losses.set(Some(Box::new(|copy| copy.channel == "c" && copy.text().unwrap() == "Hello")));
        assert!(takes("goch.live.c"));
        for subject in ["goch.live.d", "goch.signal.c", "_INBOX.gateway.live.c", "goch.log.live"] {
            assert!(!takes(subject), "{subject}");
        }
        assert_eq!(losses.lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn of_answers_only_the_end_of_a_pull_can_be_lost() {
        let losses = Losses::default();
        let takes = |subject, payload| losses.takes(&Message { subject, payload });
        assert!(!takes("_INBOX.ingest-history.a", b""));
        losses.ends_are_lost.store(true, Ordering::Relaxed);
        assert!(takes("_INBOX.ingest-history.a", b""));
        assert!(!takes("_INBOX.ingest-history.a", b"{}") && !takes("goch.signal.c", b""));
    }
}
