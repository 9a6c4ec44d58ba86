//! Stands between a client and an HTTP server, and has something happen to one kind of request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Barrier,
    task::JoinHandle,
};

/// Bytes that are read at once. A request that is looked for begins with what is read.
const CHUNK: usize = 65_536;

/// What happens to the requests that begin with a relay's words.
#[derive(Debug)]
enum Fate {
    /// The first one is done, and its answer is lost with the connection.
    Lost(AtomicBool),
    /// They arrive together, so many at once.
    Gathered(Barrier),
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: String,
    fate: Arc<Fate>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Loses the answer to the first request that begins so, such as `POST /tickets HTTP`.
    pub async fn losing_an_answer(server: String, request: &'static str) -> Self {
        Self::start(server, request, Fate::Lost(AtomicBool::new(false))).await
    }

    /// Lets requests that begin so through when there are `count` of them.
    pub async fn gathering(server: String, request: &'static str, count: usize) -> Self {
        Self::start(server, request, Fate::Gathered(Barrier::new(count))).await
    }

    async fn start(server: String, request: &'static str, fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let fate = Arc::new(fate);
        let shared = Arc::clone(&fate);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, fate) = (server.clone(), Arc::clone(&shared));
                tokio::spawn(async move { pass_on(client, &server, request, &fate).await });
            }
        });
        Self { address, fate, task }
    }

    /// Where the client is to be sent.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether an answer has been lost.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        matches!(&*self.fate, Fate::Lost(is_lost) if is_lost.load(Ordering::SeqCst))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(mut client: TcpStream, server: &str, request: &str, fate: &Fate) -> Option<()> {
    let mut server = TcpStream::connect(server).await.ok()?;
    let (mut asked, mut answered) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut is_to_be_lost = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = &asked[..read.ok().filter(|count| *count > 0)?];
                if bytes.starts_with(request.as_bytes()) {
                    match fate {
                        Fate::Lost(is_lost) => is_to_be_lost = !is_lost.swap(true, Ordering::SeqCst),
                        Fate::Gathered(barrier) => {
                            barrier.wait().await;
                        }
                    }
                }
                server.write_all(bytes).await.ok()?;
            }
            read = server.read(&mut answered) => {
                let count = read.ok().filter(|count| *count > 0 && !is_to_be_lost)?;
                client.write_all(&answered[..count]).await.ok()?;
            }
        }
    }
}
