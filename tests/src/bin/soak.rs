//! `make soak`: sockets and channels that come and go, with a table of what memory they cost. See
//! `Plan::from_environment`.

use std::process::ExitCode;

use goch_tests::soak::{Plan, run};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
async fn main() -> ExitCode {
    let plan = Plan::from_environment();
    println!("{plan:?}");
    let report = run(&plan).await;
    print!("{report}");
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
