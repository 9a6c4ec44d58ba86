//! `count`: how many messages of others lie between two sequences?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::broker::Count;

use crate::replay::Replay;

pub(super) async fn serve(endpoints: &Endpoints, replay: Replay) -> Result<(), StartError> {
    let answer = move |request: Count| {
        let replay = replay.clone();
        async move { replay.count(&request).await }
    };
    endpoints.serve(answer).await
}
