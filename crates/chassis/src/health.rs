//! `/healthz`, `/readyz` and `/metrics`, on a port and a thread apart from traffic.

mod heartbeat;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, http::header, web};

use self::heartbeat::Heartbeats;
use crate::{http::spawn_server, metrics::Metrics, shutdown::Shutdown};

type Check = Box<dyn Fn() -> bool + Send + Sync>;

/// What must hold for this process to take traffic, and which of its loops must run. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    checks: Arc<RwLock<BTreeMap<String, Check>>>,
    heartbeats: Arc<Heartbeats>,
    shutdown: Shutdown,
}

impl fmt::Debug for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Health").finish_non_exhaustive()
    }
}

impl Health {
    /// Without checks, ready until the end begins.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self { checks: Arc::default(), heartbeats: Arc::default(), shutdown }
    }

    /// Adds a condition, or replaces the one of that name. It is asked at each probe and must not
    /// block.
    pub fn require(
        &self,
        name: impl Into<String>,
        check: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        let mut checks = self.checks.write().unwrap_or_else(PoisonError::into_inner);
        checks.insert(name.into(), Box::new(check));
    }

    /// The heartbeat of an event loop, to be spawned there as a vital task of the service. `/healthz` fails
    /// and names the loop when it has not run for 30 seconds, from the time of this call on; once the
    /// heartbeat is dropped, its loop may end.
    pub fn heartbeat(&self, name: String) -> impl Future<Output = ()> + Send + use<> {
        self.heartbeats.add(name, Instant::now()).run()
    }

    /// Each condition and whether it holds; `not draining` appears once the end has begun, `not hung` when
    /// a loop does not run.
    fn state(&self) -> BTreeMap<String, bool> {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        let mut state: BTreeMap<_, _> =
            checks.iter().map(|(name, check)| (name.clone(), check())).collect();
        if self.shutdown.has_begun() {
            state.insert("not draining".to_owned(), false);
        }
        if !self.heartbeats.hung(Instant::now()).is_empty() {
            state.insert("not hung".to_owned(), false);
        }
        state
    }
}

async fn alive(health: web::Data<Health>) -> HttpResponse {
    let hung = health.heartbeats.hung(Instant::now());
    if hung.is_empty() {
        return HttpResponse::Ok().body("alive\n");
    }
    let hung = hung.join(", ");
    tracing::error!(hung, "this process hangs");
    HttpResponse::ServiceUnavailable().body(format!("hung: {hung}\n"))
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    let state = health.state();
    let mut response = if state.values().all(|holds| *holds) {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(state)
}

async fn scrape(metrics: web::Data<Metrics>) -> HttpResponse {
    match metrics.encode() {
        Ok(text) => HttpResponse::Ok()
            .insert_header((
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ))
            .body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// Serves the health port until the process ends; the returned handle stops it. It has a thread of its
/// own, so it answers whatever else hangs.
pub(crate) fn serve(
    address: SocketAddr,
    health: &Health,
    metrics: &Metrics,
) -> io::Result<ServerHandle> {
    let shutdown = health.shutdown.clone();
    let health = web::Data::new(health.clone());
    let metrics = web::Data::new(metrics.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(health.clone())
            .app_data(metrics.clone())
            .route("/healthz", web::get().to(alive))
            .route("/readyz", web::get().to(ready))
            .route("/metrics", web::get().to(scrape))
    })
    .workers(1)
    .max_connections(64)
    .disable_signals()
    .bind(address)?
    .run();
    let handle = server.handle();
    spawn_server("health port", server, &shutdown);
    Ok(handle)
}
