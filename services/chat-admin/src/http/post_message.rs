//! `POST /v1/admin/channels/{name}/messages`: the system or an agent says something.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, ErrorCode, MessageId, Role, Roles, Uid, UnixMillis,
    event::{Event, Message, Sender, deduplication_id},
    ids::random_hex,
    limits::Limits,
    rest::{PostMessageBody, PostedMessageBody},
    schemas::problems::{Conflict, NotFound},
    services::broker::stored_time,
};

use super::{Desk, LoggedIn, Permitted, Write};
use crate::{log::About, record::MemberRecord};

/// Who speaks, if the request does not say.
pub(super) const SYSTEM: &str = "system";

/// Random bytes of a message's id, if the request has none.
const ID_BYTES: usize = 16;

/// Stores a message: 201, or 200 if an earlier request with the same id stored it.
#[utoipa::path(
    post,
    path = "/channels/{name}/messages",
    tag = "messages",
    params(("name" = ChannelName, Path, description = "The channel.")),
    request_body(content = PostMessageBody, example = json!({
        "text": "How can we help?",
        "from_uid": "agent-7",
        "from_name": "Bea",
        "from_role": "agent",
        "id": "reply-1",
        "meta": {"source": "e-mail"},
    })),
    responses(
        (status = 200, description = "An earlier request with the same `id` and `from_uid` had stored it.", body = PostedMessageBody),
        (status = 201, description = "The message is stored.", body = PostedMessageBody),
        (status = 404, response = NotFound),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn post_message(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    name: web::Path<String>,
    body: web::Json<PostMessageBody>,
) -> Result<HttpResponse, Refusal> {
    let checked = Checked::from_body(body.into_inner(), &desk.limits, &desk.roles)?;
    let (channel, record) = desk.channel(&name).await?;
    if record.closed_at.is_some() {
        let message = "the channel is closed: it takes no more messages, whoever sends them";
        return Err(Error::new(ErrorCode::ChannelClosed, message).into());
    }
    let Checked { id, from_uid, from_name, from_role, text, meta } = checked;
    let member = desk.speaker(&channel, &from_uid).await?;
    let (name, role) = match member {
        Some(member) => (member.display_name, member.role),
        None if from_uid.as_str() == SYSTEM => (SYSTEM.to_owned(), Role::system()),
        None => (from_uid.to_string(), Role::agent()),
    };
    let (from_name, from_role) = (from_name.unwrap_or(name), from_role.unwrap_or(role));
    let now = UnixMillis::now();
    let deduplication_id = deduplication_id(&channel, Sender::Ticketing(&from_uid), id.as_str());
    let event = Event::Message(Message {
        channel: channel.clone(),
        time: now,
        id: id.clone(),
        from_uid: from_uid.clone(),
        from_name,
        from_role,
        text,
        meta,
        edited_at: None,
    });
    let about = About::Sender(&from_uid);
    let stored = desk.log.publish(&channel, &event, deduplication_id, about, Some(&actor)).await?;
    let (seq, duplicate) = (stored.seq, stored.duplicate);
    tracing::info!(%channel, %from_uid, %seq, duplicate, %actor, "message posted");
    if duplicate {
        let time = stored_time(&desk.services, channel, seq).await?;
        return Ok(HttpResponse::Ok().json(PostedMessageBody { id, seq, time, duplicate: true }));
    }
    let posted = PostedMessageBody { id, seq, time: now, duplicate: false };
    Ok(HttpResponse::Created().json(posted))
}

impl Desk {
    /// The member of this uid, if there is one. From now on nobody can join as it: what ticketing says
    /// in somebody's name must not look like a stranger's.
    async fn speaker(
        &self,
        channel: &ChannelName,
        uid: &Uid,
    ) -> Result<Option<MemberRecord>, Error> {
        if self.rules.of_channel(channel).reserved_uids.contains(uid) {
            return self.registry.member(channel, uid).await;
        }
        self.memberships.reserve(channel, uid).await
    }
}

/// A body whose values are within the limits.
#[derive(Debug)]
struct Checked {
    id: MessageId,
    from_uid: Uid,
    from_name: Option<String>,
    from_role: Option<Role>,
    text: String,
    meta: Option<std::collections::BTreeMap<String, String>>,
}

impl Checked {
    fn from_body(body: PostMessageBody, limits: &Limits, roles: &Roles) -> Result<Self, Error> {
        let id = body.id.map_or_else(random_hex::<ID_BYTES>, Ok)?;
        let from_uid = body.from_uid.as_deref().unwrap_or(SYSTEM);
        let from_uid = limits.parse_uid("from_uid", from_uid)?;
        let from_name = body.from_name;
        from_name.as_deref().map_or(Ok(()), |name| limits.check_display_name("from_name", name))?;
        let from_role =
            body.from_role.map(|role| roles.find_of_member("from_role", &role)).transpose()?;
        limits.check_text(&body.text)?;
        body.meta.as_ref().map_or(Ok(()), |meta| limits.check_meta(meta))?;
        let id = Limits::parse_message_id("id", &id)?;
        Ok(Self { id, from_uid, from_name, from_role, text: body.text, meta: body.meta })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn check(body: Value) -> Result<Checked, Error> {
        let body = serde_json::from_value(body).unwrap();
        Checked::from_body(body, &Limits::default(), &Roles::default())
    }

    #[test]
    fn what_is_left_out_is_said_by_the_system_with_an_id_of_its_own() {
        let one = check(json!({"text": "Hello"})).unwrap();
        let other = check(json!({"text": "Hello"})).unwrap();
        assert_eq!((one.from_uid.as_str(), one.from_name), ("system", None));
        assert_ne!(one.id, other.id);
        let agent = check(json!({"text": "Hello", "from_uid": "bob", "id": "m1"})).unwrap();
        assert_eq!((agent.from_uid.as_str(), agent.id.as_str()), ("bob", "m1"));
    }

    #[test]
    fn each_fault_names_its_field() {
        for (field, value) in [
            ("id", json!("")),
            ("id", json!("a\nb")),
            ("from_uid", json!("a b")),
            ("from_name", json!(" ")),
            ("from_name", json!("a\u{7}")),
            ("from_role", json!("boss")),
            ("text", json!("")),
            ("text", json!(" \n")),
            ("text", json!("x".repeat(4_097))),
            ("meta", json!({"k": "x".repeat(4_096)})),
        ] {
            let mut body = json!({"text": "Hello"});
            body[field] = value;
            assert_eq!(check(body).unwrap_err().field.as_deref(), Some(field));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_within_the_limits(
            id in prop::option::of("\\PC{0,66}"),
            from_uid in prop::option::of("[a.-]{0,66}"),
            from_name in prop::option::of("(?s).{0,130}"),
            text in "(?s)[ a\u{e4}\n]{0,5}",
        ) {
            let limits = Limits::default();
            let body = json!({"id": id, "from_uid": from_uid, "from_name": from_name, "text": text});
            match check(body) {
                Ok(checked) => {
                    prop_assert!((1..=64).contains(&checked.id.as_str().chars().count()));
                    prop_assert!(limits.parse_uid("from_uid", checked.from_uid.as_str()).is_ok());
                    let name = checked.from_name.as_deref().unwrap_or("nobody");
                    prop_assert!((1..=128).contains(&name.chars().count()));
                    prop_assert!(!name.chars().any(char::is_control));
                    prop_assert!(!checked.text.trim().is_empty());
                }
                Err(error) => prop_assert!(error.field.is_some()),
            }
        }
    }
}
