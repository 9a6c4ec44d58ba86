//! A cluster of three NATS servers, with three replicas of the log, configured as it is deployed.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::time::{Duration, Instant};

use goch_tests::{
    Member, Metrics, NatsServer, Servers, Socket, System, events, members_path, until,
};
use reqwest::Method;
use serde_json::{Value, json};

/// What the rights of a deployment are for.
const PREFIX: &str = "goch";

/// Messages before the leader of the log is killed, and after.
const MESSAGES: usize = 30;

/// Says something until it is acked, and tells its sequence.
async fn say(socket: &mut Socket, channel: &str, number: usize) -> u64 {
    let id = format!("m{number}");
    let frame = json!({"type": "send", "id": id, "channel": channel, "text": number.to_string()});
    let ack = until("a message is acked", async || {
        socket.send(&frame).await;
        let answer = socket.answer_to(&id).await;
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "unavailable");
            return None;
        }
        Some(answer)
    });
    ack.await["seq"].as_u64().unwrap()
}

/// A system of two gateways on such a cluster; none where that cannot be tested.
#[expect(clippy::print_stderr, reason = "says why nothing was tested")]
async fn system() -> Option<System> {
    let (major, minor) = NatsServer::version();
    if (major, minor) < (2, 10) {
        eprintln!(
            "not tested: clusters are tested only with nats-server 2.10 or later, and this is \
             {major}.{minor}; name a current one with NATS_SERVER (make nats-current)"
        );
        return None;
    }
    let builder = System::builder().gateways(2).servers(Servers::deployed()).prefix(PREFIX);
    Some(builder.env("broker-bridge", "LOG_REPLICAS", "3").start().await)
}

/// Kills a server that does not lead the log: which one lacks what comes now.
async fn kill_a_follower(system: &mut System) -> usize {
    let leader = until("the log has a leader", async || system.log_leader(PREFIX).await).await;
    let follower = (leader + 1) % 3;
    system.own_servers().nats_mut(follower).kill();
    follower
}

