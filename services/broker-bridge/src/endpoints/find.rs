//! `find`: where are a person's events?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::broker::Find;

use crate::replay::Replay;

pub(super) async fn serve(endpoints: &Endpoints, replay: Replay) -> Result<(), StartError> {
    let answer = move |request: Find| {
        let replay = replay.clone();
        async move { replay.find_person(&request).await }
    };
    endpoints.serve(answer).await
}
