//! Tokens where there are tenants: whose keys count is decided by the channel that a token is to open.

use goch_chassis::{Chassis, StartError};
use goch_contract::{ChannelName, TenantName, Tenants};

use super::{Keyring, Tokens};
use crate::GatewayConfig;

/// The keys of the installation, for channels that are no tenant's, and those of each tenant. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TenantKeyrings {
    own: Keyring,
    of_tenants: Vec<(TenantName, Keyring)>,
}

impl TenantKeyrings {
    /// Begins to read all keys. Readiness waits for the installation's own alone: no tenant keeps the others out.
    ///
    /// # Errors
    /// When there is no way to ask for keys.
    pub(crate) fn start(config: &GatewayConfig, chassis: &Chassis) -> Result<Self, StartError> {
        let own = Keyring::start(&config.tokens, None, chassis)?;
        let of_tenants = config.tenant_tokens.iter().map(|(tenant, config)| {
            Ok((tenant.clone(), Keyring::start(config, Some(tenant), chassis)?))
        });
        Ok(Self { own, of_tenants: of_tenants.collect::<Result<_, StartError>>()? })
    }
}

/// Checks the tokens of one worker's clients.
pub(crate) struct TenantTokens {
    tenants: Tenants,
    own: Tokens,
    of_tenants: Vec<(TenantName, Tokens)>,
}

impl TenantTokens {
    pub(crate) fn new(keyrings: TenantKeyrings, config: &GatewayConfig, tenants: &Tenants) -> Self {
        let (roles, limits) = (&config.roles, &config.limits);
        let TenantKeyrings { own, of_tenants } = keyrings;
        let scope = tenants.channels_of(None);
        let own = Tokens::new(own, &config.tokens, scope, roles, limits);
        // Both are in the order of the configuration.
        let of_tenants = of_tenants.into_iter().zip(&config.tenant_tokens);
        let of_tenants = of_tenants.map(|((tenant, keyring), (_, config))| {
            let scope = tenants.channels_of(Some(&tenant));
            (tenant, Tokens::new(keyring, config, scope, roles, limits))
        });
        let of_tenants = of_tenants.collect();
        Self { tenants: tenants.clone(), own, of_tenants }
    }

    /// What checks a token that is to open this channel.
    pub(crate) fn of_channel(&self, channel: &ChannelName) -> &Tokens {
        let Some(tenant) = self.tenants.of(channel) else { return &self.own };
        let mut all = self.of_tenants.iter();
        // Each tenant is configured, with keys or without.
        all.find(|(name, _)| name == tenant).map_or(&self.own, |(_, tokens)| tokens)
    }

    /// What checks a token that is to go on with these channels: each tenant's once.
    pub(crate) fn of_channels<'a>(
        &self,
        channels: impl Iterator<Item = &'a ChannelName>,
    ) -> Vec<&Tokens> {
        let mut all = Vec::<&Tokens>::new();
        for channel in channels {
            let tokens = self.of_channel(channel);
            if !all.iter().any(|known| std::ptr::eq(*known, tokens)) {
                all.push(tokens);
            }
        }
        all
    }
}
