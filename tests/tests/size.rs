//! A gateway makes itself as large as what it may have.

use goch_tests::{Member, Service, System};

/// The line in which a service says how large it is.
fn size(service: &Service) -> String {
    let log = service.log();
    let line = log.lines().find(|line| line.contains(r#""message":"size""#));
    line.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_gateway_follows_its_memory_limit_and_what_is_kept_for_it_of_the_processor() {
    let mut system = System::builder().build().await;
    let gateway = &mut system.gateways[0];
    if !gateway.show_memory_limit(64 << 20) {
        return;
    }
    // As where Kubernetes is told of a quarter of a core, and nothing else.
    gateway.set("WORKERS", "");
    gateway.set("CPU_REQUEST", "1");
    system.spawn();
    system.ready().await;
    let line = size(system.gateway());
    for said in [
        r#""sockets":1365,"sockets_from":"memory limit""#,
        r#""outbox_total_bytes":16777216,"outbox_total_bytes_from":"memory limit""#,
        r#""memory":67108864"#,
    ] {
        assert!(line.contains(said), "{said} is not in {line}");
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    let workers = format!(r#""workers":{},"#, cores.min(2));
    assert!(line.contains(&workers), "{line}");
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    ann.enter(system.gateway()).await.0.say(&channel, "Hello").await;
}
