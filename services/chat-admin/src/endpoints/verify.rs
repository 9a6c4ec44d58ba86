//! `verify`: which of these members may still use these channels?

use goch_chassis::{StartError, endpoints::Endpoints};
use goch_contract::services::admin::Verify;

use crate::registry::Registry;

pub(super) async fn serve(endpoints: &Endpoints, registry: Registry) -> Result<(), StartError> {
    let answer = move |request: Verify| {
        let registry = registry.clone();
        async move { registry.verify(request).await }
    };
    endpoints.serve(answer).await
}
