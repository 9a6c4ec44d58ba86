//! What a long run is told by the environment.

use std::{env, str::FromStr};

/// The number in an environment variable; nothing if that is unset or empty.
///
/// # Panics
/// When it is not a number.
pub(crate) fn number<T: FromStr>(variable: &str) -> Option<T> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty())?;
    let parsed = value.parse().ok();
    assert!(parsed.is_some(), "{variable} must be a number, and is {value}");
    parsed
}
