//! `last`: the latest message of many channels.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::history::LastMessages;

use crate::history::History;

pub(super) async fn serve(endpoints: &Endpoints, history: History) -> Result<(), StartError> {
    let answer = move |request: LastMessages| {
        let history = history.clone();
        async move { history.last(request).await }
    };
    endpoints.serve(answer).await
}
