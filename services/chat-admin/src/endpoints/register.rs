//! `register`: make somebody a member.

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Register;

use crate::registry::Registry;

pub(super) async fn serve(endpoints: &Endpoints, registry: Registry) -> Result<(), StartError> {
    let answer = move |request: Register| {
        let registry = registry.clone();
        async move { registry.register(request).await }
    };
    endpoints.serve_strangers(answer).await
}
