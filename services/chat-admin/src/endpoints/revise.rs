//! `revise`: a member edits or deletes a message.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Revise;

use crate::lifecycle::Lifecycle;

pub(super) async fn serve(endpoints: &Endpoints, lifecycle: Lifecycle) -> Result<(), StartError> {
    let answer = move |request: Revise| {
        let lifecycle = lifecycle.clone();
        async move { lifecycle.revise(request).await }
    };
    endpoints.serve(answer).await
}
