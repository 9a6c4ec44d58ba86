//! A ticketing system that is told of events: takes webhooks' requests, and answers as it is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::wait::until;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Received {
    /// The header's fields, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub text: String,
    /// The body.
    pub body: Value,
    /// What it was answered with.
    pub status: u16,
}

impl Received {
    /// Whether a receiver that knows this secret takes the request for Goch's.
    ///
    /// # Panics
    /// When it is no secret of a webhook.
    #[must_use]
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name.as_str()).unwrap();
            headers.insert(name, HeaderValue::try_from(value.as_str()).unwrap());
        }
        Webhook::new(secret).unwrap().verify(self.text.as_bytes(), &headers).is_ok()
    }
}

type Answers = Box<dyn FnMut(&Received) -> u16 + Send>;

struct Shared {
    received: Mutex<Vec<Received>>,
    answers: Mutex<Answers>,
}

/// Listens until it is dropped.
pub struct Receiver {
    address: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Starts to listen, and accepts everything.
    ///
    /// # Panics
    /// When that is not possible.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers: Answers = Box::new(|_| 204);
        let shared = Arc::new(Shared { received: Mutex::default(), answers: Mutex::new(answers) });
        let for_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&for_task)));
            }
        });
        Self { address, shared, task }
    }

    /// Where webhooks are to be sent.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/goch?key=value", self.address)
    }

    /// Decides from now on with which status a body is answered.
    pub fn answer(&self, mut answers: impl FnMut(&Value) -> u16 + Send + 'static) {
        let answers = move |request: &Received| answers(&request.body);
        *self.shared.answers.lock().unwrap() = Box::new(answers);
    }

    /// Refuses from now on what is not signed with this secret.
    pub fn verify(&self, secret: &str) {
        let secret = secret.to_owned();
        let answers =
            move |request: &Received| if request.is_signed_with(&secret) { 204 } else { 401 };
        *self.shared.answers.lock().unwrap() = Box::new(answers);
    }

    /// All that came, in order.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// What was accepted of a channel, in order.
    #[must_use]
    pub fn accepted(&self, channel: &str) -> Vec<Received> {
        let received = self.received().into_iter();
        received
            .filter(|request| request.body["data"]["channel"] == channel && request.status < 300)
            .collect()
    }

    /// Waits until `count` requests of a channel have been accepted; these.
    pub async fn until_accepted(&self, channel: &str, count: usize) -> Vec<Received> {
        until(&format!("{count} webhooks of {channel}"), async || {
            let accepted = self.accepted(channel);
            (accepted.len() >= count).then_some(accepted)
        })
        .await
    }

    /// Waits until a request has come whose body is such a one, whatever it was answered; the first.
    pub async fn until(&self, what: &str, mut is: impl FnMut(&Value) -> bool) -> Received {
        until(what, async || self.received().into_iter().find(|request| is(&request.body))).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut connection: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut received = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = received.windows(4).position(|part| part == b"\r\n\r\n") {
                break end + 4;
            }
            (connection.read_buf(&mut received).await.ok()? > 0).then_some(())?;
        };
        let lines = String::from_utf8_lossy(&received[..head]).into_owned();
        let fields = lines.lines().skip(1).filter_map(|line| line.split_once(':'));
        let headers: BTreeMap<_, _> =
            fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        let end = head + headers.get("content-length")?.parse::<usize>().ok()?;
        while received.len() < end {
            (connection.read_buf(&mut received).await.ok()? > 0).then_some(())?;
        }
        let text = String::from_utf8(received[head..end].to_vec()).ok()?;
        received.drain(..end);
        let body = serde_json::from_str(&text).ok()?;
        let mut request = Received { headers, text, body, status: 0 };
        let status = shared.answers.lock().unwrap()(&request);
        request.status = status;
        shared.received.lock().unwrap().push(request);
        let answer = format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n");
        connection.write_all(answer.as_bytes()).await.ok()?;
    }
}
