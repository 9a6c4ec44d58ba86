//! `revisions`: what has become of a message?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::broker::Revisions;

use crate::replay::Replay;

pub(super) async fn serve(endpoints: &Endpoints, replay: Replay) -> Result<(), StartError> {
    let answer = move |request: Revisions| {
        let replay = replay.clone();
        async move { replay.revised(&request).await }
    };
    endpoints.serve(answer).await
}
