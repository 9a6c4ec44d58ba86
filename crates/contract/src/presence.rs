//! Who is online in a channel: what the workers of all gateways tell each other about it on the
//! channel's signal subject. Nothing of it is stored, so nobody can stay online as a ghost.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{Role, Uid};

/// A presence signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum PresenceSignal {
    /// Who is online at one worker.
    #[serde(rename = "presence_report")]
    Report(PresenceReport),
    /// Asks every worker to answer with its [`PresenceReport`] to the message's reply subject.
    #[serde(rename = "presence_query")]
    Query,
}

impl PresenceSignal {
    /// The signal as it is published.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        // Strings, integers and booleans only: serialization has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A member who is online.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct OnlineMember {
    /// Who.
    pub uid: Uid,
    /// The member's role.
    pub role: Role,
}

/// Who is online in a channel at one worker. It replaces what that worker reported before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceReport {
    /// The worker, by a random number of its own.
    pub origin: u64,
    /// Members with a socket there; none takes the report back.
    pub members: Vec<OnlineMember>,
    /// Whether there are more than are listed.
    pub more: bool,
    /// How long the report holds, in milliseconds, unless it is renewed. This is what ends the
    /// presence of members whose gateway was killed.
    pub lasts_ms: u64,
    /// Whether the others are asked for their reports.
    pub asks: bool,
}

impl PresenceReport {
    /// How long the report holds.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        Duration::from_millis(self.lasts_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_signals_have_their_golden_forms() {
        let report = PresenceSignal::Report(PresenceReport {
            origin: 7,
            members: vec![OnlineMember { uid: Uid::parse("ann").unwrap(), role: Role::guest() }],
            more: false,
            lasts_ms: 50_000,
            asks: true,
        });
        let golden = r#"{"type":"presence_report","origin":7,"members":[{"uid":"ann","role":"guest"}],"more":false,"lasts_ms":50000,"asks":true}"#;
        assert_eq!(String::from_utf8(report.to_payload()).unwrap(), golden);
        assert_eq!(serde_json::from_str::<PresenceSignal>(golden).unwrap(), report);
        let query = PresenceSignal::Query.to_payload();
        assert_eq!(String::from_utf8(query).unwrap(), r#"{"type":"presence_query"}"#);
    }
}
