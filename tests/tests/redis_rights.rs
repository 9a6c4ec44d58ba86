//! What each service may do on Redis: enough, and nothing with the other's keys.

use goch_tests::{Member, Servers, System, texts, until};
use serde_json::json;

/// The keys of each service, in a channel and apart from one.
const KEYS: [(&str, &[&str]); 2] = [
    (
        "chat-admin",
        &[
            "goch:channels",
            "goch:projection:p",
            "goch:{c}:channel",
            "goch:{c}:members",
            "goch:{c}:others",
            "goch:{c}:gone:ann",
            "goch:{ann}:memberships",
        ],
    ),
    ("ingest-history", &["goch:{c}:history:7", "goch:histories:7"]),
];

/// What anybody who has a connection would like to do.
const NEVER: [&str; 14] = [
    "FLUSHALL",
    "FLUSHDB",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "CONFIG GET *",
    "CONFIG SET dir /tmp",
    "ACL SETUSER chat-admin allkeys",
    "ACL LIST",
    "MONITOR",
    "SHUTDOWN NOSAVE",
    "REPLICAOF 127.0.0.1 1",
    "CLIENT LIST",
    "SCRIPT FLUSH",
];

fn is_refused(answer: &str) -> bool {
    answer.starts_with("-NOPERM")
}

#[tokio::test]
async fn the_services_work_under_their_users_and_are_refused_nothing() {
    let mut servers = Servers::new();
    servers.redis.only_prefix("goch");
    let system = System::builder().servers(servers).prefix("goch").start().await;
    let (channel, secret) = system.private_channel().await;
    let ann = Member::join_private(system.gateway(), &channel, Some(&secret), "ann").await;
    let ben = Member::join_private(system.gateway(), &channel, Some(&secret), "ben").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let base = format!("/v1/admin/channels/{channel}");
    for round in 0..2 {
        let first = at_ann.say(&channel, "one").await;
        let (id, seq) = (format!("edit-{round}"), &first["seq"]);
        let edit = json!({"type": "edit", "id": id, "channel": channel, "seq": seq, "text": "two"});
        at_ann.ask(&edit, "ack").await;
        until("Redis has it all", async || {
            let page = system.admin().get(&format!("{base}/messages")).await.expect(200).body;
            let count = system.admin().get(&format!("{base}/members/ben")).await.expect(200).body;
            let shown = system.admin().get(&base).await.expect(200).body;
            let listed = system.admin().get("/v1/admin/channels").await;
            let is_whole = listed.text.contains(&channel)
                && texts(&page).last() == Some(&"two")
                && count["unread"] == round + 1
                && shown["member_count"] == 2;
            is_whole.then_some(())
        })
        .await;
        assert_ne!(system.servers().redis.ask("operator", "DBSIZE").await, ":0");
        // What is gone is read from JetStream and written again.
        system.servers().redis.flush().await;
        let _ = ben.enter(system.gateway()).await;
    }
    for path in [format!("{base}/members/ben"), format!("{base}/guests/ann"), base] {
        let request = system.admin().request(reqwest::Method::DELETE, &path);
        system.admin().send(request).await.expect(204);
    }
    // Whether Redis has refused something is looked at when it ends, in every test.
}

#[tokio::test]
async fn redis_reads_back_what_its_users_have_written() {
    let mut servers = Servers::new();
    servers.redis.start().await;
    // A script whose writes are a transaction in the file.
    let script = "redis.call('HSET', KEYS[1], 'a', 1) redis.call('EXPIRE', KEYS[1], 900) return 1";
    let write = format!("EVAL \"{script}\" 1 goch:{{c}}:members");
    assert_eq!(servers.redis.ask("chat-admin", &write).await, ":1");
    servers.redis.stop().await;
    servers.redis.start().await;
    assert_eq!(servers.redis.ask("chat-admin", "EXISTS goch:{c}:members").await, ":1");
}

#[tokio::test]
async fn no_service_can_touch_the_keys_of_the_other_or_the_server() {
    let mut servers = Servers::new();
    servers.redis.only_prefix("goch");
    servers.redis.start().await;
    let redis = &servers.redis;
    for (user, own) in KEYS {
        for key in own {
            let answer = redis.ask(user, &format!("EXPIRE {key} 60")).await;
            assert_eq!(answer, ":0", "{user}: {key}");
        }
        let others = KEYS.iter().filter(|(other, _)| *other != user).flat_map(|(_, keys)| *keys);
        for key in others.chain(&["other:channels", "goch:x", "goch:{c}:else"]) {
            let script = format!("EVAL \"return redis.call('EXPIRE', KEYS[1], 60)\" 1 {key}");
            // A key that a script does not announce.
            let hidden = format!("EVAL \"return redis.call('EXPIRE', '{key}', 60)\" 0");
            for command in [format!("EXPIRE {key} 60"), script] {
                let answer = redis.ask(user, &command).await;
                assert!(is_refused(&answer), "{user}: {command}: {answer}");
            }
            let answer = redis.ask(user, &hidden).await;
            assert!(
                answer.starts_with('-') && !answer.starts_with(':'),
                "{user}: {hidden}: {answer}"
            );
        }
        for command in NEVER {
            let answer = redis.ask(user, command).await;
            assert!(is_refused(&answer), "{user}: {command}: {answer}");
        }
    }
    assert_eq!(redis.ask("health", "PING").await, "+PONG");
    assert!(is_refused(&redis.ask("health", "GET goch:{c}:channel").await));
    redis.forget_refusals().await;
    let stranger = redis.ask_as_nobody("GET goch:{c}:channel").await;
    assert!(stranger.starts_with("-NOAUTH"), "{stranger}");
}
