//! Services that are restarted one after the other under load: nobody is left waiting by those that leave.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "figures are what a run is for, and helpers of tests fail by panicking"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use goch_tests::{Answer, Member, Receiver, Rest, Servers, Service, Socket, System, unique, until};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Whoever is asked and leaves without an answer costs five seconds. Nobody waits for that; a single answer of
/// thousands may take long on a loaded machine.
const AT_MOST: Duration = Duration::from_millis(4_500);

/// What an answer should take.
const PROMPT: Duration = Duration::from_secs(1);

/// One answer in so many may take longer than [`PROMPT`].
const LATE_IN: usize = 100;

/// How long requests took, by what was asked, and what went wrong.
#[derive(Default)]
struct Log {
    took: Mutex<BTreeMap<&'static str, Vec<Duration>>>,
    failures: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Log {
    fn note(&self, kind: &'static str, begun: Instant, fault: Option<String>) {
        let took = begun.elapsed();
        self.took.lock().unwrap().entry(kind).or_default().push(took);
        if let Some(fault) = fault {
            self.failures.lock().unwrap().push(format!("{kind}, after {took:?}: {fault}"));
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Prints what was measured, and checks it.
    fn check(&self) {
        for (kind, took) in &mut *self.took.lock().unwrap() {
            took.sort();
            let late = took.iter().filter(|took| **took > PROMPT).count();
            let (count, half, longest) = (took.len(), took[took.len() / 2], took[took.len() - 1]);
            println!("{kind}: {count}, half within {half:?}, all within {longest:?}, {late} late");
            assert!(longest < AT_MOST, "{kind}: somebody waited for {longest:?}");
            assert!(late <= count.div_ceil(LATE_IN), "{kind}: {late} of {count} were late");
        }
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{} failures: {:#?}", failures.len(), &*failures);
    }
}

/// Restarts a service as a deployment does, which starts the next pod when this one is ready.
async fn restart(service: &mut Service) {
    assert_eq!(service.stop().await.code(), Some(0), "{}", service.log());
    service.start().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_leaves_answers_what_it_has_been_asked() {
    let prefix = unique("leaving");
    let mut system = System::builder().prefix(&prefix).start().await;
    let folder = tempfile::tempdir().unwrap();
    let client = async_nats::connect(system.servers().nats_urls()).await.unwrap();
    let log = Arc::new(Log::default());
    let mut askers = JoinSet::new();
    for endpoint in ["admin.authorize", "history.page", "broker.tails"] {
        for _ in 0..16 {
            let subject = format!("{prefix}.svc.{endpoint}");
            let (client, log) = (client.clone(), Arc::clone(&log));
            askers.spawn(async move {
                while !log.is_over() {
                    let begun = Instant::now();
                    // It says nothing, and is told so.
                    let asked = client.request(subject.clone(), "{}".into());
                    let answer = tokio::time::timeout(2 * AT_MOST, asked).await;
                    let fault = match answer {
                        Ok(Ok(_)) => None,
                        Ok(Err(error)) => Some(error.to_string()),
                        Err(_) => Some("nobody answered".to_owned()),
                    };
                    log.note(endpoint, begun, fault);
                }
            });
        }
    }
    for service in [&mut system.chat_admin, &mut system.ingest_history, &mut system.broker_bridge] {
        let mut other = service.replica(&format!("other-{}", service.binary()), folder.path());
        other.start().await;
        for _ in 0..3 {
            restart(service).await;
            restart(&mut other).await;
        }
        // The first one stays, alone.
        assert_eq!(other.stop().await.code(), Some(0));
    }
    log.is_over.store(true, Ordering::Relaxed);
    askers.join_all().await;
    log.check();
}

/// chat-admin behind a balancer, which asks those that are ready and knows a little late who is.
#[derive(Clone)]
struct Balancer {
    backends: Arc<[(Rest, Rest, AtomicBool)]>,
    turn: Arc<AtomicUsize>,
}

impl Balancer {
    fn of(services: [(Rest, &Service); 2]) -> Self {
        let backend =
            |(rest, service): (Rest, &Service)| (rest, service.health(), AtomicBool::new(true));
        Self { backends: services.map(backend).into(), turn: Arc::default() }
    }

    async fn watch(self, log: Arc<Log>) {
        while !log.is_over() {
            for (_, health, is_ready) in &*self.backends {
                let answer = health.try_get("/readyz").await;
                let ready = answer.is_some_and(|answer| answer.status == 200);
                is_ready.store(ready, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends a request to one of those that are ready, and to the next if that cannot be reached.
    async fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Option<Answer> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        for attempt in 0..2 * self.backends.len() {
            let (rest, _, is_ready) = &self.backends[(turn + attempt) % self.backends.len()];
            if !is_ready.load(Ordering::Relaxed) {
                continue;
            }
            let request = rest.request(method.clone(), path);
            let request = match body {
                Some(body) => request.json(body),
                None => request,
            };
            if let Some(answer) = rest.try_send(request).await {
                return Some(answer);
            }
        }
        None
    }
}

/// Ticketing: posts and reads without a pause.
async fn ticketing(balancer: Balancer, log: Arc<Log>, channel: String) {
    let base = format!("/v1/admin/channels/{channel}");
    let messages = format!("{base}/messages");
    let unread = format!("{base}/members/ann");
    let post = json!({"text": "from ticketing"});
    while !log.is_over() {
        let requests: [(&str, Method, &str, Option<&Value>); 3] = [
            ("REST: post", Method::POST, &messages, Some(&post)),
            ("REST: channel", Method::GET, &base, None),
            ("REST: unread", Method::GET, &unread, None),
        ];
        for (kind, method, path, body) in requests {
            let has = |answer: &Answer| kind != "REST: unread" || answer.body["unread"].is_u64();
            let begun = Instant::now();
            let fault = match balancer.send(&method, path, body).await {
                Some(answer) if answer.status < 300 && has(&answer) => None,
                Some(answer) => Some(answer.text),
                None => Some("it could not be reached".to_owned()),
            };
            log.note(kind, begun, fault);
        }
    }
}

/// A client that talks, looks back and comes back, wherever it is let in.
struct Client {
    gateways: [String; 2],
    member: Member,
    log: Arc<Log>,
    last_seq: u64,
}

impl Client {
    async fn run(mut self, stays: bool) {
        let mut turn = 0;
        while !self.log.is_over() {
            turn += 1;
            let address = &self.gateways[turn % 2];
            if let Ok(socket) = Socket::try_connect_to(address, "", &[]).await {
                // Why it ended does not matter: that is a reconnect of its gateway.
                self.converse(socket, stays).await;
            }
        }
    }

    async fn converse(&mut self, mut socket: Socket, stays: bool) -> Option<()> {
        let (channel, last_seq) = (self.member.channel.clone(), self.last_seq);
        let mut subscribe = self.member.subscribe_frame();
        subscribe["last_seq"] = last_seq.into();
        self.ask(&mut socket, "resume", subscribe, "subscribed").await?;
        while !self.log.is_over() {
            let send = json!({"type": "send", "channel": channel, "text": "Hello"});
            let ack = self.ask(&mut socket, "send", send, "ack").await?;
            self.last_seq = ack["seq"].as_u64()?;
            let before = self.last_seq;
            let back = json!({"type": "history", "channel": channel, "before": before, "limit": 5});
            self.ask(&mut socket, "page", back, "history").await?;
            if !stays {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Sends a frame and waits for its answer; nothing if the gateway goes.
    async fn ask(
        &self,
        socket: &mut Socket,
        kind: &'static str,
        mut frame: Value,
        expected: &str,
    ) -> Option<Value> {
        let id = unique("frame");
        frame["id"] = id.clone().into();
        let begun = Instant::now();
        socket.try_send_message(frame.to_string().into()).await.ok()?;
        loop {
            let frame = socket.next().await?;
            if frame["type"] == "reconnect" {
                return None;
            }
            if frame["id"] == id && frame["prev"].is_null() {
                let fault = (frame["type"] != expected).then(|| frame.to_string());
                self.log.note(kind, begun, fault);
                return Some(frame);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_while_every_service_is_restarted() {
    let mut system = System::builder()
        .gateways(2)
        .env("gateway", "DRAIN_SPREAD_SECONDS", "1")
        // So that who comes back is asked about each time.
        .env("gateway", "AUTHORIZATION_CACHE_SECONDS", "0")
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .start()
        .await;
    let folder = tempfile::tempdir().unwrap();
    let others = [&system.chat_admin, &system.ingest_history, &system.broker_bridge];
    let mut others = others
        .map(|service| service.replica(&format!("other-{}", service.binary()), folder.path()));
    for other in &mut others {
        other.start().await;
    }
    let receiver = Receiver::start().await;
    let subscription = json!({"url": receiver.url(), "events": ["message.created"]});
    system.admin().post("/v1/admin/webhooks", &subscription).await.expect(201);

    let log = Arc::new(Log::default());
    let balancer = Balancer::of([
        (system.admin(), &system.chat_admin),
        (system.admin_at(&others[0]), &others[0]),
    ]);
    let mut load = JoinSet::new();
    load.spawn(balancer.clone().watch(Arc::clone(&log)));
    let gateways = [system.gateways[0].address(), system.gateways[1].address()];
    let mut channels = Vec::new();
    for number in 0..4 {
        let channel = system.channel().await;
        let ann = Member::join(system.gateway(), &channel, "ann").await;
        let client =
            Client { gateways: gateways.clone(), member: ann, log: Arc::clone(&log), last_seq: 0 };
        load.spawn(client.run(number % 2 == 0));
        load.spawn(ticketing(balancer.clone(), Arc::clone(&log), channel.clone()));
        channels.push(channel);
    }

    let System { chat_admin, ingest_history, broker_bridge, gateways, .. } = &mut system;
    let first = [chat_admin, ingest_history, broker_bridge].into_iter().zip(&mut others);
    for service in first.flat_map(|(one, other)| [one, other]).chain(gateways) {
        restart(service).await;
    }
    log.is_over.store(true, Ordering::Relaxed);
    load.join_all().await;
    log.check();

    // Webhooks went on where those that left had been.
    for channel in channels {
        let admin = system.admin();
        let text = unique("last");
        let path = format!("/v1/admin/channels/{channel}/messages");
        admin.post(&path, &json!({"text": text})).await.expect(201);
        until("ticketing is told", async || {
            let told = receiver.accepted(&channel);
            told.last().is_some_and(|told| told.body["data"]["text"] == text.as_str()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_replica_has_in_hand_when_it_leaves_is_given_to_another_at_once() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let folder = tempfile::tempdir().unwrap();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    // Without Redis, events are held.
    system.own_servers().redis.stop().await;
    let mut other = system.ingest_history.replica("other-ingest-history", folder.path());
    let holds = |service: &Service| service.log().contains("Redis does not take events");
    // It is handed out after this.
    let begun = Instant::now();
    socket.say(&channel, "Hello").await;
    until("it is held", async || holds(&system.ingest_history).then_some(())).await;
    other.start().await;
    assert!(!holds(&other));
    assert_eq!(system.ingest_history.stop().await.code(), Some(0));
    until("the other has it", async || holds(&other).then_some(())).await;
    // By itself the server would give it to another ten seconds after it was handed out.
    assert!(begun.elapsed() < Duration::from_secs(9), "after {:?}", begun.elapsed());
}

#[tokio::test]
async fn rest_is_served_for_a_moment_after_the_end_has_begun() {
    let mut system = System::builder().start().await;
    for attempt in 1.. {
        system.chat_admin.signal(Signal::TERM);
        let begun = Instant::now();
        until("it is not ready", async || {
            (system.chat_admin.readiness().await.status == 503).then_some(())
        })
        .await;
        // Over a connection that is opened only now.
        let request = system.admin().request(Method::GET, "/v1/admin/channels");
        let answer = request.send().await;
        let took = begun.elapsed();
        assert_eq!(system.chat_admin.exit().await.code(), Some(0));
        match answer {
            Ok(answer) => {
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.headers()["connection"], "close");
                return;
            }
            // A machine can be too slow for that.
            Err(error) => {
                assert!(took > Duration::from_millis(1_500), "after {took:?}: {error}");
                assert!(attempt < 10, "the machine is too slow");
            }
        }
        system.chat_admin.start().await;
    }
}
