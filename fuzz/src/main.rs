//! The coverage-guided driver: one libFuzzer binary for all targets, `FUZZ_TARGET` names the one.

#![no_main]

use std::sync::LazyLock;

use goch_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let names = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    let found = TARGETS.iter().find(|target| target.name == name);
    #[expect(clippy::panic, reason = "libFuzzer has no other way to refuse")]
    found.unwrap_or_else(|| panic!("FUZZ_TARGET must be one of {}", names()))
});

fuzz_target!(|input: &[u8]| (TARGET.run)(input));
