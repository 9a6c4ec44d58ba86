//! What gateways and chat-admin ask over NATS; one endpoint a file.

mod last;
mod page;
mod read;
mod unread;

use goch_chassis::{StartError, endpoints::Endpoints};

use crate::history::History;

/// Serves every endpoint.
pub(crate) async fn serve(endpoints: &Endpoints, history: &History) -> Result<(), StartError> {
    page::serve(endpoints, history.clone()).await?;
    unread::serve(endpoints, history.clone()).await?;
    read::serve(endpoints, history.clone()).await?;
    last::serve(endpoints, history.clone()).await
}
