//! Where the programs are that tests start.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Debian's place for servers, where only root's PATH looks.
const MORE_PLACES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// A program of the system: the one that the environment variable names, or the one in PATH.
pub(crate) fn find(variable: &str, program: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).filter(|named| !named.is_empty());
    let program = named.map_or_else(|| PathBuf::from(program), PathBuf::from);
    if program.components().count() > 1 {
        return program.is_file().then_some(program);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(MORE_PLACES.map(PathBuf::from))
        .map(|folder| folder.join(&program))
        .find(|candidate| candidate.is_file())
}

/// A program of the system without which only a part of a test is skipped, in so many words.
///
/// # Panics
/// When there is none and the variable with `_TESTS` behind it is `required`.
#[must_use]
pub fn optional(variable: &str, program: &str) -> Option<PathBuf> {
    let found = find(variable, program);
    if found.is_none() {
        let is_required = env::var(format!("{variable}_TESTS")).is_ok_and(|is| is == "required");
        assert!(!is_required, "there is no {program}");
        eprintln!("skipped: there is no {program}");
    }
    found
}

/// A program of the system without which nothing can be tested.
pub(crate) fn require(variable: &str, program: &str) -> PathBuf {
    find(variable, program)
        .unwrap_or_else(|| panic!("there is no {program}: install it, or name it with {variable}"))
}

/// A service's binary.
pub(crate) fn service(name: &str) -> PathBuf {
    let this = env::current_exe().unwrap();
    // Beside this program, or above it: cargo puts tests into the folder deps.
    let folders = this.ancestors().skip(1).take(2);
    let mut candidates = folders.map(|folder| folder.join(name));
    let binary = candidates.find(|candidate| candidate.is_file()).unwrap_or_default();
    assert!(binary.is_file(), "{name} is not built: cargo build --workspace --bins");
    binary
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}
