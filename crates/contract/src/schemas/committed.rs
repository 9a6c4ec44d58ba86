//! The documents in `docs/` are those that the code generates: the check, for the tests of the
//! services that serve them.

use std::{env, fmt, fs, path::Path};

use serde_json::Value;

/// Set by `make api-docs`: the documents are written instead of compared.
const REWRITE: &str = "REWRITE_API_DOCS";

/// A committed document that says something else than the code.
#[derive(Debug)]
pub struct Drift(String);

impl fmt::Display for Drift {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "docs/{} is not what the code says: run `make api-docs`", self.0)
    }
}

/// Compares a document with the file of this name in `docs/`.
///
/// # Errors
/// [`Drift`] when they differ, or the file cannot be read or written.
pub fn check(name: &str, document: &Value) -> Result<(), Drift> {
    let drift = || Drift(name.to_owned());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if env::var_os(REWRITE).is_some_and(|value| !value.is_empty()) {
        return fs::write(file, format!("{document:#}\n")).map_err(|_| drift());
    }
    let committed = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
    // Not by their text: the order of fields is that of serde_json, which a feature of it changes.
    if committed.as_ref() == Some(document) { Ok(()) } else { Err(drift()) }
}
