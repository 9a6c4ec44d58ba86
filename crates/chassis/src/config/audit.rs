//! Holds a service's configuration to what is said of it elsewhere, for a test in each service.

use std::{collections::BTreeSet, fmt::Debug, path::Path};

use super::{ChassisConfig, Config, Environment, Faults, file::Settings, known};

/// What is not so, of what must be:
///
/// - the list of known variables has just those for `service` that its configuration `C` asks for;
/// - `example`, the file that operators copy, has all of these;
/// - with the example the configuration is what it is without, be it as it is or with every setting that is
///   commented out taken in.
///
/// `required` is what the service does not start without.
#[must_use]
pub fn differences<C: Config + Debug>(
    service: &'static str,
    example: &str,
    required: &[(&str, &str)],
) -> Vec<String> {
    let mut differences = Vec::new();
    let (without, asked) = read::<C>(&Environment::of(required), Faults::default());
    let read_by_service = known::all().filter(|variable| variable.readers.contains(&service));
    let listed: BTreeSet<_> = read_by_service.map(|variable| variable.name).collect();
    let unlike = listed.symmetric_difference(&asked);
    differences.extend(unlike.map(|name| format!("{name} is listed or read, but not both")));
    let path = Path::new("example");
    let whole = uncommented(example);
    for text in [example, &whole] {
        let mut faults = Faults::default();
        let settings = Settings::parse(text, path, &mut faults);
        let mut environment = Environment::of(required);
        environment.add(settings.of_service(service, path), &mut faults);
        let (with, _) = read::<C>(&environment, faults);
        if with != without {
            differences.push(format!("with the example it is {with}\nand without {without}"));
        }
    }
    let settings = Settings::parse(&whole, path, &mut Faults::default());
    let shown: BTreeSet<_> = settings.names(service).collect();
    differences.extend(listed.difference(&shown).map(|name| format!("the example lacks {name}")));
    differences
}

/// A configuration, or its faults, as text; and the names that it has asked for.
fn read<C: Config + Debug>(
    environment: &Environment,
    mut faults: Faults,
) -> (String, BTreeSet<&'static str>) {
    let config = (ChassisConfig::read(environment, &mut faults), C::read(environment, &mut faults));
    let shown = match faults.or_value(config) {
        Ok(config) => format!("{config:#?}"),
        Err(faults) => faults.to_string(),
    };
    (shown, environment.asked())
}

/// The example with its settings taken in: they have no space after `#`, comments have one.
fn uncommented(example: &str) -> String {
    let line = |line: &str| match line.split_once('#') {
        Some((indent, setting))
            if indent.trim().is_empty()
                && setting.starts_with(|first: char| first.is_alphanumeric()) =>
        {
            format!("{indent}{setting}\n")
        }
        _ => format!("{line}\n"),
    };
    example.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RedisConfig;

    const REQUIRED: [(&str, &str); 2] = [("NATS_URL", "nats://n"), ("REDIS_URL", "redis://r")];

    fn found(example: &str) -> Vec<String> {
        // What ingest-history reads, but for its own two.
        differences::<RedisConfig>("ingest-history", example, &REQUIRED)
    }

    #[test]
    fn whatever_is_not_said_alike_is_found() {
        let empty = found("");
        let has = |differences: &[String], part: &str| {
            differences.iter().any(|difference| difference.contains(part))
        };
        assert!(has(&empty, "history_window is listed or read, but not both"), "{empty:?}");
        assert!(!has(&empty, "redis_url is listed"), "{empty:?}");
        assert!(has(&empty, "the example lacks redis_url"), "{empty:?}");
        let named = found("# Where Redis is.\n#redis_url:\n");
        assert!(!has(&named, "lacks redis_url") && !has(&named, "with the example"), "{named:?}");
        let other = found("#shutdown_grace_seconds: 26\n");
        assert!(has(&other, "with the example"), "{other:?}");
        let unknown = found("#shutdown_grace_minutes: 1\n");
        assert!(has(&unknown, "unknown setting"), "{unknown:?}");
    }
}
