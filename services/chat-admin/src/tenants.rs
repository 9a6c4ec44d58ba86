//! What holds in the channels of each tenant, and in those that are no tenant's.

use goch_chassis::config::{Config, Environment, Faults, Setting};
use goch_contract::{ChannelName, ChannelScope, TenantName, Tenants};
use serde::Deserialize;

use crate::{principal::Principal, registry::MEMBERS_MAX, reserved::ReservedUids};

/// Uids that nobody can join as, if the operator does not say: what says something over REST in nobody's
/// name is called so.
const RESERVED_UIDS: &str = "system";

/// What holds in some channels.
#[derive(Debug, Clone, Default)]
pub(crate) struct TenantRules {
    /// Uids that nobody can join as over the public face.
    pub(crate) reserved_uids: ReservedUids,
    /// Members that a channel may have of those who join by themselves; 0 for any number.
    pub(crate) channel_members_max: usize,
    /// How many channels there may be; 0 for any number.
    pub(crate) channels_max: usize,
    /// How many webhooks there may be.
    pub(crate) webhooks_max: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    channel_members_max: Setting<usize>,
    reserved_uids: Setting<String>,
}

/// What only a tenant has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Quotas {
    channels_max: Setting<usize>,
    webhooks_max: Setting<u32>,
}

impl TenantRules {
    /// What is said of a tenant; the rest is as in the installation.
    fn of_tenant(environment: &Environment, faults: &mut Faults, installation: &Self) -> Self {
        let quotas: Quotas = environment.settings(faults);
        let webhooks_max = quotas.webhooks_max.optional("WEBHOOKS_MAX", faults);
        Self {
            channels_max: quotas.channels_max.or("CHANNELS_MAX", 0, faults),
            webhooks_max,
            ..Self::read(environment, faults, Some(installation))
        }
    }

    /// What a tenant and the whole installation have alike; `default` is what is left out.
    fn read(environment: &Environment, faults: &mut Faults, default: Option<&Self>) -> Self {
        let settings: Settings = environment.settings(faults);
        let reserved = settings.reserved_uids.optional("RESERVED_UIDS", faults);
        let reserved_uids = match (reserved, default) {
            (None, Some(default)) => default.reserved_uids.clone(),
            (given, _) => {
                let patterns = given.unwrap_or_else(|| RESERVED_UIDS.to_owned());
                ReservedUids::parse(&patterns).unwrap_or_else(|error| {
                    faults.add("RESERVED_UIDS", error);
                    ReservedUids::default()
                })
            }
        };
        let members_max = default.map_or(MEMBERS_MAX, |default| default.channel_members_max);
        Self {
            reserved_uids,
            channel_members_max: settings.channel_members_max.or(
                "CHANNEL_MEMBERS_MAX",
                members_max,
                faults,
            ),
            channels_max: 0,
            webhooks_max: None,
        }
    }
}

/// The rules of all channels.
#[derive(Debug, Default)]
pub(crate) struct AllRules {
    pub(crate) tenants: Tenants,
    installation: TenantRules,
    of_tenants: Vec<(TenantName, TenantRules)>,
}

impl Config for AllRules {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let installation = TenantRules::read(environment, faults, None);
        let of_tenants = environment.of_tenants(faults, |_, environment, faults| {
            TenantRules::of_tenant(environment, faults, &installation)
        });
        // Its faults are named where every service reads it.
        let tenants = Tenants::read(environment, &mut Faults::default());
        Self { tenants, installation, of_tenants }
    }
}

impl AllRules {
    /// What holds in a channel.
    pub(crate) fn of_channel(&self, channel: &ChannelName) -> &TenantRules {
        self.of(self.tenants.of(channel))
    }

    /// What holds for a tenant, or for what is no tenant's.
    pub(crate) fn of(&self, tenant: Option<&TenantName>) -> &TenantRules {
        let mut all = self.of_tenants.iter();
        let found = tenant.and_then(|tenant| all.find(|(name, _)| name == tenant));
        found.map_or(&self.installation, |(_, rules)| rules)
    }

    /// The channels that there are for somebody.
    pub(crate) fn visible_to(&self, principal: &Principal) -> ChannelScope {
        match &principal.tenant {
            Some(tenant) => self.tenants.channels_of(Some(tenant)),
            None => ChannelScope::default(),
        }
    }
}
