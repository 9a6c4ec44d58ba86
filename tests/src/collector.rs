//! A collector of traces: takes what services export over OTLP, and keeps the bytes.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: String,
    exports: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Starts to listen.
    ///
    /// # Panics
    /// When that is not possible.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let exports = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&exports);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&kept)));
            }
        });
        Self { address, exports, task }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether nothing was exported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exports.lock().unwrap().is_empty()
    }

    /// Whether anything that was exported has this text.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.exports.lock().unwrap().iter().any(|body| find(body, text.as_bytes()).is_some())
    }

    /// The trace ids of spans with this name that `service` has exported.
    #[must_use]
    pub fn traces(&self, service: &str, span: &str) -> Vec<Vec<u8>> {
        self.bodies_of(service).iter().flat_map(|body| traces_in(body, span)).collect()
    }

    fn bodies_of(&self, service: &str) -> Vec<Vec<u8>> {
        let exports = self.exports.lock().unwrap();
        exports.iter().filter(|body| find(body, service.as_bytes()).is_some()).cloned().collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// In protobuf a span begins with its trace id (field 1, 16 bytes) and its span id (field 2, 8
/// bytes); its name is field 5. That is enough to find one without a parser.
fn traces_in(body: &[u8], span: &str) -> Vec<Vec<u8>> {
    let name = [&[0x2a, u8::try_from(span.len()).unwrap()], span.as_bytes()].concat();
    let starts = (0..body.len()).filter(|start| body[*start..].starts_with(&[0x0a, 16]));
    let is_whole = |start: &usize| body[start + 18..].starts_with(&[0x12, 8]);
    let starts: Vec<usize> =
        starts.filter(|start| start + 28 < body.len()).filter(is_whole).collect();
    let ends = starts.iter().skip(1).copied().chain([body.len()]);
    let spans =
        starts.iter().zip(ends).filter(|(start, end)| find(&body[**start..*end], &name).is_some());
    spans.map(|(start, _)| body[start + 2..start + 18].to_vec()).collect()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Answers requests with an empty body, which is an empty `ExportTraceServiceResponse`.
async fn serve(mut connection: TcpStream, exports: Arc<Mutex<Vec<Vec<u8>>>>) -> Option<()> {
    let mut received = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = find(&received, b"\r\n\r\n") {
                break end + 4;
            }
            (connection.read_buf(&mut received).await.ok()? > 0).then_some(())?;
        };
        let fields = String::from_utf8_lossy(&received[..head]).to_lowercase();
        let length = fields.split("content-length:").nth(1)?.lines().next()?.trim();
        let end = head + length.parse::<usize>().ok()?;
        while received.len() < end {
            (connection.read_buf(&mut received).await.ok()? > 0).then_some(())?;
        }
        exports.lock().unwrap().push(received[head..end].to_vec());
        received.drain(..end);
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        connection.write_all(answer.as_bytes()).await.ok()?;
    }
}
