//! `read`: move a read position.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::history::Read;

use crate::history::History;

pub(super) async fn serve(endpoints: &Endpoints, history: History) -> Result<(), StartError> {
    let answer = move |request: Read| {
        let history = history.clone();
        async move { history.read(request).await }
    };
    endpoints.serve(answer).await
}
