//! Answers that are written page by page as the log is read, so that their size is no matter.

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::stream;
use goch_chassis::problem::Refusal;
use goch_contract::{Error, Seq};
use serde::Serialize;

/// How a JSON object ends that ends with a list.
const JSON_TAIL: &str = "]}";

const JSON: &str = "application/json";

/// A part of an answer.
pub(super) struct Page {
    pub(super) items: Vec<String>,
    /// After which sequence to go on; none for the last page.
    pub(super) next: Option<Seq>,
}

/// What stands around the items of an answer.
pub(super) struct Frame {
    pub(super) content_type: &'static str,
    pub(super) head: String,
    pub(super) between: &'static str,
    pub(super) tail: &'static str,
}

/// The frame of a JSON object whose last field, `events`, is still empty: the items go there.
pub(super) fn json(body: &impl Serialize) -> Frame {
    // Strings and integers only: serialization has no way to fail.
    let mut head = serde_json::to_string(body).unwrap_or_default();
    head.truncate(head.len().saturating_sub(JSON_TAIL.len()));
    Frame { content_type: JSON, head, between: ",", tail: JSON_TAIL }
}

/// How far an answer is.
enum State {
    /// Its beginning, with the first page.
    Begin(Page),
    /// The page after this sequence comes next. Whether an item has been written.
    Read(Seq, bool),
    End,
}

/// Answers with all pages. The first one is read before the first byte is written, so that a failure
/// can still be told as one; a later one breaks the answer off, so that it cannot be taken for whole.
pub(super) async fn answer<P, F>(frame: Frame, read: P) -> Result<HttpResponse, Refusal>
where
    P: Fn(Seq) -> F + Clone + 'static,
    F: Future<Output = Result<Page, Error>> + 'static,
{
    let first = read(Seq(0)).await?;
    let Frame { content_type, head, between, tail } = frame;
    let body = stream::try_unfold(State::Begin(first), move |state| {
        let (read, head) = (read.clone(), head.clone());
        async move {
            let (mut text, page, has_items) = match state {
                State::Begin(page) => (head, page, false),
                State::Read(after, has_items) => (String::new(), read(after).await?, has_items),
                State::End => return Ok::<_, Refusal>(None),
            };
            let has_items = append(&mut text, &page.items, between, has_items);
            let state = page.next.map_or(State::End, |after| State::Read(after, has_items));
            if matches!(state, State::End) {
                text.push_str(tail);
            } else if text.is_empty() && content_type == JSON {
                // A long log may have nothing of somebody: who waits for it hears that it goes on.
                text.push('\n');
            }
            Ok(Some((Bytes::from(text), state)))
        }
    });
    Ok(HttpResponse::Ok().content_type(content_type).streaming(body))
}

/// Appends items; tells whether any has been written by now.
fn append(text: &mut String, items: &[String], between: &str, mut has_items: bool) -> bool {
    for item in items {
        if has_items {
            text.push_str(between);
        }
        text.push_str(item);
        has_items = true;
    }
    has_items
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn pages_become_one_list_whichever_of_them_are_empty() {
        let frame = Frame { content_type: JSON, head: "[".to_owned(), between: ",", tail: "]" };
        let read = |after: Seq| async move {
            let items: &[&str] = match after.0 {
                0 | 2 => &[],
                1 => &["1", "2"],
                _ => &["3"],
            };
            let items = items.iter().map(|item| (*item).to_owned()).collect();
            Ok(Page { items, next: (after.0 < 3).then_some(Seq(after.0 + 1)) })
        };
        let response = answer(frame, read).await.unwrap_or_else(|_| panic!("refused"));
        // A page without items is white space.
        assert_eq!(to_bytes(response.into_body()).await.unwrap(), "[1,2\n,3]");
    }
}
