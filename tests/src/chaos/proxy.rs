//! A TCP proxy whose line can be cut: what lies between a gateway and NATS in a bad moment.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// They pass.
    Whole,
    /// They wait, and nobody is told.
    Silent,
    /// Connections are closed, new ones too.
    Cut,
}

/// See the module. Ends when it is dropped.
pub(super) struct Proxy {
    address: SocketAddr,
    line: Arc<watch::Sender<Line>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(target: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let line = Arc::new(watch::Sender::new(Line::Whole));
        let state = Arc::clone(&line);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *state.borrow() == Line::Cut {
                    continue;
                }
                if let Ok(server) = TcpStream::connect(&target).await {
                    let (client_in, client_out) = client.into_split();
                    let (server_in, server_out) = server.into_split();
                    tokio::spawn(carry(client_in, server_out, state.subscribe()));
                    tokio::spawn(carry(server_in, client_out, state.subscribe()));
                }
            }
        });
        Ok(Self { address, line, task })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Line::Cut);
        self.task.abort();
    }
}

/// Carries bytes one way until either end closes or the line is cut.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
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
        if *line.borrow() == Line::Cut || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
