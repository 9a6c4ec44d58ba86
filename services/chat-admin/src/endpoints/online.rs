//! `online`: who is online?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Online;

use crate::presence::Presence;

pub(super) async fn serve(endpoints: &Endpoints, presence: Presence) -> Result<(), StartError> {
    let answer = move |request: Online| {
        let presence = presence.clone();
        async move {
            let (online, _) = presence.online(&request.channel).await?;
            Ok(online.into_iter().map(|member| member.uid).collect())
        }
    };
    endpoints.serve(answer).await
}
