//! Node, where it is installed, with what the JavaScript client is built and tested with.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::programs;

/// The client's folder in the repository.
const CLIENT: &str = "clients/javascript";

/// A Node that can run the JavaScript client.
#[derive(Debug)]
pub struct Node {
    node: PathBuf,
    npm: PathBuf,
}

impl Node {
    /// Finds it; none where there is no Node, no npm, or nothing installed by `make client`.
    ///
    /// # Panics
    /// When there is none and `NODE_TESTS` is `required`.
    #[must_use]
    pub fn find() -> Option<Self> {
        let (node, npm) = (programs::find("NODE", "node"), programs::find("NPM", "npm"));
        let installed = Self::client().join("node_modules/typescript").is_dir();
        if let (Some(node), Some(npm), true) = (node, npm, installed) {
            return Some(Self { node, npm });
        }
        let is_required = env::var("NODE_TESTS").is_ok_and(|value| value == "required");
        let missing =
            "there is no Node, no npm, or nothing installed by clients/javascript/prepare.sh";
        assert!(!is_required, "{missing}");
        eprintln!("skipped: {missing}");
        None
    }

    /// The client's folder.
    #[must_use]
    pub fn client() -> PathBuf {
        programs::repository(CLIENT)
    }

    /// The program itself.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.node
    }

    /// A command of Node.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(&self.node)
    }

    /// A command of npm.
    #[must_use]
    pub fn npm(&self) -> Command {
        Command::new(&self.npm)
    }
}
