//! The load benchmark's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    goch_load::command::run()
}
