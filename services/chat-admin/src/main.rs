//! The chat-admin process: channels, members, and the REST face for ticketing.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    goch_chassis::run("chat-admin", chat_admin::serve).await
}
