//! `unread`: how many messages has a member not read?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::history::Unread;

use crate::history::History;

pub(super) async fn serve(endpoints: &Endpoints, history: History) -> Result<(), StartError> {
    let answer = move |request: Unread| {
        let history = history.clone();
        async move { history.unread(request).await }
    };
    endpoints.serve(answer).await
}
