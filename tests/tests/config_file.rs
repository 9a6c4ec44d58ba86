//! Services that are configured by a file.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use goch_tests::{Member, SERVICES, Service, System};
use reqwest::Method;
use serde_json::json;

/// Variables of one service.
type Variables = BTreeMap<String, String>;

/// Moves what the services' variables say into one file, but for their ports: what all have in common once and
/// the rest under each service's name. `more` comes first.
fn move_into_file(system: &mut System, file: &Path, more: &str) {
    let mut services: BTreeMap<&str, Variables> = BTreeMap::new();
    for service in system.services() {
        services.insert(service.binary(), service.take_variables());
        service.set("CONFIG_FILE", file.to_str().unwrap());
    }
    let mut common = services["gateway"].clone();
    common.retain(|name, value| services.values().all(|own| own.get(name) == Some(value)));
    let mut text = more.to_owned();
    write_settings(&mut text, "", &common);
    for (service, mut own) in services {
        own.retain(|name, _| !common.contains_key(name));
        writeln!(text, "{service}:").unwrap();
        write_settings(&mut text, "  ", &own);
    }
    fs::write(file, text).unwrap();
}

/// As an operator would write them: in groups, lists as lists, numbers as numbers.
fn write_settings(text: &mut String, indent: &str, variables: &Variables) {
    let mut groups: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (name, value) in variables {
        let (group, key) = name.split_once('_').unwrap_or((name, ""));
        groups.entry(group).or_default().push((key, value));
    }
    for (group, settings) in groups {
        let group = group.to_lowercase();
        if let [("", value)] = settings[..] {
            writeln!(text, "{indent}{group}: {}", yaml(value)).unwrap();
            continue;
        }
        writeln!(text, "{indent}{group}:").unwrap();
        for (key, value) in settings {
            writeln!(text, "{indent}  {}: {}", key.to_lowercase(), yaml(value)).unwrap();
        }
    }
}

fn yaml(value: &str) -> String {
    if value.parse::<i64>().is_ok() {
        value.to_owned()
    } else if value.contains(',') {
        // Texts are written alike in YAML and JSON.
        json!(value.split(',').collect::<Vec<_>>()).to_string()
    } else {
        json!(value).to_string()
    }
}

#[tokio::test]
async fn one_file_configures_all_services_and_the_environment_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goch.yaml");
    let mut system = System::builder().gateways(2).build().await;
    move_into_file(&mut system, &file, "colour:\nroles: [boss, bot]\ntext: { max: 5 }\n");
    // An unknown key, even one that says nothing, keeps every service from starting.
    for service in system.services() {
        service.spawn();
        assert_eq!(service.exit().await.code(), Some(64), "{}", service.log());
    }
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("colour:\n", "")).unwrap();
    system.gateways[1].set("TEXT_MAX", "7");
    // Left out, as far as a service is concerned.
    system.gateways[0].set("TEXT_MAX", "");
    system.spawn();
    system.ready().await;
    system.connected_to_redis().await;

    let channel = system.channel().await;
    let mut sockets = Vec::new();
    for (gateway, uid) in system.gateways.iter().zip(["ann", "ben"]) {
        let member = Member::join(gateway, &channel, uid).await;
        sockets.push(member.enter(gateway).await.0);
    }
    let [at_ann, at_ben] = &mut sockets[..] else { panic!("two gateways") };
    let say = |text: &str| json!({"type": "send", "id": text, "channel": channel, "text": text});
    at_ann.ask(&say("Hello"), "ack").await;
    assert_eq!(at_ben.expect("message").await["text"], "Hello");
    at_ann.send(&say("longer")).await;
    at_ann.expect_error("too_long", Some("text")).await;
    at_ben.ask(&say("longer"), "ack").await;
    at_ben.send(&say("too long")).await;
    at_ben.expect_error("too_long", Some("text")).await;
    // chat-admin goes by the same file, and by its own part of it.
    let admin = system.admin();
    let post = async |text: &str| {
        let path = format!("/v1/admin/channels/{channel}/messages");
        admin.post(&path, &json!({"text": text, "from_uid": "agent"})).await.status
    };
    assert_eq!(post("Bye").await, 201);
    assert_eq!(post("longer").await, 400);
    let boss = json!({"display_name": "Eve", "role": "boss"});
    let path = format!("/v1/admin/channels/{channel}/members/eve");
    let put = admin.request(Method::PUT, &path).json(&boss);
    assert_eq!(admin.send(put).await.expect(201).body["role"], "boss");
}

