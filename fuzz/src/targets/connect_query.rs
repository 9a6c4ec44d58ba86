//! The query of `GET /connect`.

use goch_contract::limits::Limits;

use super::{check_refusal, check_subscribe};

pub(crate) fn run(input: &[u8]) {
    let Ok(query) = std::str::from_utf8(input) else { return };
    let limits = Limits::default();
    match gateway::untrusted::subscription_of(query, &limits) {
        Some(Ok(subscribe)) => check_subscribe(&subscribe, &limits),
        Some(Err(error)) => check_refusal(&error),
        None => {}
    }
}
