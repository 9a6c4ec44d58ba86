//! What other services ask over NATS; one endpoint a file.

mod authorize;
mod enrol;
mod members;
mod register;
mod roster;
mod verify;

use goch_chassis::{StartError, endpoints::Endpoints};

use crate::registry::Registry;

/// Serves every endpoint.
pub(crate) async fn serve(endpoints: &Endpoints, registry: &Registry) -> Result<(), StartError> {
    authorize::serve(endpoints, registry.clone()).await?;
    enrol::serve(endpoints, registry.clone()).await?;
    register::serve(endpoints, registry.clone()).await?;
    members::serve(endpoints, registry.clone()).await?;
    roster::serve(endpoints, registry.clone()).await?;
    verify::serve(endpoints, registry.clone()).await
}
