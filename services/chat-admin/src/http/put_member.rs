//! `PUT /v1/admin/channels/{name}/members/{uid}`: ticketing puts somebody into a channel, or changes a
//! member.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, Roles, Secret, Uid,
    limits::Limits,
    rest::{PutMemberAnswer, PutMemberBody},
    schemas::problems::{Conflict, NotFound},
};

use super::{LoggedIn, Permitted, Write};
use crate::{memberships::Put, record::MemberUpdate};

/// Puts somebody in: 201 with a secret; or changes a member: 200 without.
#[utoipa::path(
    put,
    path = "/channels/{name}/members/{uid}",
    tag = "members",
    params(("name" = ChannelName, Path, description = "The channel."), ("uid" = Uid, Path, description = "The member.")),
    request_body(content = PutMemberBody, example = json!({
        "display_name": "Bea",
        "email": "bea@example.org",
        "role": "agent",
    })),
    responses(
        (status = 200, description = "The member, changed or as before.", body = PutMemberAnswer),
        (status = 201, description = "A new member. Keep the secret: it is not shown again.", body = PutMemberAnswer),
        (status = 404, response = NotFound),
        (status = 409, response = Conflict),
    ),
)]
pub(super) async fn put_member(
    desk: Permitted<Write>,
    LoggedIn(actor): LoggedIn,
    path: web::Path<(String, String)>,
    body: web::Json<PutMemberBody>,
) -> Result<HttpResponse, Refusal> {
    let (update, made) = check(body.into_inner(), &desk.limits, &desk.roles)?;
    let (channel, uid) = desk.channel_and_uid(path).await?;
    let Put { record, secret, is_new } =
        desk.memberships.put(&channel, &uid, update, made, &actor).await?;
    let mut response = if is_new { HttpResponse::Created() } else { HttpResponse::Ok() };
    let member = record.into_admin();
    Ok(response.json(PutMemberAnswer { channel, member, secret }))
}

/// What is to become of the member, and the secret for a new one, if ticketing has made it.
fn check(
    body: PutMemberBody,
    limits: &Limits,
    roles: &Roles,
) -> Result<(MemberUpdate, Option<Secret>), Error> {
    limits.check_person(&body.display_name, body.email.as_deref())?;
    let role = body.role.map(|role| roles.find_of_member("role", &role)).transpose()?;
    let made = body.secret.as_deref();
    let made = made.map(|it| Limits::parse_made_secret("secret", it)).transpose()?;
    let display_name = Some(body.display_name);
    Ok((MemberUpdate { display_name, email: body.email, role, origin: None }, made))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(body: Value) -> Result<MemberUpdate, Error> {
        let body = serde_json::from_value(body).unwrap();
        super::check(body, &Limits::default(), &Roles::default()).map(|(update, _)| update)
    }

    #[test]
    fn what_is_left_out_stays() {
        let update = check(json!({"display_name": "Bea"})).unwrap();
        assert_eq!((update.email, update.role), (None, None));
        let update = check(json!({"display_name": "Bea", "email": "", "role": "agent"})).unwrap();
        assert_eq!(update.email.as_deref(), Some(""));
        assert_eq!(update.role.unwrap().as_str(), "agent");
    }

    #[test]
    fn each_fault_names_its_field() {
        for (field, value) in [
            ("display_name", json!(" ")),
            ("email", json!("nobody")),
            ("role", json!("boss")),
            ("role", json!("")),
            ("secret", json!("short")),
        ] {
            let mut body = json!({"display_name": "Bea"});
            body[field] = value;
            assert_eq!(check(body).unwrap_err().field.as_deref(), Some(field));
        }
    }
}
