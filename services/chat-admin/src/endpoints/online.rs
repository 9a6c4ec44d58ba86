//! `online`: who is online?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Online;

use crate::presence::Presence;

pub(super) async fn serve(endpoints: &Endpoints, presence: Presence) -> Result<(), StartError> {
    let answer = move |request: Online| {
        let presence = presence.clone();
        async move { presence.online(&request.channel).await.map(|(online, _)| online) }
    };
    endpoints.serve(answer).await
}
