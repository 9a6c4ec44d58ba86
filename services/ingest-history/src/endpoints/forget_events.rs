//! `forget_events`: some of a channel's events are gone from the log.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::history::ForgetEvents;

use crate::history::History;

pub(super) async fn serve(endpoints: &Endpoints, history: History) -> Result<(), StartError> {
    let answer = move |request: ForgetEvents| {
        let history = history.clone();
        async move { history.forget_events(request).await }
    };
    endpoints.serve(answer).await
}
