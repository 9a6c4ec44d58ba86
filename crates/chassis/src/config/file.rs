//! A configuration file, which stands for variables.
//!
//! The keys that lead to a value, joined with `_`, are a variable's name in lower case. What stands under a
//! service's name is for that service alone, and wins over what stands there for all.

mod tenants;
mod unknown;
mod yaml;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use goch_contract::TenantName;

use self::{
    tenants::TenantSettings,
    yaml::{Entry, Place, Value},
};
use super::{Faults, known};

/// The variable that names the file.
pub(super) const VARIABLE: &str = "CONFIG_FILE";

/// The largest file, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// A variable that a file sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileVariable {
    /// Its name, in lower case.
    pub(super) name: &'static str,
    /// Its value.
    pub(super) value: String,
    /// File, line and column.
    pub(super) place: String,
}

/// What a file says to one service.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) variables: Vec<FileVariable>,
    /// The tenants, each with its own settings.
    pub(super) tenants: Vec<(TenantName, Vec<FileVariable>)>,
}

/// What a file sets for `service`. Faults are those of the whole file, whomever it is for, but for values,
/// which only their readers judge.
pub(super) fn read(path: &Path, service: &str, faults: &mut Faults) -> Said {
    match text(path) {
        Ok(text) => {
            let settings = Settings::parse(&text, path, faults);
            let variables = settings.of_service(service, path);
            Said { variables, tenants: settings.tenants.variables(path) }
        }
        Err(error) => {
            faults.add(VARIABLE, format_args!("{}: {error}", path.display()));
            Said::default()
        }
    }
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// For whom a setting is, none for all who read it, and its name.
type Key = (Option<&'static str>, &'static str);

/// All that a file sets, for whomever.
#[derive(Debug, Default)]
pub(super) struct Settings {
    of_services: BTreeMap<Key, (Place, Option<String>)>,
    pub(super) tenants: TenantSettings,
}

impl Settings {
    /// Reads the text of the file at `path`.
    pub(super) fn parse(text: &str, path: &Path, faults: &mut Faults) -> Self {
        let document = yaml::read(text);
        let mut wrong = document.faults;
        let mut settings = Self::default();
        for entry in document.entries {
            let added = match entry.keys.split_first() {
                Some((first, keys)) if first == known::TENANTS => {
                    settings.tenants.add(keys, &entry)
                }
                _ => settings.add(&entry),
            };
            if let Err(reason) = added {
                wrong.push((entry.place, reason));
            }
        }
        wrong.sort();
        for (place, reason) in wrong {
            faults.add(&format!("{}:{place}", path.display()), reason);
        }
        settings
    }

    fn add(&mut self, entry: &Entry) -> Result<(), String> {
        let Some((key, value)) = setting(entry)? else { return Ok(()) };
        let name = key.1;
        if let Some((first, _)) = self.of_services.insert(key, (entry.place, value)) {
            return Err(format!("{name} is given twice, first at {first}"));
        }
        Ok(())
    }

    /// The names that the file has for a service, whatever it says of them.
    pub(super) fn names(&self, service: &str) -> impl Iterator<Item = &'static str> {
        let is_for = move |key: &&Key| key.0.is_none_or(|other| other == service);
        self.of_services.keys().filter(is_for).map(|key| key.1)
    }

    /// What it sets for a service.
    pub(super) fn of_service(&self, service: &str, path: &Path) -> Vec<FileVariable> {
        let read = known::all().filter(|variable| variable.readers.contains(&service));
        read.filter_map(|variable| {
            let said = |scope| {
                self.of_services.get(&(scope, variable.name)).filter(|(_, value)| value.is_some())
            };
            let (place, value) = said(known::service(service)).or_else(|| said(None))?;
            Some(FileVariable {
                name: variable.name,
                value: value.clone()?,
                place: format!("{}:{place}", path.display()),
            })
        })
        .collect()
    }
}

/// The setting that an entry is, with its value, if it has one; none if the entry is a group that is empty.
fn setting(entry: &Entry) -> Result<Option<(Key, Option<String>)>, String> {
    let service = entry.keys.first().and_then(|key| known::service(key));
    let keys = &entry.keys[usize::from(service.is_some())..];
    let name = keys.join("_");
    let Some(variable) = known::find(&name) else {
        let is_group = name.is_empty() || known::of_group(&name).is_some();
        if is_group && entry.value == Value::Nothing {
            return Ok(None);
        }
        return Err(unknown::reason(service, keys, &entry.value));
    };
    let name = variable.name;
    if let Some(service) = service.filter(|service| !variable.readers.contains(service)) {
        let readers = variable.readers.join(" and ");
        return Err(format!("{name} is read by {readers}, not by {service}"));
    }
    Ok(Some(((service, name), value(name, &entry.value)?)))
}

/// A setting's value as a variable would have it; none if there is none.
fn value(name: &str, given: &Value) -> Result<Option<String>, String> {
    let value = match given {
        Value::Nothing => None,
        Value::One(value) => Some(value.clone()),
        Value::Many(_) if !known::is_list(name) => {
            return Err(format!("{name} has one value, not a list"));
        }
        Value::Many(items) => {
            // Joined with the others it would be two, or none.
            if items.iter().any(|item| item.trim().is_empty() || item.contains(',')) {
                return Err(format!("an element of {name} is empty or has a comma"));
            }
            Some(items.join(","))
        }
    };
    Ok(value.filter(|value| !value.trim().is_empty()))
}

#[cfg(test)]
mod tests;
