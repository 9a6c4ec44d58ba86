//! REST bodies about one person, wherever that person is.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Membership;
use crate::ids::{ChannelName, Uid, UnixMillis};

/// `GET /v1/admin/accounts/{uid}/export`: what is stored of an account, in all its channels.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct AccountExportBody {
    /// The account.
    pub uid: Uid,
    /// Since when it is suspended; null if it is not.
    #[cfg_attr(feature = "schemas", schema(required))]
    pub suspended_at: Option<UnixMillis>,
    /// Memberships, and bans of this uid, by channel.
    pub memberships: Vec<Membership>,
    /// Whether there are more: of 100,000 only these are told.
    pub more_memberships: bool,
    /// The person's messages, comings and goings, rising by `seq`; their `prev` is 0, unknown.
    // Last, because they are written as they are read.
    #[cfg_attr(feature = "schemas", schema(value_type = Vec<crate::schemas::PositionedEvent>))]
    pub events: Vec<Box<RawValue>>,
}

/// `GET /v1/admin/channels/{name}/guests/{uid}/export`: what is stored of a guest of one channel.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct GuestExportBody {
    /// The channel.
    pub channel: ChannelName,
    /// The guest.
    pub uid: Uid,
    /// The membership, or a ban of this uid; nothing of a guest who has left.
    pub memberships: Vec<Membership>,
    /// The person's messages, comings and goings, rising by `seq`; their `prev` is 0, unknown.
    // Last, because they are written as they are read.
    #[cfg_attr(feature = "schemas", schema(value_type = Vec<crate::schemas::PositionedEvent>))]
    pub events: Vec<Box<RawValue>>,
}

/// An account that may not use any channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Suspension {
    /// The account.
    pub uid: Uid,
    /// Since when.
    pub suspended_at: UnixMillis,
}

/// `GET /v1/admin/suspensions`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct SuspensionsBody {
    /// The accounts, by uid.
    pub suspensions: Vec<Suspension>,
    /// Whether more follow; ask with `after` = the last uid.
    pub more: bool,
}
