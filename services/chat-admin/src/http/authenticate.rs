//! HTTP Basic: every path of ticketing asks for the one user name and password.

use actix_web::{
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::Header as _,
    middleware::Next,
    web,
};
use actix_web_httpauth::headers::authorization::{Authorization, Basic};
use goch_chassis::problem::Refusal;
use goch_contract::{Error, ErrorCode, Secret};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Digests of what ticketing logs in with: of equal length whatever is given, so comparing them
/// tells nothing.
#[derive(Clone)]
pub(crate) struct Credentials {
    username: [u8; 32],
    password: [u8; 32],
}

impl Credentials {
    pub(crate) fn new(username: &str, password: &Secret) -> Self {
        Self { username: digest(username), password: digest(password.expose()) }
    }

    fn match_with(&self, given: &Basic) -> bool {
        let username = digest(given.user_id()).ct_eq(&self.username);
        let password = digest(given.password().unwrap_or_default()).ct_eq(&self.password);
        (username & password).into()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Lets requests with the right credentials through.
pub(super) async fn authenticate<B: MessageBody + 'static>(
    credentials: web::Data<Credentials>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let given = Authorization::<Basic>::parse(&request).map(Authorization::into_scheme);
    if given.is_ok_and(|given| credentials.match_with(&given)) {
        return next.call(request).await;
    }
    let message = "this path takes a user name and a password (HTTP Basic)";
    Err(Refusal(Error::new(ErrorCode::Unauthorized, message)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_name_and_password_must_both_be_right() {
        let credentials = Credentials::new("admin", &Secret::new("a:b"));
        let given = |username: &'static str, password: Option<&'static str>| {
            credentials.match_with(&Basic::new(username, password))
        };
        assert!(given("admin", Some("a:b")));
        assert!(!given("admin", Some("a")));
        assert!(!given("admin", None));
        assert!(!given("Admin", Some("a:b")));
        assert!(!given("", Some("")));
    }
}
