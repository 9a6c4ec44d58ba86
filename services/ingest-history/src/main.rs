//! The ingest-history process: reads the log into Redis, answers pages and unread counts.

#[tokio::main]
async fn main() {
    goch_chassis::run("ingest-history", ingest_history::serve).await;
}
