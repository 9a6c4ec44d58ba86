//! Changed rights on NATS: read again without a restart, as Kubernetes has it done.

use std::time::Duration;

use async_nats::ConnectOptions;
use futures_util::StreamExt as _;
use goch_tests::{Servers, password, until};

#[tokio::test]
async fn changed_rights_hold_without_a_restart_and_connections_stay() {
    let mut servers = Servers::new();
    servers.nats.with_users();
    servers.start().await;
    let _reload = servers.nats.watch_configuration();
    let url = servers.nats.url();
    let gateway = ConnectOptions::with_user_and_password("gateway".into(), password("gateway"));
    let gateway = gateway.connect(&url).await.unwrap();
    let operator = servers.nats.operator().connect(&url).await.unwrap();
    let mut heard = operator.subscribe("goch.extra").await.unwrap();
    operator.flush().await.unwrap();
    gateway.publish("goch.extra", "too early".into()).await.unwrap();
    gateway.flush().await.unwrap();

    let file = servers.nats.configuration_file().to_owned();
    let before = std::fs::read_to_string(&file).unwrap();
    let right = "\"goch.log.*\"";
    let after = before.replacen(right, &format!("{right}\n\"goch.extra\""), 1);
    assert_ne!(before, after);
    std::fs::write(&file, after).unwrap();
    let first = until("the gateway may do more", async || {
        gateway.publish("goch.extra", "now".into()).await.unwrap();
        let next = tokio::time::timeout(Duration::from_millis(100), heard.next()).await;
        next.ok().flatten()
    })
    .await;
    assert_eq!(first.payload, "now");

    // And less again; a file with a fault changes nothing.
    std::fs::write(&file, format!("{before}\nno_such_setting {{")).unwrap();
    until("the fault is in the server's log", async || {
        servers.nats.log().contains("ailed to reload").then_some(())
    })
    .await;
    gateway.publish("goch.extra", "still".into()).await.unwrap();
    until("the rights are as they were", async || {
        let next = tokio::time::timeout(Duration::from_millis(100), heard.next()).await;
        next.ok().flatten().filter(|message| message.payload == "still")
    })
    .await;
    std::fs::write(&file, before).unwrap();
    until("the gateway may no longer", async || {
        gateway.publish("goch.extra", "later".into()).await.unwrap();
        gateway.flush().await.unwrap();
        let next = tokio::time::timeout(Duration::from_millis(500), heard.next()).await;
        next.is_err().then_some(())
    })
    .await;
    for client in [&gateway, &operator] {
        let connects = client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(connects, 1, "a connection was not kept");
    }
}
