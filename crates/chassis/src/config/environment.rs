//! The variables that a configuration is read from: the process's, and where those say nothing, a file's.

use std::{cell::RefCell, collections::BTreeSet, ffi::OsString, path::PathBuf};

use goch_contract::TenantName;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, Visitor, value::Error},
    forward_to_deserialize_any,
};

use super::{
    Faults, Setting,
    file::{self, FileVariable},
    known,
};

/// The variables that a configuration is read from.
#[derive(Debug)]
pub struct Environment {
    variables: Vec<(String, String)>,
    /// What the file says of tenants.
    tenants: Vec<(TenantName, Vec<FileVariable>)>,
    /// What has been asked for: see [`super::audit`].
    asked: RefCell<BTreeSet<&'static str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileSettings {
    config_file: Setting<PathBuf>,
}

impl Environment {
    /// The environment of this process, which is `service`, and what the file says that `CONFIG_FILE` names.
    /// A variable that is set wins over the file.
    pub(crate) fn of_process(service: &str, faults: &mut Faults) -> Self {
        Self::with_file(std::env::vars_os(), service, faults)
    }

    fn with_file(
        variables: impl Iterator<Item = (OsString, OsString)>,
        service: &str,
        faults: &mut Faults,
    ) -> Self {
        let mut readable = Vec::new();
        for (name, value) in variables {
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => readable.push((name, value)),
                // What the file says, or the default, is not what was to be said.
                Err(_) if known::is_variable(&name) => faults.add(&name, "is not UTF-8"),
                Err(_) => {}
            }
        }
        let mut environment = Self::from(readable);
        let settings: FileSettings = environment.settings(faults);
        if let Some(path) = settings.config_file.optional(file::VARIABLE, faults) {
            let said = file::read(&path, service, faults);
            environment.tenants = said.tenants;
            environment.add(said.variables, faults);
        }
        environment
    }

    /// What a file alone says, for tests.
    #[cfg(test)]
    pub(super) fn with_file_at(path: &std::path::Path, service: &str, faults: &mut Faults) -> Self {
        let variable = (OsString::from(file::VARIABLE), path.as_os_str().to_owned());
        Self::with_file(std::iter::once(variable), service, faults)
    }

    /// Given variables, for tests.
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::from(variables.iter().map(owned).collect::<Vec<_>>())
    }

    /// Adds what a file says, unless a variable says something else.
    pub(super) fn add(&mut self, variables: Vec<FileVariable>, faults: &mut Faults) {
        for FileVariable { name, value, place } in variables {
            let is_same = |given: &str| given.eq_ignore_ascii_case(name);
            let is_set =
                |(given, value): &(String, String)| is_same(given) && !value.trim().is_empty();
            if self.variables.iter().any(is_set) {
                continue;
            }
            // An empty one would be a second value.
            self.variables.retain(|(given, _)| !is_same(given));
            let name = name.to_ascii_uppercase();
            faults.locate(&name, place);
            self.variables.push((name, value));
        }
    }

    /// Fills a struct of [`Setting`]s, whose field names are the variables' in lower case.
    pub fn settings<S: DeserializeOwned + Default>(&self, faults: &mut Faults) -> S {
        self.asked.borrow_mut().extend(field_names::<S>());
        envy::from_iter(self.variables.iter().cloned()).unwrap_or_else(|error| {
            faults.add("environment", error);
            S::default()
        })
    }

    /// Reads something of each tenant, from an environment that has its settings alone. Faults name the tenant.
    pub fn of_tenants<T>(
        &self,
        faults: &mut Faults,
        mut read: impl FnMut(&TenantName, &Self, &mut Faults) -> T,
    ) -> Vec<(TenantName, T)> {
        let read_one = |(tenant, variables): &(TenantName, Vec<FileVariable>)| {
            let mut own = Self::from(Vec::new());
            let mut own_faults = Faults::default();
            own.add(variables.clone(), &mut own_faults);
            let read = read(tenant, &own, &mut own_faults);
            faults.add_all(&format!("tenant {tenant}"), own_faults);
            (tenant.clone(), read)
        };
        self.tenants.iter().map(read_one).collect()
    }

    /// The names, in lower case, of all variables that have been asked for.
    pub(super) fn asked(&self) -> BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }
}

