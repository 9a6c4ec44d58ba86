//! `forget_positions`: nobody asks for these read positions any more.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::history::ForgetPositions;

use crate::history::History;

pub(super) async fn serve(endpoints: &Endpoints, history: History) -> Result<(), StartError> {
    let answer = move |request: ForgetPositions| {
        let history = history.clone();
        async move { history.forget_positions(request).await }
    };
    endpoints.serve(answer).await
}
