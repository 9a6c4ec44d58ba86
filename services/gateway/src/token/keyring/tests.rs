//! Keys in a file and at an address, and when they are read again.

use std::{fs, net::SocketAddr, path::PathBuf};

use actix_web::{App, HttpResponse, HttpServer, rt, web};
use futures_util::FutureExt as _;
use goch_contract::{ChannelScope, Roles, limits::Limits};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::token::{Tokens, sign::Signer};

/// How long a machine that stalls may take for what needs no time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than a test takes.
const REFRESH: Duration = Duration::from_hours(1);

fn document(keys: &[&Signer]) -> String {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()}).to_string()
}

/// Keys in a file, read by nobody yet.
fn of_file(refresh: Duration) -> (Keeper, Keyring, PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let (state, seen) = watch::channel(State::default());
    let wanted = Arc::new(Notify::new());
    let source = Source::File(path.clone());
    let keeper = Keeper { source, tenant: None, state, wanted: Arc::clone(&wanted), refresh };
    (keeper, Keyring { state: seen, wanted, is_configured: true }, path, folder)
}

/// As if the latest reading were so long ago.
fn age(keeper: &Keeper, by: Duration) {
    keeper.state.send_modify(|state| state.read = Instant::now().checked_sub(by));
}

async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn generation(keyring: &Keyring) -> Option<u64> {
    keyring.loaded().ok().map(|loaded| loaded.generation)
}

#[tokio::test]
async fn keys_are_new_ones_only_if_they_changed_and_those_that_cannot_be_read_change_nothing() {
    let (keeper, keyring, path, _folder) = of_file(REFRESH);
    keeper.read_again().await;
    assert_eq!(keyring.loaded().unwrap_err().code, ErrorCode::Unavailable);
    let [one, two] = [Signer::ed25519("1"), Signer::ed25519("2")];
    let mut generations = Vec::new();
    for text in [document(&[&one]), document(&[&one]), document(&[&two]), "junk".to_owned()] {
        fs::write(&path, text).unwrap();
        keeper.read_again().await;
        generations.push(generation(&keyring));
    }
    fs::remove_file(&path).unwrap();
    keeper.read_again().await;
    generations.push(generation(&keyring));
    assert_eq!(generations, [Some(1), Some(1), Some(2), Some(2), Some(2)]);
}

#[tokio::test]
async fn who_shows_an_unknown_key_has_the_keys_read_again_but_not_right_after_they_were() {
    let (keeper, keyring, path, _folder) = of_file(REFRESH);
    assert!(!keyring.reload().await, "they have not been read at all yet");
    fs::write(&path, document(&[&Signer::ed25519("1")])).unwrap();
    keeper.read_again().await;
    assert!(!keyring.reload().await);
    assert!(keyring.wanted.notified().now_or_never().is_none(), "nobody is to read them");
    // Who waits for the keys reads them again once somebody wants them, and only then.
    fs::write(&path, document(&[&Signer::ed25519("2")])).unwrap();
    keeper.wanted.notify_one();
    assert!(keeper.wanted_again().now_or_never().is_none());
    age(&keeper, RELOAD_PAUSE);
    let keeping = async {
        keeper.wanted_again().await;
        keeper.read_again().await;
    };
    let (reloaded, ()) = tokio::join!(keyring.reload(), keeping);
    assert!(reloaded);
    assert_eq!(generation(&keyring), Some(2));
}

#[tokio::test]
async fn only_a_token_of_an_unknown_key_has_the_keys_read_again() {
    let (keeper, keyring, path, _folder) = of_file(REFRESH);
    let [known, stranger] = [Signer::ed25519("1"), Signer::ed25519("2")];
    fs::write(&path, document(&[&known])).unwrap();
    keeper.read_again().await;
    age(&keeper, RELOAD_PAUSE);
    let (config, roles, limits) = <(TokenConfig, Roles, Limits)>::default();
    let tokens = Tokens::new(keyring, &config, ChannelScope::default(), &roles, &limits);
    let claims = json!({"sub": "ann", "exp": 4_000_000_000_u64});
    assert!(tokens.check(&known.sign(&claims)).await.is_ok());
    assert!(tokens.check(&stranger.named("1").sign(&claims)).await.is_err());
    assert!(keeper.wanted.notified().now_or_never().is_none());
    fs::write(&path, document(&[&known, &stranger])).unwrap();
    let keeping = async {
        keeper.wanted_again().await;
        keeper.read_again().await;
    };
    let unknown = stranger.sign(&claims);
    let (checked, ()) = tokio::join!(tokens.check(&unknown), keeping);
    assert_eq!(checked.unwrap().uid.as_str(), "ann");
}

#[tokio::test]
async fn keys_are_read_at_the_start_and_at_a_steady_pace() {
    let (keeper, keyring, path, _folder) = of_file(Duration::from_millis(20));
    fs::write(&path, document(&[&Signer::ed25519("1")])).unwrap();
    let running = tokio::spawn(keeper.run());
    until("keys are read", || generation(&keyring) == Some(1)).await;
    // In one step, so that no half of it is read.
    let new = path.with_extension("new");
    fs::write(&new, document(&[&Signer::ed25519("2")])).unwrap();
    fs::rename(new, path).unwrap();
    until("new keys are read", || generation(&keyring) == Some(2)).await;
    running.abort();
}

/// An address with a document, one that sends elsewhere, and one with nothing.
async fn publish(document: String) -> (SocketAddr, actix_web::dev::ServerHandle) {
    let document = web::Data::new(document);
    let server = HttpServer::new(move || {
        let body = |document: web::Data<String>| async move { document.to_string() };
        let elsewhere =
            || async { HttpResponse::Found().insert_header(("Location", "/keys")).finish() };
        App::new()
            .app_data(document.clone())
            .route("/keys", web::get().to(body))
            .route("/elsewhere", web::get().to(elsewhere))
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    rt::spawn(server);
    (address, handle)
}

#[actix_web::test]
async fn keys_at_an_address_are_read_if_they_are_there_and_not_too_large() {
    // As the process does at its start.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let keys = document(&[&Signer::ed25519("1")]);
    let padded = |bytes: usize| format!("{keys}{}", " ".repeat(bytes - keys.len()));
    for (bytes, fits) in
        [(keys.len(), true), (DOCUMENT_BYTES_MAX, true), (DOCUMENT_BYTES_MAX + 1, false)]
    {
        let (address, server) = publish(padded(bytes)).await;
        let read = async |path: &str| {
            let url = Url::parse(&format!("http://{address}{path}")).unwrap();
            Source::Url(client().unwrap(), url).read().await
        };
        match read("/keys").await {
            Ok(keys) => assert!(fits && keys.len() == 1),
            Err(error) => assert!(!fits && matches!(error, ReadError::TooLarge), "{error}"),
        }
        assert!(matches!(read("/nowhere").await, Err(ReadError::Http(_))));
        assert!(matches!(read("/elsewhere").await, Err(ReadError::Document(_))));
        server.stop(false).await;
    }
}
