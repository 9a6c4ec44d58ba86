//! Fuzz targets: everything that parses what a stranger or another service sends.
//!
//! A target is a function from bytes to nothing that panics when a promise does not hold. `make test`
//! runs each on its corpus and on mutations of it; `make fuzz` runs them guided by coverage. To add
//! one: a file in `targets/`, a row in [`TARGETS`], and a folder of seeds in `corpus/`.

#[cfg(test)]
mod short_run;
mod targets;

/// One fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "client-frame", run: targets::client_frame::run },
    Target { name: "connect-query", run: targets::connect_query::run },
    Target { name: "event", run: targets::event::run },
    Target { name: "name", run: targets::name::run },
    Target { name: "rest-body", run: targets::rest_body::run },
    Target { name: "service", run: targets::service::run },
    Target { name: "websocket", run: targets::websocket::run },
];
