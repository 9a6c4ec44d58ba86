//! Channels that leave a real redis-server: for their age, and because its memory is short.

use fred::{
    interfaces::{KeysInterface as _, SortedSetsInterface as _},
    types::InfoKind,
};
use futures_util::FutureExt as _;

use super::*;
use crate::store::uses::now;

/// The length of time that a channel may be idle, as `Server::store` has it.
const IDLE_SECONDS: i64 = 600;

async fn until(what: &str, look: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// A channel with an event that was used so many seconds ago.
async fn idle_for(store: &Store, name: &str, seconds: i64) -> ChannelName {
    let channel = ChannelName::parse(name).unwrap();
    let mut log = Log { channel: channel.clone(), events: Vec::new(), counts: Vec::new() };
    store.write(1, &[log.say("ann")]).await.unwrap();
    store.tell_uses(1).await;
    #[expect(clippy::cast_precision_loss, reason = "it is a time of today")]
    let used = ((now() - seconds) as f64, name);
    let key = store.idle_key(1);
    let client = store.redis.client();
    client.zadd::<(), _, _>(key, None, None, false, false, used).await.unwrap();
    channel
}

async fn is_held(store: &Store, channel: &ChannelName) -> bool {
    store.redis.client().exists::<u64, _>(store.key(1, channel)).await.unwrap() == 1
}

/// When the list of idle channels says that one was used.
async fn used(store: &Store, channel: &ChannelName) -> Option<f64> {
    store.redis.client().zscore(store.idle_key(1), channel.as_str()).await.unwrap()
}

/// What Redis uses at the moment, in bytes.
async fn used_memory(store: &Store) -> f64 {
    let info = store.redis.client().info::<String>(Some(InfoKind::Memory)).await.unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    used.trim().parse().unwrap()
}

/// Lets Redis have so much memory that what it uses is this share of it, and waits until that is known.
async fn fill_memory(store: &Store, share: f64) {
    let near = share - 0.02..share + 0.02;
    until("it is known how full Redis is", async || {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a number of bytes"
        )]
        set_max_memory(store, (used_memory(store).await / share) as u64).await;
        near.contains(&store.redis.fullness())
    })
    .await;
}

#[tokio::test]
async fn installations_and_logs_share_no_keys() {
    let server = Server::start();
    let connection = server.connect().await;
    let [one, other] = [server.store(connection.clone()), server.store(connection)];
    let channel = ChannelName::parse("c").unwrap();
    assert_ne!(one.idle_key(1), other.idle_key(1));
    assert_ne!(one.key(1, &channel), other.key(1, &channel));
    assert_ne!(one.idle_key(1), one.idle_key(2));
    assert_ne!(one.key(1, &channel), one.key(2, &channel));
}

#[tokio::test]
async fn a_store_without_its_redis_says_so() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    assert!(store.is_answering());
    store.answering().await;
    drop(server);
    until("it is known that Redis is gone", async || {
        !store.is_answering() && store.answering().now_or_never().is_none()
    })
    .await;
    assert!(!store.takes_fills());
}

#[tokio::test]
async fn a_use_is_told_once_and_a_channel_that_is_forgotten_leaves_the_list() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let channel = ChannelName::parse("c").unwrap();
    store.note_use(&channel);
    assert_eq!(used(&store, &channel).await, None);
    #[expect(clippy::cast_precision_loss, reason = "it is a time of today")]
    let before = now() as f64;
    store.tell_uses(1).await;
    assert!((before - 60.0..=before + 60.0).contains(&used(&store, &channel).await.unwrap()));
    store.forget(1, &channel).await.unwrap();
    assert!(used(&store, &channel).await.is_some());
    store.tell_uses(1).await;
    assert_eq!(used(&store, &channel).await, None);
}

#[tokio::test]
async fn while_there_is_room_channels_stay_and_those_whose_time_is_up_leave_the_list() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let gone = idle_for(&store, "gone", IDLE_SECONDS).await;
    let idle = idle_for(&store, "idle", IDLE_SECONDS - 60).await;
    assert_eq!(store.evict(1).await.unwrap(), 0);
    assert_eq!(used(&store, &gone).await, None);
    assert!(used(&store, &idle).await.is_some());
    // Their keys expire by themselves.
    assert!(is_held(&store, &gone).await && is_held(&store, &idle).await);
    let ttl: i64 = store.redis.client().ttl(store.idle_key(1)).await.unwrap();
    assert!((1..=IDLE_SECONDS).contains(&ttl), "the list goes with the last channel");
}

#[tokio::test]
async fn when_memory_is_short_the_longest_idle_leave_and_what_is_used_stays() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    assert!(store.takes_fills());
    // So much that connections, which come and go, are a small part of it.
    let ballast = vec![0_u8; 32 << 20];
    let client = store.redis.client();
    client.set::<(), _, _>("ballast", &ballast[..], None, None, false).await.unwrap();
    let idle = idle_for(&store, "idle", 60).await;
    let used_lately = idle_for(&store, "used", 0).await;
    let absent = idle_for(&store, "absent", 100).await;
    store.redis.client().del::<(), _>(store.key(1, &absent)).await.unwrap();
    fill_memory(&store, 0.85).await;
    assert_eq!(store.evict(1).await.unwrap(), 0);
    assert!(is_held(&store, &idle).await);
    fill_memory(&store, 0.925).await;
    assert!(store.takes_fills());
    assert_eq!(store.evict(1).await.unwrap(), 1);
    assert!(!is_held(&store, &idle).await && is_held(&store, &used_lately).await);
    assert_eq!((used(&store, &idle).await, used(&store, &absent).await), (None, None));
    fill_memory(&store, 0.975).await;
    assert!(!store.takes_fills());
    set_max_memory(&store, 0).await;
    until("there is room", async || store.takes_fills()).await;
}

#[tokio::test]
async fn a_channel_that_redis_has_no_memory_for_is_dropped_and_its_use_is_told_later() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let [kept, channel] = [idle_for(&store, "kept", 0).await, idle_for(&store, "c", 0).await];
    let mut log = Log { channel: channel.clone(), events: Vec::new(), counts: Vec::new() };
    store.redis.client().del::<(), _>(store.idle_key(1)).await.unwrap();
    set_max_memory(&store, 1).await;
    assert_eq!(store.write(1, &[log.say("ann"), log.say("bob")]).await.unwrap(), 1);
    assert!(!is_held(&store, &channel).await && is_held(&store, &kept).await);
    assert!(!store.takes_fills());
    store.tell_uses(1).await;
    assert_eq!(used(&store, &channel).await, None);
    set_max_memory(&store, 0).await;
    store.tell_uses(1).await;
    assert!(used(&store, &channel).await.is_some());
}
