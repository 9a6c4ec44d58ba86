//! The harness of the black-box tests: real servers and the real service binaries.
//!
//! A test takes a [`System`], of its own or shared with the other tests of its file, joins
//! [`Member`]s over REST, and lets them talk over [`Socket`]s. Whatever does not come within its
//! deadline fails the test, and the services' last log lines are printed with it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a harness fails by panicking, and what it prints belongs to the failed test"
)]

mod accounts;
mod certificates;
pub mod chaos;
pub mod checker;
mod collector;
mod deployed;
mod described;
mod member;
mod metrics;
mod names;
mod node;
mod page;
mod parameter;
mod ports;
mod process;
mod programs;
mod proxy;
mod raw;
mod receiver;
mod relay;
mod rest;
mod rights;
mod servers;
mod service;
pub mod soak;
mod socket;
mod system;
mod ticketing;
mod token;
mod traces;
mod wait;
mod webdriver;
mod website;
mod widget;

pub use self::{
    certificates::{Authority, Certificate},
    collector::Collector,
    described::{Described, Document},
    member::Member,
    metrics::Metrics,
    names::{members_path, segment, token},
    node::Node,
    page::{events, numbers, texts},
    process::Process,
    programs::optional as optional_program,
    proxy::{Line, LiveCopy, Proxy},
    raw::{RawConnection, raw_frame},
    receiver::{Received, Receiver},
    relay::Relay,
    rest::{Answer, Rest},
    rights::{Act, Right, nats_answer},
    servers::{NatsServer, RedisServer, Servers, password},
    service::Service,
    socket::{Recorded, Socket},
    system::{Builder, SERVICES, SharedSystem, System},
    ticketing::Ticketing,
    token::TokenKey,
    wait::{PATIENCE, unique, until, within},
    webdriver::{Browser, WebDriver},
    website::Website,
};
