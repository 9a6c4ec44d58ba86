//! What other services ask about the log; one endpoint a file.

mod catchup;
mod count;
mod page;
mod tails;

use goch_chassis::{StartError, endpoints::Endpoints};

use crate::replay::Replay;

/// Serves every endpoint.
pub(crate) async fn serve(endpoints: &Endpoints, replay: &Replay) -> Result<(), StartError> {
    catchup::serve(endpoints, replay.clone()).await?;
    page::serve(endpoints, replay.clone()).await?;
    count::serve(endpoints, replay.clone()).await?;
    tails::serve(endpoints, replay.clone()).await
}
