//! At start: Goch is to tell us what happens, if it does not yet.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{config::Config, failure::Failure, goch::Goch};

/// The pause between two attempts to reach Goch.
const PAUSE: Duration = Duration::from_secs(2);

/// What is kept of a webhook. Goch shows the secret once.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    secret: String,
}

/// Registers the webhook if it is absent, and waits for Goch if that is away: the webhook's secret.
///
/// # Errors
/// When the secret cannot be kept, or Goch refuses.
pub(crate) async fn register(
    goch: &Goch,
    config: &Config,
) -> Result<String, Box<dyn std::error::Error>> {
    let kept = read(&config.webhook_file);
    loop {
        match register_once(goch, &config.webhook_url, kept.as_ref()).await {
            Ok(None) => return Ok(kept.map(|kept| kept.secret).unwrap_or_default()),
            Ok(Some(created)) => {
                keep(&config.webhook_file, &created)?;
                return Ok(created.secret);
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
    kept: Option<&Kept>,
) -> Result<Option<Kept>, Failure> {
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
    Ok(Some(Kept { id, secret }))
}

fn read(file: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Writes a file that nobody else can read.
fn keep(file: &Path, kept: &Kept) -> io::Result<()> {
    let json = serde_json::to_vec(kept)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(file)?.write_all(&json)
}
