//! Ports to listen on.

use std::{
    net::TcpListener,
    sync::{
        LazyLock,
        atomic::{AtomicU16, Ordering},
    },
};

/// Below the range from which the kernel takes ports for outgoing connections: one of those could
/// take the port before the program that it was chosen for.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

/// A port of 127.0.0.1 that is free, and that this function does not give out again soon.
pub(crate) fn free() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        // Two processes that test at the same time begin at different places.
        let scattered = std::process::id().wrapping_mul(7_919) % u32::from(COUNT);
        AtomicU16::new(u16::try_from(scattered).unwrap())
    });
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("there is no free port");
}
