//! What version 1 has said and was told goes on being given and read: the fixtures in `fixtures/v1` hold it.
//!
//! A fixture is never changed, as long as there is a version 1; others are added (`docs/versioning.md`). What is new
//! and has none is named by [`whole`]. Webhooks' payloads are held by broker-bridge, which makes them.

mod given;
mod read;
mod whole;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

/// Fixtures by the name of their type, of frames by their `type`.
type Fixtures = BTreeMap<String, Vec<Value>>;

/// One of the files.
fn fixtures(file: &str) -> Fixtures {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1").join(file);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The same object with a field that nobody knows, here and in each object that it has.
fn with_unknown_fields(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let fields = object.iter().map(|(name, value)| {
                // Whatever the product attaches has no unknown fields.
                let value = if name == "meta" { value.clone() } else { with_unknown_fields(value) };
                (name.clone(), value)
            });
            let unknown = ("of_a_later_version".to_owned(), Value::from(vec![1]));
            Value::Object(fields.chain([unknown]).collect())
        }
        Value::Array(values) => values.iter().map(with_unknown_fields).collect(),
        other => other.clone(),
    }
}

/// Checks that `given` has all that the fixture has. It may have more: later versions of Goch add fields.
fn assert_covers(given: &Value, fixture: &Value, what: &str) {
    match (given, fixture) {
        (Value::Object(given), Value::Object(fixture)) => {
            for (name, value) in fixture {
                let field = given.get(name).unwrap_or_else(|| panic!("{what} has no {name}"));
                assert_covers(field, value, &format!("{what}.{name}"));
            }
        }
        (Value::Array(given), Value::Array(fixture)) => {
            assert_eq!(given.len(), fixture.len(), "{what}");
            for (given, fixture) in given.iter().zip(fixture) {
                assert_covers(given, fixture, what);
            }
        }
        (given, fixture) => assert_eq!(given, fixture, "{what}"),
    }
}

/// Calls [`assert_passes`] for each fixture of a file, with the type that its name stands for.
macro_rules! each_passes {
    ($file:literal: $($body:ident),* $(,)?) => {
        let mut fixtures = crate::fixtures::fixtures($file);
        $(
            let own = fixtures.remove(stringify!($body)).unwrap_or_default();
            assert!(!own.is_empty(), "{} has no {}", $file, stringify!($body));
            for fixture in &own {
                crate::fixtures::assert_passes::<$body>(fixture, stringify!($body));
            }
        )*
        let left: Vec<_> = fixtures.keys().collect();
        assert!(left.is_empty(), "{}: nobody looks at {left:?}: add them to the list", $file);
    };
}
use each_passes;

/// Checks that a body is read whole, with unknown fields too, and given alike.
fn assert_passes<T: serde::de::DeserializeOwned + serde::Serialize>(fixture: &Value, what: &str) {
    for fixture in [fixture.clone(), with_unknown_fields(fixture)] {
        // From text, as bodies come.
        let body: T = serde_json::from_str(&fixture.to_string())
            .unwrap_or_else(|fault| panic!("{what} is not read any more: {fault}: {fixture}"));
        let again = serde_json::to_value(&body).unwrap();
        assert_covers(&again, &without_unknown_fields(&fixture), what);
    }
}

fn without_unknown_fields(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let known = object.iter().filter(|(name, _)| *name != "of_a_later_version");
            known.map(|(name, value)| (name.clone(), without_unknown_fields(value))).collect()
        }
        Value::Array(values) => values.iter().map(without_unknown_fields).collect(),
        other => other.clone(),
    }
}
