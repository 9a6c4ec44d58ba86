//! Names of channels and people where they cannot stand as they are.

use goch_contract::ChannelName;
use reqwest::Url;

/// A name as it stands in an address, in the path and in the query.
///
/// # Panics
/// For `.` and `..`, which cannot.
#[must_use]
pub fn segment(name: &str) -> String {
    let mut url = Url::parse("http://localhost").unwrap();
    url.path_segments_mut().unwrap().clear().push(name);
    let segment = url.path().trim_start_matches('/');
    assert!(!segment.is_empty(), "{name} is left out of addresses");
    segment.replace('&', "%26").replace('+', "%2B").replace('=', "%3D")
}

/// A name as it stands in subjects and keys.
///
/// # Panics
/// For what is no name.
#[must_use]
pub fn token(name: &str) -> String {
    ChannelName::parse(name).unwrap().token().into_owned()
}

/// Where the members of a channel are, on the public face.
///
/// # Panics
/// As [`segment`].
#[must_use]
pub fn members_path(channel: &str) -> String {
    format!("/v1/channels/{}/members", segment(channel))
}
