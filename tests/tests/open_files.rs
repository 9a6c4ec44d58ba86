//! A gateway that may have few files open: it turns away who is too many, and is still there.

use goch_tests::{Member, Socket, System, until};

/// Open files of the gateway.
const FILES: u32 = 300;

#[tokio::test]
async fn a_gateway_without_files_for_more_sockets_turns_them_away_and_stays_alive() {
    let mut system = System::builder().build().await;
    system.gateways[0].limit_open_files(FILES);
    system.spawn();
    system.ready().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut seated, _) = ann.enter(system.gateway()).await;
    let mut sockets = Vec::new();
    let mut turned_away = 0;
    // As many as it has files in all, and some more.
    for _ in 0..FILES + 20 {
        let mut socket = Socket::connect(system.gateway()).await;
        let frame = ann.subscribe_frame();
        if socket.try_send_message(frame.to_string().into()).await.is_ok()
            && socket.next().await.is_some_and(|answer| answer["type"] == "subscribed")
        {
            sockets.push(socket);
        } else {
            turned_away += 1;
            assert_eq!(socket.expect_close().await, 1013);
        }
    }
    assert!(sockets.len() > 100 && turned_away >= 20, "{} and {turned_away}", sockets.len());
    // Whoever probes it, and whoever joins or is seated already, is served.
    let health = system.gateway().health();
    health.get("/healthz").await.expect(200);
    health.get("/readyz").await.expect(200);
    Member::join(system.gateway(), &channel, "ben").await;
    seated.say(&channel, "still here").await;
    let log = system.gateway().log();
    assert!(log.contains("the limit of open files allows no more sockets"), "{log}");
    assert!(log.lines().filter(|line| line.contains("Too many open files")).count() == 0);
    // Who leaves makes room.
    sockets.truncate(10);
    until("there is room again", async || {
        let mut socket = Socket::connect(system.gateway()).await;
        socket.try_send_message(ann.subscribe_frame().to_string().into()).await.ok()?;
        socket.next().await.filter(|answer| answer["type"] == "subscribed").map(|_| ())
    })
    .await;
}
