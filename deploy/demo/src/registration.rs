//! At start: Goch is to tell us what happens. Any number of replicas may ask for it at once.

use std::time::Duration;

use crate::{config::Config, failure::Failure, goch::Goch};

/// The pause between two attempts to reach Goch.
const PAUSE: Duration = Duration::from_secs(2);

/// Sees to it that there is the webhook of the configuration, and waits for Goch if that is away.
///
/// # Errors
/// When Goch refuses.
pub(crate) async fn register(goch: &Goch, config: &Config) -> Result<(), Failure> {
    loop {
        match register_once(goch, config).await {
            Err(failure) if failure.is_temporary() => {
                tracing::warn!(error = %failure, "waiting for Goch");
            }
            done => return done,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn register_once(goch: &Goch, config: &Config) -> Result<(), Failure> {
    let (url, secret) = (&*config.webhook_url, &*config.webhook_secret);
    let Some(webhook) = goch.webhooks().await?.into_iter().find(|webhook| webhook.url == url)
    else {
        // Of replicas that see none at the same time, one creates it: the secret is the same.
        return goch.create_webhook(url, secret).await;
    };
    // Nothing changes if it has this secret. Otherwise the one before signs too for a day, so replicas that have not
    // been restarted with the new one verify as well.
    goch.change_secret(&webhook.id, secret).await?;
    // Goch disables what fails for days.
    goch.enable_webhook(&webhook.id).await
}
