//! Goch: ingest-history.

fn main() {}