impl From<Vec<(String, String)>> for Environment {
    fn from(variables: Vec<(String, String)>) -> Self {
        Self { variables, tenants: Vec::new(), asked: RefCell::default() }
    }
}

/// The names of a struct's fields, as serde knows them.
fn field_names<S: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It is never filled: the names are all that is wanted.
    let _ = S::deserialize(FieldNames(&mut names));
    names
}

/// Notes the names of the fields that it is asked for, and has no value for any.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("there are no values"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::config::{ChassisConfig, Config as _, NatsConfig};

    fn from_file(name: &'static str, value: &str) -> FileVariable {
        FileVariable { name, value: value.to_owned(), place: "goch.yaml:3:5".to_owned() }
    }

    fn prefix(variables: &[(&str, &str)]) -> Result<String, String> {
        let mut environment = Environment::of(variables);
        let mut faults = Faults::default();
        let given = vec![from_file("nats_url", "nats://n:4222"), from_file("nats_prefix", "file")];
        environment.add(given, &mut faults);
        let config = NatsConfig::read(&environment, &mut faults);
        let config = faults.or_value(config).map_err(|faults| faults.to_string())?;
        Ok(config.subjects.prefix().to_owned())
    }

    #[test]
    fn a_variable_that_is_set_wins_over_the_file_and_an_empty_one_does_not() {
        assert_eq!(prefix(&[]).unwrap(), "file");
        assert_eq!(prefix(&[("NATS_PREFIX", "own")]).unwrap(), "own");
        // As envy reads it.
        assert_eq!(prefix(&[("nats_prefix", "own")]).unwrap(), "own");
        for empty in ["", "  "] {
            assert_eq!(prefix(&[("NATS_PREFIX", empty)]).unwrap(), "file");
        }
    }

    #[test]
    fn a_fault_says_where_the_value_comes_from() {
        let read = |variables: &[(&str, &str)]| {
            let mut environment = Environment::of(variables);
            let mut faults = Faults::default();
            environment.add(vec![from_file("health_address", "everywhere")], &mut faults);
            let config = ChassisConfig::read(&environment, &mut faults);
            faults.or_value(config).unwrap_err().to_string()
        };
        let faults = read(&[]);
        assert!(faults.contains("HEALTH_ADDRESS (goch.yaml:3:5): invalid"), "{faults}");
        let faults = read(&[("HEALTH_ADDRESS", "nowhere")]);
        assert!(faults.contains("HEALTH_ADDRESS: invalid"), "{faults}");
    }

    #[test]
    fn a_value_that_is_no_text_is_a_fault_if_the_variable_is_ours() {
        let variables = |names: [&str; 3]| {
            names.map(|name| (OsString::from(name), OsString::from_vec(vec![b'a', 0xff])))
        };
        let faults = |names| {
            let mut faults = Faults::default();
            Environment::with_file(variables(names).into_iter(), "gateway", &mut faults);
            faults.to_string()
        };
        assert_eq!(faults(["LS_COLORS", "PWD", "NATS_URLS"]), "");
        let faults = faults(["NATS_PASSWORD", "CONFIG_FILE", "PWD"]);
        assert_eq!(faults, "NATS_PASSWORD: is not UTF-8; CONFIG_FILE: is not UTF-8");
    }

    #[test]
    fn the_file_that_is_named_is_read_for_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("goch.yaml");
        std::fs::write(&path, "nats: {url: nats://n}\ngateway: {nats: {prefix: own}}").unwrap();
        let prefix = |service| {
            let variables = [(OsString::from("CONFIG_FILE"), path.clone().into_os_string())];
            let mut faults = Faults::default();
            let environment = Environment::with_file(variables.into_iter(), service, &mut faults);
            let config = NatsConfig::read(&environment, &mut faults);
            faults.or_value(config).unwrap().subjects.prefix().to_owned()
        };
        assert_eq!((&*prefix("gateway"), &*prefix("chat-admin")), ("own", "goch"));
    }
}
