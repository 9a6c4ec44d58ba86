//! The broker-bridge process: provisions the log and serves replay.

#[tokio::main]
async fn main() {
    goch_chassis::run("broker-bridge", broker_bridge::serve).await;
}
