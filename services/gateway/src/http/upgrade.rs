//! Hands a connection over from the HTTP server to a [`Connection`](crate::socket::Connection).
//!
//! The server lets go of a connection whose client asks for a WebSocket. Its request is answered by
//! the same routes as any other. If a route accepts it, the socket is the gateway's own from then on,
//! without the server's buffers and without a task of the server between the kernel and a message;
//! otherwise the answer is the connection's last.

use std::{cell::RefCell, io, rc::Rc};

use actix_codec::Framed;
use actix_http::{
    ConnectionType, Request,
    body::{BodySize, MessageBody, to_bytes},
    h1::{Codec, Message},
};
use actix_web::{Error, HttpResponse, dev::ServiceResponse};
use futures_util::SinkExt as _;
use goch_chassis::http::Guarded;

use super::connect::Accepted;

/// Where a route leaves what it accepted. Each connection has one among its data.
#[derive(Clone, Default)]
pub(crate) struct Handover(Rc<RefCell<State>>);

#[derive(Default)]
enum State {
    /// The server keeps the connection.
    #[default]
    Kept,
    /// The server has let go of it.
    Offered,
    Accepted(Accepted),
}

impl Handover {
    /// Says that the server has let go of the connection of `request`.
    pub(crate) fn offer(request: &Request) -> Self {
        let handover = request.conn_data::<Self>().cloned().unwrap_or_default();
        handover.0.replace(State::Offered);
        handover
    }

    /// Accepts the connection. Tells whether the server has let go of it.
    pub(super) fn accept(&self, accepted: Accepted) -> bool {
        let mut state = self.0.borrow_mut();
        let is_offered = matches!(*state, State::Offered);
        if is_offered {
            *state = State::Accepted(accepted);
        }
        is_offered
    }
}

/// Sends the answer of a route, and has the connection taken over if the route accepted it.
pub(crate) async fn answer<B: MessageBody + 'static>(
    handover: Handover,
    framed: Framed<Guarded, Codec>,
    answer: impl Future<Output = Result<ServiceResponse<B>, Error>>,
) -> Result<(), Error> {
    let (_, response) = answer.await?.into_parts();
    let sent = match handover.0.take() {
        State::Accepted(accepted) => take_over(framed, response, accepted).await,
        State::Kept | State::Offered => refuse(framed, response).await,
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "a client has gone before it was answered");
    }
    Ok(())
}

async fn take_over<B>(
    mut framed: Framed<Guarded, Codec>,
    response: HttpResponse<B>,
    accepted: Accepted,
) -> io::Result<()> {
    framed.send(Message::Item((response.drop_body().into(), BodySize::None))).await?;
    let parts = framed.into_parts();
    let (stream, place) = parts.io.into_parts();
    accepted.start(stream, place, &parts.read_buf);
    Ok(())
}

async fn refuse<B: MessageBody + 'static>(
    mut framed: Framed<Guarded, Codec>,
    response: HttpResponse<B>,
) -> io::Result<()> {
    let (mut response, body) = response.into_parts();
    let body = to_bytes(body).await.unwrap_or_default();
    response.head_mut().set_connection_type(ConnectionType::Close);
    let size = BodySize::Sized(body.len().try_into().unwrap_or(u64::MAX));
    framed.send(Message::Item((response.into(), size))).await?;
    framed.send(Message::Chunk(Some(body))).await?;
    framed.send(Message::Chunk(None)).await
}
