//! What other services ask over NATS; one endpoint a file.

mod authorize;
mod enrol;
mod members;
mod observe;
mod online;
mod register;
mod revise;
mod roster;
mod verify;

use goch_chassis::{StartError, endpoints::Endpoints};

use crate::{lifecycle::Lifecycle, presence::Presence, registry::Registry};

/// Serves every endpoint.
pub(crate) async fn serve(
    endpoints: &Endpoints,
    registry: &Registry,
    lifecycle: &Lifecycle,
    presence: &Presence,
) -> Result<(), StartError> {
    authorize::serve(endpoints, registry.clone()).await?;
    enrol::serve(endpoints, registry.clone()).await?;
    register::serve(endpoints, registry.clone()).await?;
    members::serve(endpoints, registry.clone()).await?;
    observe::serve(endpoints, registry.clone()).await?;
    online::serve(endpoints, presence.clone()).await?;
    revise::serve(endpoints, lifecycle.clone()).await?;
    roster::serve(endpoints, registry.clone()).await?;
    verify::serve(endpoints, registry.clone()).await
}
