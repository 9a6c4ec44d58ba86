//! `deploy/compose-secrets.sh`: makes the one file that compose is configured by.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

const EXAMPLE: &str = include_str!("../../.env.example");

const SECRETS: [&str; 8] = [
    "ADMIN_CREDENTIALS",
    "NATS_GATEWAY_PASSWORD",
    "NATS_CHAT_ADMIN_PASSWORD",
    "NATS_INGEST_HISTORY_PASSWORD",
    "NATS_BROKER_BRIDGE_PASSWORD",
    "REDIS_CHAT_ADMIN_PASSWORD",
    "REDIS_INGEST_HISTORY_PASSWORD",
    "REDIS_OPERATOR_PASSWORD",
];

/// What the script says, and the file then.
fn run(file: &Path) -> (String, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/compose-secrets.sh");
    let output = Command::new(script).arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others may read it");
    (String::from_utf8(output.stdout).unwrap(), fs::read_to_string(file).unwrap())
}

/// The variables of a file that are no comments.
fn variables(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect()
}

fn is_password(text: &str) -> bool {
    let digits = text.strip_prefix('p');
    digits.is_some_and(|digits| {
        digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[test]
fn a_first_run_makes_every_secret_and_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    let (said, text) = run(&file);
    let made = variables(&text);
    assert_eq!(made.keys().copied().collect::<BTreeSet<_>>(), BTreeSet::from(SECRETS));
    for (name, value) in &made {
        let password = if *name == "ADMIN_CREDENTIALS" {
            value.strip_prefix("admin:").unwrap()
        } else {
            value
        };
        assert!(is_password(password), "{name}={value}");
        assert!(said.contains(name) && !said.contains(password), "{said}");
    }
    assert_eq!(made.values().collect::<BTreeSet<_>>().len(), SECRETS.len(), "some are the same");
    // The rest is as in the example, line by line.
    let others = |text: &str| -> Vec<String> {
        let is_other = |line: &&str| !SECRETS.iter().any(|name| line.starts_with(name));
        text.lines().filter(is_other).map(str::to_owned).collect()
    };
    assert_eq!(others(&text), others(EXAMPLE));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something is left behind");
}

#[test]
fn what_has_a_value_stays_however_often_it_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".env");
    // The last line does not end.
    let own = "# mine\nNATS_GATEWAY_PASSWORD=chosen=here\nexport REDIS_OPERATOR_PASSWORD = 'quoted'\n\
        NATS_CHAT_ADMIN_PASSWORD=\nADMIN_CREDENTIALS=\nADMIN_CREDENTIALS_FILE=/etc/goch/credentials\n\
        ALLOWED_ORIGINS='https://a.example.org,*' # all\nROLES=supervisor";
    fs::write(&file, own).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (said, text) = run(&file);
    let filled: Vec<_> = own.lines().zip(text.lines()).collect();
    assert_eq!(filled.len(), own.lines().count());
    for (before, after) in filled {
        match before {
            "NATS_CHAT_ADMIN_PASSWORD=" => {
                assert!(is_password(after.strip_prefix(before).unwrap()), "{after}");
            }
            _ => assert_eq!(before, after),
        }
    }
    let added = text.lines().skip(own.lines().count());
    let added: BTreeSet<_> = added.filter_map(|line| line.split_once('=')).collect();
    let names: Vec<_> = added.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "NATS_BROKER_BRIDGE_PASSWORD",
            "NATS_INGEST_HISTORY_PASSWORD",
            "REDIS_CHAT_ADMIN_PASSWORD",
            "REDIS_INGEST_HISTORY_PASSWORD",
        ]
    );
    assert!(added.iter().all(|(_, value)| is_password(value)), "{added:?}");
    for kept in ["NATS_GATEWAY_PASSWORD", "REDIS_OPERATOR_PASSWORD", "ADMIN_CREDENTIALS_FILE"] {
        assert!(said.contains(&format!("kept     {kept}\n")), "{kept} is not kept in {said}");
    }
    // What somebody has opened to others is closed again, though nothing is to be written.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(run(&file).1, text);
}
