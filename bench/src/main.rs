//! The load benchmark's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The HTTP client asks for a provider of cryptography even where it has no use for it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    goch_load::command::run()
}
