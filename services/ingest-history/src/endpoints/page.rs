//! `page`: events of a channel.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::history::PageRequest;

use crate::history::History;

pub(super) async fn serve(endpoints: &Endpoints, history: History) -> Result<(), StartError> {
    let answer = move |request: PageRequest| {
        let history = history.clone();
        async move { history.page(request).await }
    };
    endpoints.serve(answer).await
}
