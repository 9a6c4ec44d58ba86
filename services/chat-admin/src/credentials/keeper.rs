//! The present credentials of the installation and of its tenants, and who reads their files again when they change.
//!
//! So a credential is added, and another one taken away, without a restart. A file that cannot be read,
//! or has a fault, leaves the credentials as they were: half a file must lock nobody out.

use std::{path::PathBuf, sync::Arc, time::Duration};

use goch_chassis::shutdown::Shutdown;
use goch_contract::TenantName;
use tokio::sync::watch;

use super::{CredentialSet, CredentialsError};
use crate::principal::Principal;

/// How often a file is read.
const READ_EVERY: Duration = Duration::from_secs(2);

/// Credentials as they are configured: of a tenant, or of whoever operates the installation.
#[derive(Debug, Clone)]
pub(crate) struct CredentialSource {
    pub(crate) tenant: Option<TenantName>,
    pub(crate) set: CredentialSet,
    /// The file that they came from, which may change.
    pub(crate) file: Option<PathBuf>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Credentials(Arc<[Followed]>);

/// The present credentials of one source.
struct Followed {
    tenant: Option<TenantName>,
    set: watch::Receiver<Arc<CredentialSet>>,
}

impl Credentials {
    /// Begins with what is configured, and follows the files.
    pub(crate) fn keep(sources: Vec<CredentialSource>, shutdown: &Shutdown) -> Self {
        let keep = |source: CredentialSource| {
            let (sender, receiver) = watch::channel(Arc::new(source.set));
            if let Some(file) = source.file {
                let ending = shutdown.clone();
                let whose = source.tenant.clone();
                let task = match &whose {
                    Some(tenant) => format!("reader of credentials of {tenant}"),
                    None => "reader of credentials".to_owned(),
                };
                shutdown.spawn_vital(task, async move {
                    ending.unless_begun(follow(sender, file, whose)).await;
                });
            }
            Followed { tenant: source.tenant, set: receiver }
        };
        Self(sources.into_iter().map(keep).collect())
    }

    /// Whose name and password these are. All are looked at, whoever's they are. Nobody's if two tenants have the
    /// same: nobody knows whose channels are meant.
    pub(crate) fn find(&self, name: &str, password: &str) -> Option<Principal> {
        let found: Vec<_> = self
            .0
            .iter()
            .filter_map(|followed| {
                let present = Arc::clone(&followed.set.borrow());
                let (actor, scopes) = present.find(name, password)?;
                Some(Principal { actor, tenant: followed.tenant.clone(), scopes })
            })
            .collect();
        match found.as_slice() {
            [one] => Some(one.clone()),
            [] => None,
            [one, ..] => {
                tracing::warn!(actor = %one.actor, "two tenants have the same credential, which opens neither");
                None
            }
        }
    }
}

async fn follow(
    credentials: watch::Sender<Arc<CredentialSet>>,
    file: PathBuf,
    whose: Option<TenantName>,
) {
    let tenant = whose.as_ref().map(TenantName::as_str);
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
                    tracing::info!(tenant, credentials = ?present, "ADMIN_CREDENTIALS_FILE has changed");
                }
            }
            Err(error) => {
                // Once, not every few seconds.
                if told.as_ref() != Some(&error) {
                    tracing::warn!(
                        tenant,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Scope;

    const PASSWORD: &str = "a-password-of-some-length";

    /// Credentials of tenants, or of the installation.
    fn credentials(of_tenants: &[(Option<&str>, &str)]) -> Credentials {
        let follow = |(tenant, who): &(Option<&str>, &str)| {
            let set = CredentialSet::of_variable(&format!("{who}:{PASSWORD}")).unwrap();
            let tenant = tenant.map(|tenant| TenantName::parse(tenant).unwrap());
            // What is not sent any more can still be looked at.
            Followed { tenant, set: watch::channel(Arc::new(set)).1 }
        };
        Credentials(of_tenants.iter().map(follow).collect())
    }

    #[test]
    fn a_login_is_of_whom_its_credential_is() {
        let all = credentials(&[(None, "desk"), (Some("acme"), "acme-desk read")]);
        let operator = all.find("desk", PASSWORD).unwrap();
        assert!(operator.tenant.is_none() && operator.scopes.has(Scope::Erase));
        let acme = all.find("acme-desk", PASSWORD).unwrap();
        assert_eq!(acme.tenant.as_ref().map(TenantName::as_str), Some("acme"));
        assert!(acme.scopes.has(Scope::Read) && !acme.scopes.has(Scope::Write));
        assert!(all.find("acme-desk", "another-password-of-length").is_none());
    }

    #[test]
    fn a_credential_that_two_have_alike_opens_neither() {
        let all = credentials(&[(None, "desk"), (Some("acme"), "desk"), (Some("b"), "b")]);
        assert!(all.find("desk", PASSWORD).is_none());
        assert!(all.find("b", PASSWORD).is_some());
    }
}
