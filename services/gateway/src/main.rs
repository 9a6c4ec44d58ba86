//! Goch: gateway.

fn main() {}
