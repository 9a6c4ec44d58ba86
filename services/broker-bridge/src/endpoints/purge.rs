//! `purge`: a channel is deleted.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::broker::Purge;

use crate::eraser::Eraser;

pub(super) async fn serve(endpoints: &Endpoints, eraser: Eraser) -> Result<(), StartError> {
    let answer = move |request: Purge| {
        let eraser = eraser.clone();
        async move { eraser.purge(&request.channel, request.through).await }
    };
    endpoints.serve(answer).await
}
