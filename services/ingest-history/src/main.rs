//! The ingest-history process: reads the log into Redis, answers pages and unread counts.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    goch_chassis::run("ingest-history", ingest_history::serve).await
}
