//! `observe`: let somebody hear a channel whose token the gateway has checked.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Observe;

use crate::registry::Registry;

pub(super) async fn serve(endpoints: &Endpoints, registry: Registry) -> Result<(), StartError> {
    let answer = move |request: Observe| {
        let registry = registry.clone();
        async move { registry.observe(request).await }
    };
    endpoints.serve_strangers(answer).await
}
