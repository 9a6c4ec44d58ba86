//! `enrol`: make somebody a member whose token the gateway has checked.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Enrol;

use crate::registry::Registry;

pub(super) async fn serve(endpoints: &Endpoints, registry: Registry) -> Result<(), StartError> {
    let answer = move |request: Enrol| {
        let registry = registry.clone();
        async move { registry.enrol(request).await }
    };
    endpoints.serve_strangers(answer).await
}
