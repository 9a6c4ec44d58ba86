//! What other services ask about the log; one endpoint a file.

mod catchup;
mod count;
mod erase;
mod find;
mod page;
mod purge;
mod tails;

use goch_chassis::{StartError, endpoints::Endpoints};

use crate::{eraser::Eraser, replay::Replay};

/// Serves every endpoint.
pub(crate) async fn serve(
    endpoints: &Endpoints,
    replay: &Replay,
    eraser: &Eraser,
) -> Result<(), StartError> {
    catchup::serve(endpoints, replay.clone()).await?;
    page::serve(endpoints, replay.clone()).await?;
    count::serve(endpoints, replay.clone()).await?;
    tails::serve(endpoints, replay.clone()).await?;
    find::serve(endpoints, replay.clone()).await?;
    purge::serve(endpoints, eraser.clone()).await?;
    erase::serve(endpoints, eraser.clone()).await
}
