//! At start: Goch is to tell us what happens, if it does not yet.

use std::time::Duration;

use crate::{config::Config, failure::Failure, goch::Goch, secrets::Secrets};

/// The pause between two attempts to reach Goch.
const PAUSE: Duration = Duration::from_secs(2);

/// Registers the webhook if it is absent, and waits for Goch if that is away: the webhook's secrets.
///
/// # Errors
/// When the secret cannot be kept, or Goch refuses.
pub(crate) async fn register(
    goch: &Goch,
    config: &Config,
) -> Result<Secrets, Box<dyn std::error::Error>> {
    let mut kept = Secrets::read(&config.webhook_file);
    loop {
        match register_once(goch, &config.webhook_url, kept.as_ref()).await {
            Ok(Some(created)) => {
                created.keep(&config.webhook_file)?;
                return Ok(created);
            }
            Ok(None) => {
                if let Some(kept) = kept.take() {
                    return Ok(kept);
                }
            }
            Err(Failure::Refused(problem)) if problem.code != "unavailable" => {
                return Err(Failure::Refused(problem).into());
            }
            Err(error) => tracing::warn!(%error, "waiting for Goch"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The webhook that was created; none if the one whose secret is kept is there.
async fn register_once(
    goch: &Goch,
    url: &str,
    kept: Option<&Secrets>,
) -> Result<Option<Secrets>, Failure> {
    let ours = goch.webhooks().await?.into_iter().filter(|webhook| webhook.url == url);
    let (known, strange): (Vec<_>, Vec<_>) =
        ours.partition(|webhook| kept.is_some_and(|kept| kept.id == webhook.id));
    // Nobody can verify what these are sent: their secret is lost.
    for webhook in strange {
        goch.delete_webhook(&webhook.id).await?;
    }
    if let Some(webhook) = known.first() {
        goch.enable_webhook(&webhook.id).await?;
        return Ok(None);
    }
    let (id, secret) = goch.create_webhook(url).await?;
    tracing::info!(webhook = id, "webhook registered");
    Ok(Some(Secrets::new(id, secret)))
}
