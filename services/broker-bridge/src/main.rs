//! The broker-bridge process: provisions the log and serves replay.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    goch_chassis::run("broker-bridge", broker_bridge::serve).await
}
