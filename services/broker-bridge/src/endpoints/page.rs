//! `page`: a page of a channel, as far back as the log reaches.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::{
    limits::page_limit,
    services::{broker::LogPage, history::Window},
};

use crate::replay::Replay;

pub(super) async fn serve(endpoints: &Endpoints, replay: Replay) -> Result<(), StartError> {
    let answer = move |request: LogPage| {
        let replay = replay.clone();
        async move {
            let limit = page_limit(Some(request.limit.into()))?;
            let channel = &request.channel;
            match request.window {
                Window::Latest => replay.latest(channel, None, limit).await,
                Window::Before(before) => replay.latest(channel, Some(before), limit).await,
                Window::After(after) => Ok(replay.after(channel, after, limit).await?.page),
                Window::Since(since) => replay.since(channel, since, limit).await,
            }
        }
    };
    endpoints.serve(answer).await
}
