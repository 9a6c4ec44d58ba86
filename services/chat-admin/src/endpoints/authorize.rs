//! `authorize`: may this member use this channel?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Authorize;

use crate::registry::Registry;

pub(super) async fn serve(endpoints: &Endpoints, registry: Registry) -> Result<(), StartError> {
    let answer = move |request: Authorize| {
        let registry = registry.clone();
        async move { registry.authorize(request).await }
    };
    endpoints.serve_strangers(answer).await
}
