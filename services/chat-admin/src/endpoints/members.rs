//! `members`: who is a member?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Members;

use crate::registry::Registry;

pub(super) async fn serve(endpoints: &Endpoints, registry: Registry) -> Result<(), StartError> {
    let answer = move |request: Members| {
        let registry = registry.clone();
        async move { registry.public_members(request).await }
    };
    endpoints.serve_strangers(answer).await
}
