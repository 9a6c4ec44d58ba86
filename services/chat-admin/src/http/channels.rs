//! `GET /v1/admin/channels`: a page of channels, by name.

use std::iter;

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error,
    event::Logged,
    limits::Limits,
    rest::{ChannelBody, ChannelsBody},
    services::history::{LAST_MESSAGES_MAX, LastMessages},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Permitted, Read, limit_within};
use crate::{ServiceClient, record::ChannelRecord};

/// Channels of a page, if the request does not say.
const LIMIT_DEFAULT: usize = 50;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// The page begins after this name.
    #[param(value_type = Option<ChannelName>, nullable = false)]
    after: Option<String>,
    /// The most channels of the page; 50 if left out.
    #[param(minimum = 1, maximum = 100, default = 50, nullable = false)]
    limit: Option<u64>,
}

impl Query {
    /// After which channel, and how many at most.
    ///
    /// # Errors
    /// Names the parameter and the rule it breaks.
    pub(super) fn page(&self, limits: &Limits) -> Result<(Option<ChannelName>, usize), Error> {
        let after = self.after.as_deref().filter(|after| !after.is_empty());
        let after = after.map(|after| limits.parse_channel("after", after)).transpose()?;
        Ok((after, limit(self.limit)?))
    }
}

/// Answers with a page of channels.
#[utoipa::path(
    get,
    path = "/channels",
    operation_id = "list_channels",
    tag = "channels",
    params(Query),
    responses(
        (status = 200, description = "A page, by name.", body = ChannelsBody),
    ),
)]
pub(super) async fn channels(
    desk: Permitted<Read>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Refusal> {
    Ok(HttpResponse::Ok().json(page(&desk, &query).await?))
}

/// The page that a query asks for.
///
/// # Errors
/// Names the parameter and the rule it breaks; `unavailable`.
pub(super) async fn page(desk: &Permitted<Read>, query: &Query) -> Result<ChannelsBody, Error> {
    let (after, limit) = query.page(&desk.limits)?;
    let scope = desk.rules.visible_to(desk.principal());
    let page = desk.registry.page(scope.prefix(), after.as_ref(), limit).await?;
    let names = page.channels.iter().map(|(channel, _)| channel.name.clone()).collect();
    let last = last_messages(&desk.services, names).await;
    let channels = page.channels.into_iter().zip(last);
    let channels = channels.map(|((channel, count), last)| body(channel, count, last)).collect();
    Ok(ChannelsBody { channels, more: page.more })
}

/// One channel as ticketing sees it.
///
/// # Errors
/// `unavailable`.
pub(super) async fn describe(
    desk: &super::Desk,
    channel: ChannelRecord,
) -> Result<ChannelBody, Error> {
    let member_count = desk.registry.count_members(&channel.name).await?;
    let last = last_messages(&desk.services, vec![channel.name.clone()]).await.pop();
    Ok(body(channel, member_count, last.flatten()))
}

fn body(
    channel: ChannelRecord,
    member_count: usize,
    last_message: Option<Box<RawValue>>,
) -> ChannelBody {
    ChannelBody {
        is_private: channel.is_private(),
        name: channel.name,
        created_at: channel.created_at,
        closed_at: channel.closed_at,
        member_count,
        last_message,
    }
}

fn limit(asked: Option<u64>) -> Result<usize, Error> {
    limit_within(asked, LIMIT_DEFAULT, LAST_MESSAGES_MAX)
}

/// The last messages of these channels, asked for at once. Each is none when ingest-history cannot tell: null would
/// say that there is no message.
async fn last_messages(
    services: &ServiceClient,
    channels: Vec<ChannelName>,
) -> Vec<Option<Box<RawValue>>> {
    let count = channels.len();
    if count == 0 {
        return Vec::new();
    }
    match services.call(&LastMessages { channels, fresh: true }).await {
        Ok(last) => {
            last.into_iter().map(last_message).chain(iter::repeat(None)).take(count).collect()
        }
        Err(error) => {
            tracing::debug!(%error, "last messages are left out");
            vec![None; count]
        }
    }
}

/// The message as events are shown everywhere, or JSON's null for none.
pub(super) fn last_message(logged: Option<Logged>) -> Option<Box<RawValue>> {
    let Some(logged) = logged else { return Some(RawValue::NULL.to_owned()) };
    positioned(&logged)
}

/// An event with its place in the log.
pub(super) fn positioned(logged: &Logged) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(logged.positioned().ok()?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use goch_contract::Seq;

    use super::*;

    #[test]
    fn a_page_has_1_to_100_channels() {
        assert_eq!(limit(None).unwrap(), LIMIT_DEFAULT);
        assert_eq!(limit(Some(100)).unwrap(), 100);
        for wrong in [0, 101, u64::MAX] {
            assert_eq!(limit(Some(wrong)).unwrap_err().field.as_deref(), Some("limit"));
        }
    }

    #[test]
    fn no_message_is_null_and_a_message_has_its_place() {
        assert_eq!(last_message(None).unwrap().get(), "null");
        let event = RawValue::from_string(r#"{"type":"message"}"#.to_owned()).unwrap();
        let logged = Logged::new(Seq(7), Seq(4), event);
        let expected = r#"{"type":"message","seq":7,"prev":4}"#;
        assert_eq!(last_message(Some(logged)).unwrap().get(), expected);
    }
}
