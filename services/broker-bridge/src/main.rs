//! Goch: broker-bridge.

fn main() {}
