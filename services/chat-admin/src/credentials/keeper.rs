//! The present credentials, and who reads their file again when it changes.
//!
//! So a credential is added, and another one taken away, without a restart. A file that cannot be read,
//! or has a fault, leaves the credentials as they were: half a file must lock nobody out.

use std::{path::PathBuf, sync::Arc, time::Duration};

use goch_chassis::shutdown::Shutdown;
use goch_contract::Actor;
use tokio::sync::watch;

use super::{CredentialSet, CredentialsError};

/// How often the file is read.
const READ_EVERY: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Credentials(watch::Receiver<Arc<CredentialSet>>);

impl Credentials {
    /// Whose name and password these are.
    pub(crate) fn find(&self, name: &str, password: &str) -> Option<Actor> {
        let present = Arc::clone(&self.0.borrow());
        present.find(name, password)
    }
}

/// Begins with `set`, and follows `file` if it came from one.
pub(crate) fn keep(set: CredentialSet, file: Option<PathBuf>, shutdown: &Shutdown) -> Credentials {
    let (sender, receiver) = watch::channel(Arc::new(set));
    if let Some(file) = file {
        let ending = shutdown.clone();
        shutdown.spawn_vital("reader of credentials", async move {
            ending.unless_begun(follow(sender, file)).await;
        });
    }
    Credentials(receiver)
}

async fn follow(credentials: watch::Sender<Arc<CredentialSet>>, file: PathBuf) {
    let mut told = None;
    loop {
        tokio::time::sleep(READ_EVERY).await;
        match read(file.clone()).await {
            Ok(set) => {
                told = None;
                let is_changed = credentials.send_if_modified(|present| {
                    let is_changed = **present != set;
                    if is_changed {
                        *present = Arc::new(set);
                    }
                    is_changed
                });
                if is_changed {
                    let present = Arc::clone(&credentials.borrow());
                    tracing::info!(credentials = ?present, "ADMIN_CREDENTIALS_FILE has changed");
                }
            }
            Err(error) => {
                // Once, not every few seconds.
                if told.as_ref() != Some(&error) {
                    tracing::warn!(
                        %error,
                        "ADMIN_CREDENTIALS_FILE cannot be used; the credentials stay as they are"
                    );
                }
                told = Some(error);
            }
        }
    }
}

async fn read(file: PathBuf) -> Result<CredentialSet, CredentialsError> {
    let read = tokio::task::spawn_blocking(move || CredentialSet::of_file(&file)).await;
    read.unwrap_or(Err(CredentialsError::Unreadable(std::io::ErrorKind::Other)))
}
