//! `catchup`: what happened in a channel after a sequence?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::{limits::page_limit, services::broker::Catchup};

use crate::replay::Replay;

pub(super) async fn serve(endpoints: &Endpoints, replay: Replay) -> Result<(), StartError> {
    let answer = move |request: Catchup| {
        let replay = replay.clone();
        async move {
            let limit = page_limit(Some(request.limit.into()))?;
            replay.after(&request.channel, request.after, limit).await
        }
    };
    endpoints.serve(answer).await
}