#[tokio::test]
async fn all_faults_of_file_and_environment_are_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goch.yaml");
    let text = "\
nats: { ulr: nats://hunter2@n, prefix: a.b }
health_address: everywhere
redis: { url: 'http://hunter2@localhost' }
otel: { traces_sampler: sometimes }
text: { max: many }
gateway:
  redis_url: redis://hunter2
  workers: 0
  token: { secret: [hunter2] }
chat-admin:
  admin_credentials: [admin:hunter2]
ingest-history:
  history: { window: [1, 2] }
broker-bridge:
  log: { replicas: 2 }
  log: { max_bytes: 1 }
  webhook: *hunter2
colour: hunter2
";
    // The last but one is no YAML, so what follows it is not read.
    fs::write(&file, text).unwrap();
    let faulty = [
        (
            "gateway",
            vec!["TEXT_MAX (FILE:5:9): ", "WORKERS (FILE:8:3): ", "TOKEN_SECRET (FILE:9:12): "],
        ),
        (
            "chat-admin",
            vec![
                "TEXT_MAX (FILE:5:9): ",
                "REDIS_URL (FILE:3:10): ",
                "ADMIN_CREDENTIALS (FILE:11:3): ",
            ],
        ),
        ("ingest-history", vec!["REDIS_URL (FILE:3:10): ", "HISTORY_IDLE_SECONDS: "]),
        ("broker-bridge", vec!["LOG_REPLICAS (FILE:15:10): ", "DEDUPLICATION_SECONDS: "]),
    ];
    for (binary, own) in faulty {
        let variables = [
            ("CONFIG_FILE", file.to_str().unwrap()),
            ("NATS_USER", binary),
            ("SHUTDOWN_GRACE_SECONDS", "-1"),
            ("HEALTH_ADDRESS", "nowhere"),
            ("HISTORY_IDLE_SECONDS", "5"),
            ("DEDUPLICATION_SECONDS", "0"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut service = Service::new(binary, binary, variables, folder.path());
        service.spawn();
        assert_eq!(service.exit().await.code(), Some(64), "{}", service.log());
        let log = service.log();
        let common = [
            "FILE:1:9: unknown setting nats_ulr; did you mean nats_url?",
            "FILE:7:3: redis_url is read by",
            "FILE:13:14: history_window has one value",
            "FILE:16:3: a key is given twice",
            "FILE:17:12: ",
            "NATS_PREFIX (FILE:1:32): ",
            "OTEL_TRACES_SAMPLER (FILE:4:9): ",
            "NATS_URL: is required",
            "NATS_PASSWORD: is required",
            "SHUTDOWN_GRACE_SECONDS: ",
            // The file's value is not what is wrong.
            "HEALTH_ADDRESS: ",
        ];
        for fault in common.into_iter().chain(own) {
            let fault = fault.replace("FILE", file.to_str().unwrap());
            assert!(log.contains(&fault), "{binary}: {fault} is not in {log}");
        }
        assert!(!log.contains("hunter2"), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_keeps_every_service_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    for binary in SERVICES {
        let variables = [("CONFIG_FILE", "no/such/file"), ("WORKERS", "0"), ("LOG_REPLICAS", "2")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut service = Service::new(binary, binary, variables, folder.path());
        service.spawn();
        assert_eq!(service.exit().await.code(), Some(64), "{}", service.log());
        let log = service.log();
        for fault in ["CONFIG_FILE: no/such/file: No such file", "NATS_URL: is required"] {
            assert!(log.contains(fault), "{log}");
        }
    }
}
