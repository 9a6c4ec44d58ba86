//! The chat-admin process: channels, members, and the REST face for ticketing.

#[tokio::main]
async fn main() {
    goch_chassis::run("chat-admin", chat_admin::serve).await;
}
