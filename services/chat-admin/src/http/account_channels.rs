//! `GET /v1/admin/accounts/{uid}/channels`: the channels of an account, with what is unread there.

use actix_web::{HttpResponse, web};
use futures_util::{StreamExt as _, stream};
use goch_chassis::problem::Refusal;
use goch_contract::{
    PersonKind, Uid,
    rest::{AccountChannel, AccountChannelsBody},
    services::history::LastMessages,
};

use super::{Asked, Desk, Permitted, Read, channels, channels::last_message, member::unread};
use crate::record::{ChannelRecord, MemberRecord};

/// Counts that are asked for at the same time.
const COUNTS_AT_A_TIME: usize = 16;

/// Answers with a page of an account's channels.
///
/// An account is known by a token, or because ticketing has put it in: whoever joined a channel with its secret is
/// somebody in that channel alone, and has no list.
#[utoipa::path(
    get,
    path = "/accounts/{uid}/channels",
    operation_id = "list_account_channels",
    tag = "members",
    params(("uid" = Uid, Path, description = "The account."), channels::Query, Asked),
    responses(
        (status = 200, description = "A page, by name; an empty one of whoever is in no channel.", body = AccountChannelsBody),
    ),
)]
pub(super) async fn account_channels(
    desk: Permitted<Read>,
    uid: web::Path<String>,
    query: web::Query<channels::Query>,
    asked: web::Query<Asked>,
) -> Result<HttpResponse, Refusal> {
    let account = desk.account(&uid, &asked)?;
    let (after, limit) = query.page(&desk.limits)?;
    let page = desk.registry.memberships(&account, after.as_ref(), limit).await?;
    let channels = describe(&desk, &account.uid, page.memberships).await;
    Ok(HttpResponse::Ok().json(AccountChannelsBody { channels, more: page.more }))
}

/// Channels with their last messages, all asked for at once, and the counts, each by itself. What cannot be told is
/// left out.
async fn describe(
    desk: &Desk,
    uid: &Uid,
    memberships: Vec<(ChannelRecord, MemberRecord)>,
) -> Vec<AccountChannel> {
    if memberships.is_empty() {
        return Vec::new();
    }
    let names: Vec<_> = memberships.iter().map(|(channel, _)| channel.name.clone()).collect();
    let counts =
        names.iter().cloned().map(|name| unread(desk, name, uid.clone(), PersonKind::Account));
    let counts = stream::iter(counts.collect::<Vec<_>>()).buffered(COUNTS_AT_A_TIME).collect();
    let last = LastMessages { channels: names, fresh: true };
    let (counts, last): (Vec<_>, _) = tokio::join!(counts, desk.services.call(&last));
    if let Some(error) =
        last.as_ref().err().or_else(|| counts.iter().find_map(|it| it.as_ref().err()))
    {
        tracing::debug!(%error, "last messages or counts are left out");
    }
    let mut last = last.ok().map(Vec::into_iter);
    let described =
        memberships.into_iter().zip(counts).map(|((channel, member), unread)| AccountChannel {
            name: channel.name,
            role: member.role,
            joined_at: member.joined_at,
            closed_at: channel.closed_at,
            unread: unread.ok(),
            last_message: last.as_mut().and_then(Iterator::next).and_then(last_message),
        });
    described.collect()
}
