//! The secrets that verify a webhook's requests, kept in a file: Goch shows each only once.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Deserialize, Serialize};

/// A webhook's secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// The webhook.
    pub(crate) id: String,
    /// What its requests are signed with.
    secret: String,
    /// What they were signed with before, while they still may be.
    #[serde(default)]
    old: Option<OldSecret>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OldSecret {
    secret: String,
    /// In Unix milliseconds.
    expires_at: u64,
}

impl Secrets {
    /// Those of a webhook that was just created.
    pub(crate) fn new(id: String, secret: String) -> Self {
        Self { id, secret, old: None }
    }

    /// Those after a rotation: the secret of today goes on until `old_expires_at`.
    pub(crate) fn rotated(self, secret: String, old_expires_at: Option<u64>) -> Self {
        let old = old_expires_at.map(|expires_at| OldSecret { secret: self.secret, expires_at });
        Self { id: self.id, secret, old }
    }

    /// The secrets that count at a moment in Unix milliseconds.
    pub(crate) fn at(&self, now: u64) -> impl Iterator<Item = &str> {
        let old = self.old.iter().filter(move |old| old.expires_at > now);
        [&*self.secret].into_iter().chain(old.map(|old| &*old.secret))
    }

    /// Reads them; none if there is no such file, or another one.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    /// Writes a file that nobody else can read. The one before stays until this one is whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep(&self, file: &Path) -> io::Result<()> {
        let draft = file.with_extension("new");
        let mut options = OpenOptions::new();
        let mut written =
            options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        written.write_all(&serde_json::to_vec(self)?)?;
        written.sync_all()?;
        fs::rename(draft, file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_before_counts_until_its_time_is_over() {
        let secrets = Secrets::new("5e1f".to_owned(), "one".to_owned());
        assert_eq!(secrets.at(0).collect::<Vec<_>>(), ["one"]);
        let rotated = secrets.rotated("two".to_owned(), Some(1_000));
        assert_eq!(rotated.at(999).collect::<Vec<_>>(), ["two", "one"]);
        assert_eq!(rotated.at(1_000).collect::<Vec<_>>(), ["two"]);
        assert_eq!(rotated.rotated("three".to_owned(), None).at(0).collect::<Vec<_>>(), ["three"]);
    }
}
