//! What a file says of tenants: under `tenants`, and there under each one's name.

use std::{collections::BTreeMap, path::Path};

use goch_contract::TenantName;

use super::{
    FileVariable, value,
    yaml::{Entry, Place, Value},
};
use crate::config::known;

/// The settings of all tenants.
#[derive(Debug, Default)]
pub(in crate::config) struct TenantSettings(BTreeMap<TenantName, Settings>);

type Settings = BTreeMap<&'static str, (Place, Option<String>)>;

impl TenantSettings {
    /// Adds what stands at `keys`, the first of which is a tenant's name.
    pub(super) fn add(&mut self, keys: &[String], entry: &Entry) -> Result<(), String> {
        let Some((tenant, keys)) = keys.split_first() else {
            // No tenants yet.
            return if entry.value == Value::Nothing { Ok(()) } else { Err(no_name()) };
        };
        let tenant =
            TenantName::parse(tenant).map_err(|error| format!("a tenant's name {error}"))?;
        let name = keys.join("_");
        let settings = self.0.entry(tenant).or_default();
        let Some(name) = known::of_tenant(&name) else {
            let begins = |known: &str| {
                known
                    .strip_prefix(&name)
                    .is_some_and(|rest| name.is_empty() || rest.starts_with('_'))
            };
            let is_group = known::of_tenants().any(begins);
            if is_group && entry.value == Value::Nothing {
                return Ok(());
            }
            let known: Vec<_> = known::of_tenants().collect();
            return Err(format!("no setting of a tenant, of which there are {}", known.join(", ")));
        };
        let value = value(name, &entry.value)?;
        if let Some((first, _)) = settings.insert(name, (entry.place, value)) {
            return Err(format!("{name} is given twice, first at {first}"));
        }
        Ok(())
    }

    /// What is set of each tenant.
    pub(super) fn variables(&self, path: &Path) -> Vec<(TenantName, Vec<FileVariable>)> {
        let variables = |settings: &Settings| {
            let set = settings.iter().filter_map(|(name, (place, value))| {
                let place = format!("{}:{place}", path.display());
                Some(FileVariable { name, value: value.clone()?, place })
            });
            set.collect()
        };
        self.0.iter().map(|(tenant, settings)| (tenant.clone(), variables(settings))).collect()
    }
}

fn no_name() -> String {
    "each tenant stands under its name".to_owned()
}
