//! `erase_message`: a message was deleted, and its text must go.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::broker::EraseMessage;

use crate::eraser::Eraser;

pub(super) async fn serve(endpoints: &Endpoints, eraser: Eraser) -> Result<(), StartError> {
    let answer = move |request: EraseMessage| {
        let eraser = eraser.clone();
        async move { eraser.erase_message(&request).await }
    };
    endpoints.serve(answer).await
}
