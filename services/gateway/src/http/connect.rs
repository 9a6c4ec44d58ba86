//! `GET /connect`: from HTTP to a WebSocket.

use std::rc::Rc;

use actix_http::ws;
use actix_web::{HttpRequest, HttpResponse, rt, web};
use goch_contract::{
    Error, ErrorCode, Secret,
    frame::{Credentials, Subscribe},
    limits::{Limits, page_limit},
    services::history::Window,
};
use serde::Deserialize;

use crate::{
    edge::Throttled,
    socket::{Connection, incoming::Incoming, outbox::OutboxBody, peer::Peer},
    worker::Worker,
};

/// Subscribes at once. Frames are preferred, so that no secret stands in a URL.
#[derive(Deserialize)]
struct Query {
    channel: Option<String>,
    uid: Option<String>,
    secret: Option<Secret>,
    token: Option<Secret>,
    since: Option<u64>,
    last_seq: Option<u64>,
    limit: Option<u64>,
}

/// Upgrades the connection.
pub(super) async fn connect(
    worker: web::Data<Rc<Worker>>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse<OutboxBody>, Throttled> {
    if worker.is_draining() {
        return Err(Error::unavailable("this gateway is draining; connect again").into());
    }
    let address = worker.edge.connect(&request)?;
    let mut handshake = ws::handshake(request.head()).map_err(|_| {
        let message = "this path takes WebSocket handshakes only (RFC 6455)";
        Error::new(ErrorCode::BadRequest, message)
    })?;
    let worker = Rc::clone(&worker);
    let incoming = Incoming::new(payload, worker.config.limits.frame_bytes);
    let first = subscription_of(request.query_string(), &worker.config.limits);
    let registered = worker.sockets.register();
    let outbox = Rc::clone(&registered.watched().outbox);
    let peer = request.conn_data::<Peer>().copied();
    rt::spawn(Connection::new(worker, registered, address, peer).run(incoming, first));
    Ok(HttpResponse::from(handshake.finish()).map_body(|_, _| OutboxBody::new(outbox)))
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
            window: Window::parse(query.last_seq, query.since)?,
            limit: page_limit(query.limit)?,
        })
    };
    Some(subscribe())
}
