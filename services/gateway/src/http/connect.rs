//! `GET /connect`: from HTTP to a WebSocket.

use std::rc::Rc;

use actix_http::ws;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderMap},
    rt,
    rt::net::TcpStream,
    web,
};
use goch_chassis::http::Place;
use goch_contract::{
    ChannelName, Error, ErrorCode, Secret, Uid,
    frame::{Credentials, Subscribe},
    limits::{Limits, page_limit},
    rest::Problem,
    schemas::{MemberSecret, Token, problems::RateLimited},
    services::history::{Since, Window},
};
use serde::Deserialize;

use super::upgrade::Handover;
use crate::{
    edge::{SocketOfAddress, Throttled},
    socket::{Connection, closing::Closing, incoming::Incoming},
    worker::Worker,
};

/// Version 1 of the protocol, as clients name it (RFC 6455, 1.9).
pub(super) const SUBPROTOCOL: &str = "goch.v1";

/// Subscribes at once. Frames are preferred, so that no secret stands in a URL.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Query {
    /// A channel to subscribe to at once.
    #[param(value_type = Option<ChannelName>, nullable = false)]
    channel: Option<String>,
    /// Who subscribes.
    #[param(value_type = Option<Uid>, nullable = false)]
    uid: Option<String>,
    /// The member's secret.
    #[param(value_type = Option<MemberSecret>, nullable = false)]
    secret: Option<Secret>,
    /// A signed token, in place of uid and secret.
    #[param(value_type = Option<Token>, nullable = false)]
    token: Option<Secret>,
    /// The first page has the events since this moment, in Unix seconds, as clients of the first Goch say it.
    #[param(maximum = 253_402_300_799_u64, nullable = false)]
    since: Option<u64>,
    /// The first page has the events after this `seq`. Excludes `since`.
    #[param(nullable = false)]
    last_seq: Option<u64>,
    /// The most events of the first page; 100 if left out.
    #[param(minimum = 1, maximum = 500, default = 100, nullable = false)]
    limit: Option<u64>,
}

/// Upgrades the connection to a WebSocket.
///
/// What is said over it is described in `/asyncapi.json`. The query is for simple clients: prefer
/// frames, so that no secret stands in a URL. What is wrong with it is told by an `error` frame,
/// because a browser does not see why a handshake fails.
///
/// Clients may offer the subprotocol `goch.v1`, which is then selected.
#[utoipa::path(
    get,
    path = "/connect",
    tag = "talking",
    params(Query),
    responses(
        (status = 101, description = "A WebSocket."),
        (status = 400, description = "Not a WebSocket handshake: `bad_request`.", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Pages of this origin may not connect: `forbidden`.", body = Problem, content_type = "application/problem+json"),
        (status = 429, response = RateLimited),
    ),
)]
pub(super) async fn connect(
    worker: web::Data<Rc<Worker>>,
    request: HttpRequest,
) -> Result<HttpResponse, Throttled> {
    if worker.is_draining() {
        return Err(Error::unavailable("this gateway is draining; connect again").into());
    }
    let address = worker.edge.connect(&request)?;
    let mut handshake = ws::handshake(request.head()).map_err(|_| not_a_handshake())?;
    let first = subscription_of(request.query_string(), &worker.config.limits);
    let accepted = Accepted { worker: Rc::clone(&worker), address, first };
    let handover = request.conn_data::<Handover>();
    if !handover.is_some_and(|handover| handover.accept(accepted)) {
        return Err(not_a_handshake().into());
    }
    if offers_version_1(request.headers()) {
        handshake.insert_header((header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL));
    }
    Ok(HttpResponse::from(handshake.finish()).map_into_boxed_body())
}

/// Whether the client has version 1 among the subprotocols that it knows. One that knows others only is answered
/// without any, and sees by that that none of them is spoken here (RFC 6455, 4.2.2).
fn offers_version_1(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|offered| offered.trim() == SUBPROTOCOL)
}

fn not_a_handshake() -> Error {
    let message = "this path takes WebSocket handshakes only (RFC 6455)";
    Error::new(ErrorCode::BadRequest, message)
}

/// A connection that becomes a WebSocket as soon as its client knows.
pub(super) struct Accepted {
    worker: Rc<Worker>,
    address: SocketOfAddress,
    first: Option<Result<Subscribe, Error>>,
}

impl Accepted {
    /// Talks to the client from now on. Some of what it said may have been `read` already.
    pub(super) fn start(self, stream: TcpStream, place: Place, read: &[u8]) {
        let (reader, writer) = stream.into_split();
        let incoming = Incoming::new(reader, read, self.worker.config.limits.frame_bytes);
        let registered = self.worker.sockets.register(writer);
        if self.worker.is_draining() {
            // Since it was accepted: whoever drains has not seen it.
            registered.close(Closing::Draining);
        }
        let connection = Connection::new(self.worker, registered, self.address);
        let first = self.first;
        rt::spawn(async move {
            connection.run(incoming, first).await;
            drop(place);
        });
    }
}

/// The subscription that a query asks for, if it names a channel. What is wrong with it is told by
/// an error frame, because a browser does not see why a handshake fails.
///
/// # Errors
/// The first field that is missing or breaks a rule.
#[must_use]
pub fn subscription_of(query: &str, limits: &Limits) -> Option<Result<Subscribe, Error>> {
    if query.is_empty() {
        return None;
    }
    let query = match web::Query::<Query>::from_query(query) {
        Ok(query) => query.into_inner(),
        Err(error) => {
            let message = format!("the query does not fit: {error}");
            return Some(Err(Error::new(ErrorCode::BadRequest, message)));
        }
    };
    let channel = query.channel?;
    let subscribe = || {
        let secret = query.secret.as_ref().map(Secret::expose);
        let token = query.token.as_ref().map(Secret::expose);
        Ok(Subscribe {
            id: None,
            channel: limits.parse_channel("channel", &channel)?,
            credentials: Credentials::parse(query.uid.as_deref(), secret, token, limits)?,
            window: Window::parse(query.last_seq, query.since.map(Since::Seconds))?,
            limit: page_limit(query.limit)?,
        })
    };
    Some(subscribe())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn version_1_is_found_among_what_a_client_offers() {
        let offers = |lists: &[&str]| {
            let request = lists.iter().fold(TestRequest::default(), |request, list| {
                request.append_header((header::SEC_WEBSOCKET_PROTOCOL, *list))
            });
            offers_version_1(request.to_http_request().headers())
        };
        for lists in [&["goch.v1"][..], &["goch.v2,goch.v1"], &["a", "b , goch.v1"]] {
            assert!(offers(lists), "{lists:?}");
        }
        for lists in [&[][..], &[""], &["goch.v10"], &["GOCH.V1"], &["goch.v2, chat"]] {
            assert!(!offers(lists), "{lists:?}");
        }
    }
}
