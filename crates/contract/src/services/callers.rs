//! Who asks whom for what: the one list of it, which the compiler and the NATS rights are held to.
//!
//! A service can send a request only if the request is listed here, or it does not compile. A test holds the
//! rights of `deploy/nats/users.conf` against [`CALLERS`], and another one finds what is listed and never sent.

use std::fmt::Debug;

use super::{
    Service, ServiceRequest,
    admin::{Authorize, Enrol, Members, Observe, Online, Register, Revise, Roster, Verify},
    broker::{Catchup, Count, Erase, EraseMessage, Find, LogPage, Purge, Revisions, Tails},
    history::{ForgetEvents, ForgetPositions, LastMessages, PageRequest, Read, Unread},
    webhooks::{
        ChangeWebhook, CreateWebhook, DeadLetters, DeleteWebhook, ReplayDeadLetters,
        RotateWebhookSecret, Webhooks,
    },
};

/// Somebody who asks services.
pub trait Caller: Debug + Clone + Copy + Send + Sync + 'static {}

/// Says that a caller sends requests of type `R`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not listed as one who sends `{R}`",
    note = "list it in crates/contract/src/services/callers.rs, and the right in deploy/nats/users.conf"
)]
pub trait Sends<R: ServiceRequest>: Caller {}

/// An endpoint that a service asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Who answers.
    pub service: Service,
    /// The endpoint's subject token.
    pub endpoint: &'static str,
}

/// What a service asks others for.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    /// The service's name, which is also its NATS user's.
    pub caller: &'static str,
    /// The endpoints.
    pub endpoints: &'static [Call],
}

/// Whoever operates an installation: tools and tests, whose NATS user has rights of its own.
#[derive(Debug, Clone, Copy)]
pub enum Operator {}

impl Caller for Operator {}
impl<R: ServiceRequest> Sends<R> for Operator {}

macro_rules! callers {
    ($($(#[$doc:meta])* $caller:ident $name:literal sends $($request:ident),+;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy)]
            pub enum $caller {}

            impl Caller for $caller {}
            $(impl Sends<$request> for $caller {})+
        )*

        /// What each service asks others for.
        pub const CALLERS: &[Calls] = &[$(Calls {
            caller: $name,
            endpoints: &[$(Call {
                service: <$request as ServiceRequest>::SERVICE,
                endpoint: <$request as ServiceRequest>::ENDPOINT,
            }),+],
        }),*];
    };
}

callers! {
    /// gateway, which faces the internet: nothing of more than one channel, no addresses, nothing that
    /// erases.
    Gateway "gateway" sends
        Authorize, Enrol, Members, Observe, Register, Revise, Verify,
        PageRequest, Read, Unread,
        Catchup, Count, LogPage, Tails;

    /// chat-admin, which is ticketing's way to all the others.
    ChatAdmin "chat-admin" sends
        ForgetEvents, ForgetPositions, LastMessages, PageRequest, Read, Unread,
        Erase, EraseMessage, Find, LogPage, Purge, Revisions, Tails,
        ChangeWebhook, CreateWebhook, DeadLetters, DeleteWebhook, ReplayDeadLetters,
        RotateWebhookSecret, Webhooks;

    /// ingest-history, which reads what Redis does not have.
    IngestHistory "ingest-history" sends
        Count, LogPage, Tails;

    /// broker-bridge, which finds out whom webhooks are to tell of unread messages.
    BrokerBridge "broker-bridge" sends
        Online, Roster, Unread;
}
