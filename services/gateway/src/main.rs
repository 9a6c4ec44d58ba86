//! The gateway process: holds the sockets of customers and agents.

/// Sockets live on the HTTP server's own threads; this runtime only starts and ends them.
#[tokio::main(worker_threads = 2)]
async fn main() {
    goch_chassis::run("gateway", gateway::serve).await;
}
