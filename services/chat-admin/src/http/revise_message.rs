//! `PATCH` and `DELETE /v1/admin/channels/{name}/messages/{seq}`: a message, whoever said it.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, MessageId, Seq, Uid,
    ids::random_hex,
    limits::Limits,
    rest::{EditMessageBody, PostedMessageBody},
    schemas::problems::{Conflict, NotFound},
};
use serde::Deserialize;

use super::{LoggedIn, Permitted, Write, post_message::SYSTEM, progress};
use crate::lifecycle::{Deletion, Edit, Right};

/// Random bytes of an edit's or a deletion's id, if the request has none.
const ID_BYTES: usize = 16;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// The idempotency key, recognised for as long as the deletion's event is in the log; a random one if it is left
    /// out.
    #[param(value_type = Option<MessageId>, nullable = false)]
    id: Option<String>,
    /// Who deletes it; `system` if it is left out.
    #[param(value_type = Option<Uid>, nullable = false)]
    uid: Option<String>,
}

/// Changes what a message says.
#[utoipa::path(
    patch,
    path = "/channels/{name}/messages/{seq}",
    operation_id = "edit_message",
    tag = "messages",
    params(
        ("name" = ChannelName, Path, description = "The channel."),
        ("seq" = Seq, Path, description = "The message."),
    ),
    request_body(content = EditMessageBody, example = json!({
        "text": "How can we help you?",
        "meta": {"source": "e-mail"},
        "uid": "agent-7",
        "id": "edit-1",
    })),
    responses(
        (status = 200, description = "The `edited` event is stored.", body = PostedMessageBody),
        (status = 404, response = NotFound),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn edit(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    path: web::Path<(String, u64)>,
    body: web::Json<EditMessageBody>,
) -> Result<HttpResponse, Refusal> {
    let (name, seq) = path.into_inner();
    let EditMessageBody { id, uid, text, meta } = body.into_inner();
    let channel = desk.name(&name)?;
    let (id, uid) = who(id, uid.as_deref(), &desk.limits)?;
    desk.limits.check_text(&text)?;
    meta.as_ref().map_or(Ok(()), |meta| desk.limits.check_meta(meta))?;
    let (message, actor) = (Seq(seq), Some(actor));
    let edit = Edit { channel, message, uid, id: id.clone(), text, meta, actor };
    let edited = desk.lifecycle.edit(edit, Right::Any).await?;
    let (seq, time, duplicate) = (edited.seq, edited.time, edited.duplicate);
    Ok(HttpResponse::Ok().json(PostedMessageBody { id, seq, time, duplicate }))
}

/// Deletes a message: 204 when its text is nowhere any more, 202 while it still goes.
#[utoipa::path(
    delete,
    path = "/channels/{name}/messages/{seq}",
    operation_id = "delete_message",
    tag = "messages",
    params(
        ("name" = ChannelName, Path, description = "The channel."),
        ("seq" = Seq, Path, description = "The message."),
        Query,
    ),
    responses(
        (status = 202, description = "Some of it still goes; it is certain to be finished."),
        (status = 204, description = "The text is nowhere any more."),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn delete(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    path: web::Path<(String, u64)>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Refusal> {
    let (name, seq) = path.into_inner();
    let Query { id, uid } = query.into_inner();
    let channel = desk.name(&name)?;
    let (id, uid) = who(id, uid.as_deref(), &desk.limits)?;
    let deletion = Deletion { channel, message: Seq(seq), uid, id, actor: Some(actor) };
    Ok(progress(desk.lifecycle.delete_message(deletion, Right::Any).await?))
}

fn who(id: Option<String>, uid: Option<&str>, limits: &Limits) -> Result<(MessageId, Uid), Error> {
    let id = id.map_or_else(random_hex::<ID_BYTES>, Ok)?;
    let uid = limits.parse_uid("uid", uid.unwrap_or(SYSTEM))?;
    Ok((Limits::parse_message_id("id", &id)?, uid))
}
