//! REST requests, and their answers in a form that assertions like.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::wait::within;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The content type, without parameters.
    pub content_type: String,
    /// The body, if it is JSON.
    pub body: Value,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The `code` of a problem document, or of whatever has one.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Checks the status, and that a refusal is a problem document that says the same.
    ///
    /// # Panics
    /// When it is another one.
    #[expect(
        clippy::must_use_candidate,
        clippy::return_self_not_must_use,
        reason = "often the status is all that matters"
    )]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        if status >= 400 {
            assert_eq!(self.content_type, "application/problem+json", "{}", self.text);
            assert_eq!(self.body["status"], status, "{}", self.text);
            assert_eq!(self.body["type"], "about:blank", "{}", self.text);
            for text in ["title", "detail", "code"] {
                assert!(self.body[text].is_string(), "{text} is missing: {}", self.text);
            }
        }
        self
    }

    /// Checks that this is a refusal with these words.
    ///
    /// # Panics
    /// When it is not.
    pub fn expect_problem(self, status: u16, code: &str, field: Option<&str>) {
        let answer = self.expect(status);
        assert_eq!(answer.code(), code, "{}", answer.text);
        assert_eq!(answer.body["field"].as_str(), field, "{}", answer.text);
    }
}

/// An HTTP server that is asked. Each test has its own, because connections belong to the test's
/// runtime.
#[derive(Debug, Clone)]
pub struct Rest {
    client: Client,
    base: String,
    login: Option<(String, String)>,
}

impl Rest {
    /// Asks the server at `address`, a host and a port.
    #[must_use]
    pub fn new(address: &str) -> Self {
        // The client asks for a provider of cryptography even where it has no use for it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { client, base: format!("http://{address}"), login: None }
    }

    /// The same server, with HTTP Basic.
    #[must_use]
    pub fn login(mut self, username: &str, password: &str) -> Self {
        self.login = Some((username.to_owned(), password.to_owned()));
        self
    }

    /// A request, to be completed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.login {
            Some((username, password)) => request.basic_auth(username, Some(password)),
            None => request,
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// GET, of a server that may not be there.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        read(self.request(Method::GET, path)).await.ok()
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// A request without a body.
    pub async fn call(&self, method: Method, path: &str) -> Answer {
        self.send(self.request(method, path)).await
    }

    /// Sends a request, and gives the answer if there is one: an idle connection may be closed just
    /// then.
    pub async fn try_send(&self, request: RequestBuilder) -> Option<Answer> {
        read(request).await.ok()
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        match within("an HTTP answer", read(request)).await {
            Ok(answer) => answer,
            Err(error) => panic!("{} does not answer: {error}", self.base),
        }
    }
}

async fn read(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type");
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().to_owned();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or_default();
    Ok(Answer { status, content_type, body, text })
}
