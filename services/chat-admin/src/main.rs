//! Goch: chat-admin.

fn main() {}