#[tokio::test]
async fn talking_goes_on_and_nothing_is_lost_when_the_leader_of_the_log_is_killed() {
    let Some(mut system) = system().await else { return };
    let channel = system.channel().await;
    let mut sockets = Vec::new();
    for (uid, gateway) in ["ann", "ben"].into_iter().zip(&system.gateways) {
        let member = Member::join(gateway, &channel, uid).await;
        sockets.push(member.enter(gateway).await.0);
    }
    let mut acked = Vec::new();
    for number in 0..MESSAGES {
        acked.push(say(&mut sockets[0], &channel, number).await);
    }

    let leader = until("the log has a leader", async || system.log_leader(PREFIX).await).await;
    system.own_servers().nats_mut(leader).kill();
    for number in MESSAGES..2 * MESSAGES {
        acked.push(say(&mut sockets[0], &channel, number).await);
    }
    let next = until("the log has another leader", async || system.log_leader(PREFIX).await).await;
    assert_ne!(next, leader);
    system.own_servers().nats_mut(leader).start().await;
    for number in 2 * MESSAGES..3 * MESSAGES {
        acked.push(say(&mut sockets[0], &channel, number).await);
    }

    for socket in &mut sockets {
        let mut last = None;
        for (number, seq) in acked.iter().enumerate() {
            let message = socket.expect("message").await;
            assert_eq!(message["text"], number.to_string());
            assert_eq!(message["seq"], *seq);
            if let Some(last) = last {
                assert_eq!(message["prev"], last, "something else is in between");
            }
            last = Some(*seq);
        }
        let history = socket.whole_history(&channel, 50).await;
        let messages = history.iter().filter(|event| event["type"] == "message");
        let kept: Vec<&Value> = messages.map(|message| &message["seq"]).collect();
        assert_eq!(
            kept,
            acked.iter().map(|seq| json!(seq)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn what_was_just_said_can_be_edited_and_deleted_while_others_talk() {
    let Some(system) = system().await else { return };
    let channel = system.channel().await;
    let ann = Member::join(&system.gateways[0], &channel, "ann").await;
    let ben = Member::join(&system.gateways[1], &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let talking = async {
        for number in 0..MESSAGES {
            say(&mut at_ben, &channel, number).await;
        }
    };
    let revising = async {
        let mut expected = Vec::new();
        for number in 0..MESSAGES {
            let seq = say(&mut at_ann, &channel, number).await;
            let text = format!("edited {number}");
            let edit = json!({"type": "edit", "id": format!("e{number}"), "channel": channel,
                              "seq": seq, "text": text});
            at_ann.ask(&edit, "ack").await;
            if number % 3 == 0 {
                let delete = json!({"type": "delete", "id": format!("d{number}"),
                                    "channel": channel, "seq": seq});
                at_ann.ask(&delete, "ack").await;
            } else {
                expected.push(text);
            }
        }
        expected
    };
    let (expected, ()) = tokio::join!(revising, talking);
    let (mut late, _) = ann.enter(&system.gateways[1]).await;
    let history = late.whole_history(&channel, 50).await;
    let anns = history.iter().filter(|event| event["from_uid"] == "ann");
    let texts: Vec<_> = anns.filter_map(|message| message["text"].as_str()).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn no_page_lacks_what_was_acked_while_a_server_catches_up() {
    let Some(mut system) = system().await else { return };
    let channel = system.channel().await;
    let ann = Member::join(&system.gateways[0], &channel, "ann").await;
    let (mut socket, _) = ann.enter(&system.gateways[0]).await;
    let mut acked = Vec::new();
    for round in 1..=3 {
        let behind = kill_a_follower(&mut system).await;
        while acked.len() < round * 3 * MESSAGES {
            acked.push(say(&mut socket, &channel, acked.len()).await);
        }
        system.own_servers().nats_mut(behind).start().await;
        // The earlier ones are read of a replica that has none of this round yet, if it is believed.
        for _ in 0..20 {
            let history = socket.whole_history(&channel, 100).await;
            let messages = history.iter().filter(|event| event["type"] == "message");
            let seqs: Vec<_> = messages.filter_map(|message| message["seq"].as_u64()).collect();
            assert_eq!(seqs, acked);
        }
    }
}

#[tokio::test]
async fn an_erasure_overlooks_nothing_while_a_server_catches_up() {
    let Some(mut system) = system().await else { return };
    let admin = system.admin();
    let mut channels = Vec::new();
    for _ in 0..10 {
        channels.push(system.channel().await);
    }
    for round in 0..3 {
        let uid = format!("person-{round}");
        let behind = kill_a_follower(&mut system).await;
        for channel in &channels {
            // A bucket may have to choose another leader.
            let path = format!("/v1/admin/channels/{channel}/members/{uid}");
            until("ticketing puts somebody in", async || {
                let put = admin.request(Method::PUT, &path).json(&json!({"display_name": uid}));
                (admin.send(put).await.status < 300).then_some(())
            })
            .await;
        }
        system.own_servers().nats_mut(behind).start().await;
        let person = format!("/v1/admin/accounts/{uid}");
        let erase = async || admin.send(admin.request(Method::DELETE, &person)).await.status;
        until("a person is erased", async || (erase().await == 204).then_some(())).await;
        for channel in &channels {
            let path = format!("/v1/admin/channels/{channel}/members/{uid}");
            // A server that lags behind may still have the member, but not for long.
            until("whoever is erased is no member", async || {
                (admin.get(&path).await.status == 404).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_deletion_leaves_nothing_while_a_server_catches_up_and_the_name_is_free() {
    let Some(mut system) = system().await else { return };
    let admin = system.admin();
    for round in 0..3 {
        let behind = kill_a_follower(&mut system).await;
        let names: Vec<_> = (0..10).map(|number| format!("ticket-{round}-{number}")).collect();
        let create = async |name: &String| {
            until("a channel is created", async || {
                let body = json!({"name": name, "is_private": false});
                (admin.post("/v1/admin/channels", &body).await.status == 201).then_some(())
            })
            .await;
        };
        for name in &names {
            create(name).await;
            let put = json!({"display_name": "Ann"});
            let path = format!("/v1/admin/channels/{name}/members/ann");
            until("somebody is put in", async || {
                let put = admin.request(Method::PUT, &path).json(&put);
                (admin.send(put).await.status < 300).then_some(())
            })
            .await;
        }
        system.own_servers().nats_mut(behind).start().await;
        for name in &names {
            let path = format!("/v1/admin/channels/{name}");
            until("the channel is gone", async || {
                (admin.send(admin.request(Method::DELETE, &path)).await.status == 204).then_some(())
            })
            .await;
            // Nothing is in the way of another one at once.
            create(name).await;
            let join = json!({"uid": "ann", "display_name": "Another Ann"});
            system.gateways[0].rest().post(&members_path(name), &join).await.expect(201);
            let page = admin.get(&format!("{path}/messages")).await.expect(200).body;
            let kinds: Vec<_> = events(&page).iter().map(|event| &event["type"]).collect();
            assert_eq!(kinds, ["created", "joined"], "{page}");
        }
    }
}

/// How many servers have all of the log, as broker-bridge sees it at its next looks. While NATS does not say it, as
/// when a leader is chosen, it leaves the gauges out.
async fn expect_current(system: &System, servers: u64) {
    // It looks every 15 seconds, and NATS takes a while to notice that a server is gone.
    let deadline = Instant::now() + Duration::from_mins(3);
    loop {
        let metrics = Metrics::of(&system.broker_bridge).await;
        let log = |name: &str| {
            let number = metrics.sum(name, "store=\"log\"");
            // A sum of nothing is 0, and none of them is.
            (number > 0).then_some(number)
        };
        let names =
            ["goch_store_replicas_wanted", "goch_store_replicas", "goch_store_replicas_current"];
        if let [Some(wanted), Some(has), Some(current)] = names.map(log) {
            assert_eq!((wanted, has), (3, 3));
            if current == servers {
                return;
            }
        }
        assert!(Instant::now() < deadline, "{servers} servers never have all of the log");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_seen_and_services_start_without_it() {
    let Some(mut system) = system().await else { return };
    for server in 0..3 {
        until("the server has what the others have", async || {
            let healthy = system.own_servers().nats_mut(server).health("/healthz").await;
            (healthy == Some(200)).then_some(())
        })
        .await;
    }
    expect_current(&system, 3).await;
    system.own_servers().nats_mut(2).kill();
    expect_current(&system, 2).await;
    assert_eq!(system.broker_bridge.readiness().await.status, 200);
    assert!(system.broker_bridge.stop().await.success());
    system.broker_bridge.start().await;
    system.own_servers().nats_mut(2).start().await;
    expect_current(&system, 3).await;
}
