//! The load benchmark's command line.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    goch_load::command::run()
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::print_stderr, reason = "there is nothing else to say")]
fn main() -> ExitCode {
    eprintln!("the benchmark needs Linux, whose kernel says what a server costs");
    ExitCode::FAILURE
}
