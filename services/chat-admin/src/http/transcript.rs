//! `GET /v1/admin/channels/{name}/transcript`: everything that was said, to be kept elsewhere.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{Accept, Header as _},
    web,
};
use goch_chassis::problem::Refusal;
use goch_contract::{
    ChannelName, Error, Seq, UnixMillis,
    event::{Event, Joined, Logged, Message, Updated},
    limits::PAGE_MAX,
    rest::TranscriptBody,
    schemas::problems::NotFound,
    services::{broker::LogPage, history::Window},
};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Permitted, Read,
    paged::{self, Frame, Page},
};
use crate::record::{ChannelRecord, MemberRecord};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Query {
    /// `json` or `text`. If it is left out, the header `Accept` decides.
    #[param(pattern = "^(json|text)$", nullable = false)]
    format: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Text,
}

/// Answers with the whole channel, as JSON or as plain text.
#[utoipa::path(
    get,
    path = "/channels/{name}/transcript",
    tag = "messages",
    params(("name" = ChannelName, Path, description = "The channel."), Query),
    responses(
        (status = 200, description = "The whole channel. An answer that ends without its end is not whole.", content(
            (TranscriptBody = "application/json"),
            (String = "text/plain", example = json!("Channel ticket-42, created 2023-11-14T22:13:20Z\n\n2023-11-14T22:13:20Z  Ann (ann): Hello\n")),
        )),
        (status = 404, response = NotFound),
    ),
)]
pub(super) async fn transcript(
    desk: Permitted<Read>,
    request: HttpRequest,
    name: web::Path<String>,
    query: web::Query<Query>,
) -> Result<HttpResponse, Refusal> {
    let format = Format::wanted(query.format.as_deref(), &request)?;
    let (channel, record) = desk.channel(&name).await?;
    let members = desk.registry.all_members(&channel).await?;
    let frame = format.frame(&record, members);
    let services = desk.services.clone();
    let read = move |after: Seq| {
        let services = services.clone();
        let page = LogPage::shown(channel.clone(), Window::After(after), PAGE_MAX);
        async move {
            let page = services.call(&page).await?;
            let items = page.events.iter().filter_map(|logged| format.item(logged)).collect();
            let last = page.events.last().map(|logged| logged.seq);
            Ok::<_, Error>(Page { items, next: last.filter(|_| page.more) })
        }
    };
    paged::answer(frame, read).await
}

impl Format {
    /// What the query or the header `Accept` asks for; JSON if neither does.
    fn wanted(format: Option<&str>, request: &HttpRequest) -> Result<Self, Error> {
        match format {
            Some("json") => return Ok(Self::Json),
            Some("text") => return Ok(Self::Text),
            Some(_) => return Err(Error::bad_request("format", "format must be json or text")),
            None => {}
        }
        let accepted = Accept::parse(request).map(|accept| accept.ranked()).unwrap_or_default();
        let first = accepted.iter().find_map(|mime| match mime.essence_str() {
            "text/plain" | "text/*" => Some(Self::Text),
            "application/json" | "application/*" | "*/*" => Some(Self::Json),
            _ => None,
        });
        Ok(first.unwrap_or(Self::Json))
    }

    fn frame(self, channel: &ChannelRecord, members: Vec<MemberRecord>) -> Frame {
        match self {
            Self::Json => {
                let members = members.into_iter().map(MemberRecord::into_admin).collect();
                paged::json(&TranscriptBody {
                    channel: channel.name.clone(),
                    created_at: channel.created_at,
                    closed_at: channel.closed_at,
                    members,
                    events: Vec::new(),
                })
            }
            Self::Text => Frame {
                content_type: "text/plain; charset=utf-8",
                head: text_head(&channel.name, channel.created_at),
                between: "",
                tail: "",
            },
        }
    }

    fn item(self, logged: &Logged) -> Option<String> {
        match self {
            Self::Json => String::from_utf8(logged.for_ticketing().ok()?).ok(),
            Self::Text => text_line(logged),
        }
    }
}

fn text_head(channel: &ChannelName, created_at: UnixMillis) -> String {
    format!("Channel {channel}, created {}\n\n", moment(created_at))
}

/// An event as a line; a text of several lines goes on indented, so that nobody can write a line
/// that looks like somebody else's. Events of types that are not known here are left out.
fn text_line(logged: &Logged) -> Option<String> {
    let (time, line) = match serde_json::from_str(logged.event.get()).ok()? {
        Event::Message(message) => {
            let text = message.text.replace("\r\n", "\n").replace(is_line_break, "\n    ");
            let edited = if message.edited_at.is_some() { " (edited)" } else { "" };
            let Message { from_name, from_uid, from_role, .. } = &message;
            let who = format!("{from_name} ({from_uid}, {from_role})");
            (message.time, format!("{who}: {text}{edited}"))
        }
        // The message itself says what it was edited to.
        Event::Edited(_) => return None,
        Event::Deleted(deleted) => (deleted.time, format!("* {} deleted a message", deleted.uid)),
        Event::Joined(joined) => {
            let Joined { display_name, uid, role, .. } = &joined;
            (joined.time, format!("* {display_name} ({uid}, {role}) joined"))
        }
        Event::Updated(updated) => {
            let Updated { display_name, uid, role, .. } = &updated;
            (updated.time, format!("* {uid} is now {display_name}, {role}"))
        }
        Event::Left(left) => (left.time, format!("* {} left", left.uid)),
        Event::Created(turned) => (turned.time, "* the channel was created".to_owned()),
        Event::Closed(turned) => (turned.time, "* the channel was closed".to_owned()),
        Event::Reopened(turned) => (turned.time, "* the channel was reopened".to_owned()),
    };
    Some(format!("{}  {line}\n", moment(time)))
}

/// Whatever a program may show as a new line (Unicode, 5.8).
fn is_line_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A moment to the second, in UTC.
fn moment(time: UnixMillis) -> String {
    let seconds = i64::try_from(time.0 / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::value::RawValue;

    use super::*;

    fn logged(event: &str) -> Logged {
        let event = RawValue::from_string(event.to_owned()).unwrap();
        Logged::new(Seq(7), Seq(0), event)
    }

    #[test]
    fn the_query_decides_and_then_the_header() {
        let wanted = |format, accept| {
            let request =
                TestRequest::default().insert_header(("accept", accept)).to_http_request();
            Format::wanted(format, &request)
        };
        assert_eq!(wanted(None, "*/*").unwrap(), Format::Json);
        assert_eq!(wanted(None, "text/plain").unwrap(), Format::Text);
        assert_eq!(wanted(None, "text/plain;q=0.5, application/json").unwrap(), Format::Json);
        assert_eq!(wanted(Some("text"), "application/json").unwrap(), Format::Text);
        assert!(wanted(Some("pdf"), "*/*").is_err());
    }

    #[test]
    fn nobody_can_write_a_line_that_looks_like_anothers() {
        let event = r#"{"type":"message","channel":"c","time":1700000000123,"id":"m1",
            "from_uid":"ann","from_name":"Ann","text":"Hi\n2023-11-14T22:13:20Z  Bob (bob): ok"}"#;
        assert_eq!(
            text_line(&logged(event)).unwrap(),
            "2023-11-14T22:13:20Z  Ann (ann, guest): Hi\n    2023-11-14T22:13:20Z  Bob (bob): ok\n"
        );
    }

    #[test]
    fn an_event_of_a_newer_type_is_no_line() {
        assert_eq!(text_line(&logged(r#"{"type":"pinned","channel":"c","time":5}"#)), None);
    }
}
