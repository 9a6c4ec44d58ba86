//! The load benchmark: the same client and the same work against Goch, a floor and its peers.
//!
//! To follow a measurement, read [`suite`] (what is run, in which order), then [`work`] (how one
//! kind of work is driven and checked), then [`client`] (the sockets) and [`servers`] (what they
//! are connected to, and what it costs there). [`report`] turns the results into a page.
//!
//! A benchmark must not be able to flatter: every delivery that counts was compared, byte by byte,
//! with the message that was due at that socket, and the run fails at the first that differs.
//!
//! For Linux only: what a server costs is read from `/proc`, the timer is a timerfd, and there are source addresses
//! beside 127.0.0.1. Elsewhere this crate is empty and its program says so, so that the workspace builds.

#![cfg(target_os = "linux")]

pub mod bare;
pub mod chart;
pub mod client;
pub mod command;
pub mod error;
pub mod floor;
pub mod progress;
pub mod report;
pub mod results;
pub mod servers;
pub mod suite;
pub mod work;
