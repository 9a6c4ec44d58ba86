//! What other services ask about the log, and about webhooks; one endpoint a file, or one theme.

mod catchup;
mod count;
mod erase;
mod erase_message;
mod find;
mod page;
mod purge;
mod revisions;
mod tails;
mod webhooks;

use goch_chassis::{StartError, endpoints::Endpoints};

use crate::{eraser::Eraser, replay::Replay, webhooks::Webhooks};

/// Serves every endpoint.
pub(crate) async fn serve(
    endpoints: &Endpoints,
    replay: &Replay,
    eraser: &Eraser,
    webhooks: &Webhooks,
) -> Result<(), StartError> {
    catchup::serve(endpoints, replay.clone()).await?;
    page::serve(endpoints, replay.clone()).await?;
    count::serve(endpoints, replay.clone()).await?;
    tails::serve(endpoints, replay.clone()).await?;
    find::serve(endpoints, replay.clone()).await?;
    purge::serve(endpoints, eraser.clone()).await?;
    erase::serve(endpoints, eraser.clone()).await?;
    revisions::serve(endpoints, replay.clone()).await?;
    erase_message::serve(endpoints, eraser.clone()).await?;
    webhooks::serve(endpoints, webhooks.clone()).await
}
