//! Which tenants there are.

use goch_contract::Tenants;
use serde::Deserialize;

use super::{Config, Environment, Faults, Setting};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TenantSettings {
    channel_prefix: Setting<String>,
}

impl Config for Tenants {
    fn read(environment: &Environment, faults: &mut Faults) -> Self {
        let mut are_whole = true;
        let tenants = environment.of_tenants(faults, |_, environment, faults| {
            let settings: TenantSettings = environment.settings(faults);
            are_whole &= settings.channel_prefix.is_given();
            settings.channel_prefix.required("CHANNEL_PREFIX", faults)
        });
        // What is missing is named already.
        if !are_whole {
            return Self::default();
        }
        Self::new(tenants).unwrap_or_else(|error| {
            faults.add("CHANNEL_PREFIX", error);
            Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tenants, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("goch.yaml");
        std::fs::write(&path, text).unwrap();
        let mut faults = Faults::default();
        let environment = Environment::with_file_at(&path, "gateway", &mut faults);
        let tenants = Tenants::read(&environment, &mut faults);
        faults
            .or_value(tenants)
            .map_err(|faults| faults.to_string().replace(path.to_str().unwrap(), "F"))
    }

    #[test]
    fn a_file_names_tenants_with_their_prefixes() {
        for (text, count) in [
            ("tenants:", 0),
            ("tenants: {}", 0),
            ("tenants: {acme: {channel_prefix: acme.}}", 1),
            (
                "tenants:\n  acme:\n    channel: {prefix: acme.}\n    token:\n  b: {channel_prefix: 'b:'}",
                2,
            ),
        ] {
            let tenants = read(text).unwrap();
            let has = |channel: &str| {
                tenants.of(&goch_contract::ChannelName::parse(channel).unwrap()).is_some()
            };
            let found = ["acme.1", "b:1", "c"].into_iter().filter(|channel| has(channel)).count();
            assert_eq!(found, count, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_tenant_names_it_and_the_place() {
        for (text, fault) in [
            ("tenants: {acme: }", "tenant acme: CHANNEL_PREFIX: is required"),
            (
                "tenants: {a: {channel_prefix: x}, b: {channel_prefix: xy}}",
                "the prefix of b begins with that of a",
            ),
            ("tenants: {a b: {channel_prefix: x}}", "F:1:17: a tenant's name may only contain"),
            (
                "tenants: {a: {nats_url: nats://n, channel_prefix: x}}",
                "F:1:15: no setting of a tenant",
            ),
            (
                "tenants: {a: {channel_prefix: [x, y]}}",
                "F:1:15: channel_prefix has one value, not a list",
            ),
            ("tenants: {a: {channel_prefix: x, channel: {prefix: y}}}", "given twice"),
            ("tenants: acme", "each tenant stands under its name"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(fault), "{text}: {told}");
        }
    }
}
