//! A product's website: a page of another origin, with headers of its own, and what it gives to its users.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// How much of a request is read; nothing that matters comes later.
const REQUEST_MAX: usize = 16_384;

/// What a path answers.
#[derive(Debug, Clone)]
struct Page {
    headers: String,
    body: String,
}

/// The running site. Ends when it is dropped.
#[derive(Debug)]
pub struct Website {
    address: String,
    listener: Option<TcpListener>,
    pages: HashMap<String, Page>,
    /// Aborted when dropped.
    tasks: JoinSet<()>,
}

impl Website {
    /// A site that has no pages yet; its address is known, so that pages can name it.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { address, listener: Some(listener), pages: HashMap::new(), tasks: JoinSet::new() }
    }

    /// As it stands in an address bar.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a page, with header lines such as `Content-Security-Policy: …`.
    #[must_use]
    pub fn page(mut self, path: &str, headers: &[&str], body: &str) -> Self {
        let headers = headers.iter().flat_map(|line| [line, "\r\n"]).collect();
        self.pages.insert(path.to_owned(), Page { headers, body: body.to_owned() });
        self
    }

    /// Serves the pages.
    #[must_use]
    pub fn start(mut self) -> Self {
        if let Some(listener) = self.listener.take() {
            let pages = Arc::new(self.pages.clone());
            self.tasks.spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((connection, _)) = listener.accept().await {
                    connections.spawn(answer(connection, Arc::clone(&pages)));
                }
            });
        }
        self
    }
}

async fn answer(mut connection: TcpStream, pages: Arc<HashMap<String, Page>>) {
    let mut request = vec![0; REQUEST_MAX];
    let length = connection.read(&mut request).await.unwrap_or_default();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let found = pages.get(path.split('?').next().unwrap_or_default());
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let (headers, body) = found.map_or(("", ""), |page| (&page.headers, &page.body));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n{headers}\r\n",
        body.len()
    );
    let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
}
