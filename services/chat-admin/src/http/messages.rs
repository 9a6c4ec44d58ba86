//! `GET /v1/admin/channels/{name}/messages`: a page of the channel.

use actix_web::{HttpResponse, web};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, ErrorCode, Seq,
    limits::page_limit,
    rest::MessagesBody,
    schemas::problems::NotFound,
    services::{
        broker::LogPage,
        history::{Page, PageRequest, Since, Window},
    },
};
use serde::Deserialize;

use super::{Permitted, Read, channels::positioned};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// The page has the latest events before this `seq`. Excludes `after` and `since`.
    #[param(nullable = false)]
    before: Option<u64>,
    /// The page has the first events after this `seq`. Excludes `since`.
    #[param(nullable = false)]
    after: Option<u64>,
    /// The page has the first events since this moment, in Unix milliseconds.
    #[param(minimum = 100_000_000_000_u64, maximum = 253_402_300_799_999_u64, nullable = false)]
    since: Option<u64>,
    /// The most events of the page; 100 if left out.
    #[param(minimum = 1, maximum = 500, default = 100, nullable = false)]
    limit: Option<u64>,
}

impl Query {
    fn window(&self) -> Result<Window, Error> {
        let window = Window::parse(self.after, self.since.map(Since::Millis))?;
        match self.before {
            None => Ok(window),
            Some(before) if matches!(window, Window::Latest) => Ok(Window::Before(Seq(before))),
            Some(_) => {
                let message = "before excludes after and since";
                Err(Error::bad_request("before", message))
            }
        }
    }
}

/// Answers with a page of events.
#[utoipa::path(
    get,
    path = "/channels/{name}/messages",
    operation_id = "list_messages",
    tag = "messages",
    params(("name" = ChannelName, Path, description = "The channel."), Query),
    responses(
        (status = 200, description = "A page of events, rising by `seq`.", body = MessagesBody),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn messages(
    desk: Permitted<Read>,
    name: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Refusal> {
    let window = query.window()?;
    let limit = page_limit(query.limit)?;
    let (channel, _) = desk.channel(&name).await?;
    let request = PageRequest {
        channel: channel.clone(),
        window,
        limit,
        fresh: true,
        revised_through: Seq(0),
    };
    let page = match desk.services.call(&request).await {
        Ok(page) => page,
        // Slower, but the log has it all.
        Err(error) if error.code == ErrorCode::Unavailable => {
            desk.services.call(&LogPage::shown(channel.clone(), window, limit)).await?
        }
        Err(error) => return Err(error.into()),
    };
    let Page { events, more } = page;
    let messages = events.iter().filter_map(positioned).collect();
    Ok(HttpResponse::Ok().json(MessagesBody { channel, messages, more }))
}

#[cfg(test)]
mod tests {
    use goch_contract::UnixMillis;

    use super::*;

    fn window(query: &str) -> Result<Window, Error> {
        web::Query::<Query>::from_query(query).unwrap().window()
    }

    #[test]
    fn a_request_names_one_window() {
        assert_eq!(window("").unwrap(), Window::Latest);
        assert_eq!(window("before=7").unwrap(), Window::Before(Seq(7)));
        assert_eq!(window("after=7").unwrap(), Window::After(Seq(7)));
        let since = Window::Since(UnixMillis(1_700_000_000_123));
        assert_eq!(window("since=1700000000123").unwrap(), since);
        assert_eq!(window("since=1700000000").unwrap_err().field.as_deref(), Some("since"));
        for several in ["before=7&after=1", "before=7&since=1700000000000", "after=7&since=1"] {
            assert_eq!(window(several).unwrap_err().code, ErrorCode::BadRequest);
        }
    }
}
