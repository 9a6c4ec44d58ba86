//! `page`: a page of a channel, as far back as the log reaches.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::{limits::page_limit, services::broker::LogPage};

use crate::replay::Replay;

pub(super) async fn serve(endpoints: &Endpoints, replay: Replay) -> Result<(), StartError> {
    let answer = move |request: LogPage| {
        let replay = replay.clone();
        async move {
            let limit = page_limit(Some(request.limit.into()))?;
            replay.page(&request.channel, request.window, limit, request.as_stored).await
        }
    };
    endpoints.serve(answer).await
}
