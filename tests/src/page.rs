//! Reading pages of events.

use serde_json::Value;

/// The events of a `subscribed`, a `history`, or a page over REST.
///
/// # Panics
/// When it is none of these.
#[must_use]
pub fn events(page: &Value) -> &[Value] {
    page["messages"].as_array().expect("a page has messages")
}

/// The texts of a page's messages.
///
/// # Panics
/// When it is not a page.
#[must_use]
pub fn texts(page: &Value) -> Vec<&str> {
    events(page).iter().filter_map(|event| event["text"].as_str()).collect()
}

/// The numbers that messages say.
///
/// # Panics
/// When one says something else.
#[must_use]
pub fn numbers(events: &[Value]) -> Vec<u64> {
    let texts = events.iter().filter_map(|event| event["text"].as_str());
    texts.map(|text| text.parse().expect("a number")).collect()
}
