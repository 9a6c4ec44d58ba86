//! What is said of keys that lead to no setting: the nearest one, and no part of a secret.

use super::yaml::Value;
use crate::config::known;

/// What is wrong with keys that lead to no setting.
pub(super) fn reason(service: Option<&'static str>, keys: &[String], value: &Value) -> String {
    let name = keys.join("_");
    let above = (1..keys.len()).rev().find_map(|count| known::find(&keys[..count].join("_")));
    if let Some(setting) = above {
        // What stands under it may be a part of its value, and that may be a secret.
        return format!("{} has a value, and no settings under it", setting.name);
    }
    if let (Some(service), true) = (service, name.is_empty()) {
        return format!("{service} is a service, whose settings stand under it");
    }
    if let Some(setting) = known::of_group(&name) {
        return format!(
            "{name} is no setting, but begins the name of some, such as {}",
            setting.name
        );
    }
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    match nearest(service, keys) {
        Some(nearest) => format!("unknown setting {name}; did you mean {nearest}?"),
        // A part of a secret stands alone, as after a comma in braces.
        None if *value != Value::Nothing && name.chars().all(is_name) => {
            format!("unknown setting {name}")
        }
        None => "this is no setting's name".to_owned(),
    }
}

/// The name that was meant, probably.
fn nearest(service: Option<&'static str>, keys: &[String]) -> Option<&'static str> {
    let name = keys.join("_").to_ascii_lowercase();
    let ends: Vec<_> =
        (1..keys.len()).filter_map(|count| known::find(&keys[count..].join("_"))).collect();
    if service.is_none() && !ends.is_empty() {
        let of_service = closest(known::SERVICES.into_iter(), &keys[0].to_ascii_lowercase());
        if of_service.is_some() {
            return of_service;
        }
    }
    // Under a heading of the writer's own.
    if let Some(end) = ends.first() {
        return Some(end.name);
    }
    let may_be = known::all()
        .filter(|variable| service.is_none_or(|service| variable.readers.contains(&service)));
    closest(may_be.map(|variable| variable.name), &name)
}

/// The candidate that takes the fewest typing errors to become `name`, if that is few.
fn closest(candidates: impl Iterator<Item = &'static str>, name: &str) -> Option<&'static str> {
    let distance = |candidate| strsim::damerau_levenshtein(candidate, name);
    let (errors, nearest) =
        candidates.map(|candidate| (distance(candidate), candidate)).min_by_key(|each| each.0)?;
    (errors <= 3 && errors * 3 <= nearest.len()).then_some(nearest)
}
