//! Requests and answers between services.

use goch_contract::{
    Error,
    services::{
        ServiceRequest,
        admin::{Authorize, Enrol, Members, Register, Revise, Verify},
        broker::{Catchup, Count, EraseMessage, LogPage, Revisions, Tails},
        history::{LastMessages, PageRequest, Read, Unread},
    },
};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) fn run(input: &[u8]) {
    check::<Authorize>(input);
    check::<Enrol>(input);
    check::<Verify>(input);
    check::<Register>(input);
    check::<Members>(input);
    check::<Revise>(input);
    check::<Revisions>(input);
    check::<EraseMessage>(input);
    check::<Catchup>(input);
    check::<LogPage>(input);
    check::<Count>(input);
    check::<Tails>(input);
    check::<PageRequest>(input);
    check::<Unread>(input);
    check::<Read>(input);
    check::<LastMessages>(input);
}

fn check<R: ServiceRequest>(input: &[u8]) {
    survives::<R>(input);
    survives::<R::Response>(input);
}

/// What can be read is written the same way each time, so that no service in between changes it.
fn survives<T: Serialize + DeserializeOwned>(input: &[u8]) {
    let value = match serde_json::from_slice::<T>(input) {
        Ok(value) => value,
        Err(error) => return super::check_refusal(&Error::unreadable("the request", &error)),
    };
    let once = serde_json::to_vec(&value).unwrap_or_default();
    let again = serde_json::from_slice::<T>(&once).ok();
    let twice = again.and_then(|value| serde_json::to_vec(&value).ok());
    assert_eq!(twice, Some(once));
}
