//! What a file says to which service, and what is wrong with it.

use super::*;

fn parse(text: &str) -> (Settings, String) {
    let mut faults = Faults::default();
    let settings = Settings::parse(text, Path::new("goch.yaml"), &mut faults);
    (settings, faults.to_string())
}

/// What a service gets: names and values.
fn of_service(service: &str, text: &str) -> Vec<(&'static str, String)> {
    let (settings, faults) = parse(text);
    assert_eq!(faults, "", "{text}");
    let variables = settings.of_service(service, Path::new("goch.yaml"));
    variables.into_iter().map(|variable| (variable.name, variable.value)).collect()
}

fn fault(text: &str) -> String {
    parse(text).1
}

#[test]
fn groups_are_the_beginnings_of_names_and_may_be_left_out() {
    for text in [
        "nats_url: nats://n",
        "nats: {url: nats://n}",
        "nats:\n  url: nats://n\n  user:\n",
        "gateway: {nats: {url: nats://n}}",
        "gateway: {nats_url: nats://n}\nredis:\nbroker-bridge:\n",
    ] {
        let expected = [("nats_url", "nats://n".to_owned())];
        assert_eq!(of_service("gateway", text), expected, "{text}");
    }
}

#[test]
fn what_stands_under_a_service_is_for_that_alone_and_wins() {
    let text = "
nats: {user: all, prefix: acme}
listen_address: 127.0.0.1:80
gateway:
  nats: {user: gateway, prefix: }
  listen_address: 127.0.0.1:81
chat-admin:
  redis: {url: redis://r}
";
    let pair = |name, value: &str| (name, value.to_owned());
    let (user, prefix) = (pair("nats_user", "gateway"), pair("nats_prefix", "acme"));
    let address = pair("listen_address", "127.0.0.1:81");
    assert_eq!(of_service("gateway", text), [user, prefix, address]);
    let (user, prefix) = (pair("nats_user", "all"), pair("nats_prefix", "acme"));
    let (address, redis) = (pair("listen_address", "127.0.0.1:80"), pair("redis_url", "redis://r"));
    let expected = [user.clone(), prefix.clone(), address, redis];
    assert_eq!(of_service("chat-admin", text), expected);
    assert_eq!(of_service("broker-bridge", text), [user, prefix]);
}

#[test]
fn lists_are_what_variables_separate_by_commas() {
    let text = "
roles: [supervisor, bot]
reserved_uids: []
webhook: {retry_seconds: [1, 20]}
token:
  secret:
    - one
    - two
";
    let pair = |name, value: &str| (name, value.to_owned());
    let expected = [pair("roles", "supervisor,bot"), pair("token_secret", "one,two")];
    assert_eq!(of_service("gateway", text), expected);
    assert_eq!(of_service("broker-bridge", text), [pair("webhook_retry_seconds", "1,20")]);
}

#[test]
fn every_unknown_key_is_a_fault_with_its_place_and_the_nearest_name() {
    for (text, expected) in [
        ("nats: {ulr: x}", "goch.yaml:1:8: unknown setting nats_ulr; did you mean nats_url?"),
        ("natss: {url: x}", "goch.yaml:1:9: unknown setting natss_url; did you mean nats_url?"),
        ("NATS_URL: x", "goch.yaml:1:1: unknown setting NATS_URL; did you mean nats_url?"),
        (
            "limits: {text_max: 1}",
            "goch.yaml:1:10: unknown setting limits_text_max; did you mean text_max?",
        ),
        (
            "chat_admin: {reserved_uids: x}",
            "goch.yaml:1:14: unknown setting chat_admin_reserved_uids; did you mean chat-admin?",
        ),
        (
            "gatway: {workers: 2}",
            "goch.yaml:1:10: unknown setting gatway_workers; did you mean gateway?",
        ),
        ("colour: red", "goch.yaml:1:1: unknown setting colour"),
        ("colours: {}", "goch.yaml:1:1: this is no setting's name"),
        ("config_file: x", "goch.yaml:1:1: unknown setting config_file"),
    ] {
        assert_eq!(fault(text), expected);
    }
    let all = fault("b: 1\nnats: {ulr: 2}\na: *b\n");
    let places = ["goch.yaml:1:1: ", "goch.yaml:2:8: ", "goch.yaml:3:4: "];
    let found = places.map(|place| all.find(place));
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{all}");
}

#[test]
fn a_setting_where_it_cannot_be_is_a_fault() {
    for (text, expected) in [
        (
            "gateway: {redis_url: r}",
            "redis_url is read by chat-admin and ingest-history, not by gateway",
        ),
        ("gateway: 5", "gateway is a service, whose settings stand under it"),
        ("nats: n", "nats is no setting, but begins the name of some, such as nats_url"),
        ("nats_user: [a, b]", "nats_user has one value, not a list"),
        ("roles: [a, 'b,c']", "an element of roles is empty or has a comma"),
        ("roles: [a, ~]", "an element of roles is empty or has a comma"),
        ("nats_url: a\nnats: {url: b}", "nats_url is given twice, first at 1:1"),
    ] {
        let fault = fault(text);
        assert!(fault.ends_with(expected), "{text}: {fault}");
    }
}

#[test]
fn what_may_be_a_secret_is_not_repeated() {
    for text in [
        "token_secret: {{ hunter2 }}",
        "nats: { user: gateway, password: abc,hunter2 }",
        "token: {secret: abc,hunter2}",
        "token_secret: {hunter2}",
        "token: {secret: {hunter2: {hunter2: 1}}}",
        "admin_credentials: [{desk: hunter2}]",
        "admin_credentials: {'desk:hunter2'}",
        "nats: hunter2",
        "colour: hunter2",
        "desk:hunter2: x",
        "nats_user: [hunter2]",
        "hunter2",
    ] {
        let fault = fault(text);
        assert!(!fault.is_empty() && !fault.contains("hunter2"), "{text}: {fault}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("binary"), b"nats: \xff").unwrap();
    std::fs::write(path("large"), vec![b'#'; 1 << 21]).unwrap();
    for (name, expected) in [
        ("none", "No such file"),
        (".", "directory"),
        ("binary", "UTF-8"),
        ("large", "more than 1048576 bytes"),
    ] {
        let mut faults = Faults::default();
        assert_eq!(read(&path(name), "gateway", &mut faults).variables, []);
        let faults = faults.to_string();
        let begins = format!("CONFIG_FILE: {}: ", path(name).display());
        assert!(faults.starts_with(&begins) && faults.contains(expected), "{faults}");
    }
}
