//! A connection byte by byte, for clients that no library would be.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::{service::Service, wait::within};

/// The least receive buffer that Linux gives, about.
const SMALL_BUFFER: u32 = 4_096;

/// The pause between two bytes of a client that wants to hold a connection.
const TRICKLE_EVERY: Duration = Duration::from_millis(250);

/// A WebSocket handshake (the key is that of RFC 6455, 1.3).
const HANDSHAKE: &str = "GET /connect HTTP/1.1\r\nHost: goch\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A TCP connection to a service.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
}

impl RawConnection {
    /// Connects to where a service serves clients. What is not read soon holds up the other side.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn open(service: &Service) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        let address = service.address().parse().unwrap();
        let stream = within("a connection", socket.connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Connects and makes a WebSocket of it, with further lines in the head such as `A: b\r\n`.
    ///
    /// # Panics
    /// When the gateway does not take the handshake.
    pub async fn open_socket(gateway: &Service, lines: &str) -> Self {
        Self::shake_hands(gateway, lines).await.0
    }

    /// As [`Self::open_socket`], with the head of the gateway's answer.
    ///
    /// # Panics
    /// As that.
    pub async fn shake_hands(gateway: &Service, lines: &str) -> (Self, String) {
        let mut connection = Self::open(gateway).await;
        connection.write(format!("{HANDSHAKE}{lines}\r\n").as_bytes()).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = within("a handshake's answer", connection.stream.read_u8()).await;
            head.push(byte.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        (connection, head)
    }

    /// Writes all of it, if the other side takes it soon. Tells whether it did.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        let writing = timeout(Duration::from_secs(1), self.stream.write_all(bytes));
        matches!(writing.await, Ok(Ok(())))
    }

    /// Whether the other side has ended the connection; waits for `patience` for that, and throws away
    /// what comes meanwhile.
    pub async fn is_ended_within(&mut self, patience: Duration) -> bool {
        timeout(patience, self.read_to_end()).await.is_ok()
    }

    /// Writes a byte now and then until the other side ends the connection. Tells what it said, and how
    /// long it listened; nothing if it still does after `patience`.
    pub async fn trickle(&mut self, patience: Duration) -> Option<(String, Duration)> {
        let begun = Instant::now();
        let (mut reader, mut writer) = self.stream.split();
        let mut said = Vec::new();
        let trickling = async {
            while writer.write_all(b"x").await.is_ok() {
                sleep(TRICKLE_EVERY).await;
            }
        };
        let reading = reader.read_to_end(&mut said);
        let ended = async {
            tokio::select! { _ = reading => {}, () = trickling => {} }
        };
        timeout(patience, ended).await.ok()?;
        Some((String::from_utf8_lossy(&said).into_owned(), begun.elapsed()))
    }

    /// Reads as many bytes as these, and tells whether they are these.
    pub async fn reads(&mut self, bytes: &[u8]) -> bool {
        let mut read = vec![0; bytes.len()];
        let reading = within("some bytes", self.stream.read_exact(&mut read));
        reading.await.is_ok() && read == bytes
    }

    /// All that comes until the other side ends the connection, however it does.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        // A reset is an end, too.
        let _ = self.stream.read_to_end(&mut read).await;
        read
    }
}

/// A client's frame, masked with zeros: it must have less than 126 bytes.
#[must_use]
pub fn raw_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}
