//! `erase`: a person's events must go.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::{
    Error,
    services::broker::{ERASE_MAX, Erase},
};

use crate::eraser::Eraser;

pub(super) async fn serve(endpoints: &Endpoints, eraser: Eraser) -> Result<(), StartError> {
    let answer = move |request: Erase| {
        let eraser = eraser.clone();
        async move {
            if request.events.len() > ERASE_MAX {
                let reason = format!("at most {ERASE_MAX} events can be erased at once");
                return Err(Error::bad_request("events", reason));
            }
            eraser.erase(&request.person, request.events).await
        }
    };
    endpoints.serve(answer).await
}
