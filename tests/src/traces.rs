//! Looks for a word in everything that NATS and Redis have stored.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::TryStreamExt as _;
use goch_contract::{Uid, ended::Ended};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    servers::Servers,
    wait::{PATIENCE, within},
};

/// Between two looks, each of which reads everything.
const PAUSE: Duration = Duration::from_millis(250);

/// Every key of Redis with its content.
const DUMP: &str = "local all = {} \
    for _, key in ipairs(redis.call('KEYS', '*')) do \
      local kind = redis.call('TYPE', key).ok \
      local read = {string = {'GET', key}, hash = {'HGETALL', key}, zset = {'ZRANGE', key, 0, -1}} \
      all[#all + 1] = {key, redis.call(unpack(read[kind]))} \
    end \
    return all";

impl Servers {
    /// Waits until nothing that is stored anywhere has the word.
    ///
    /// # Panics
    /// When something still has it after [`PATIENCE`].
    pub async fn until_without_trace(&self, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let traces = self.traces_of(word).await;
            if traces.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "something is left of {word}: {traces:#?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Where `word` stands, in any key, subject, header or value. With NATS before 2.10, that a key
    /// was deleted is remembered with its name, which does not count. Nor does what says no more than that a channel is
    /// deleted or a person erased, which is kept for a time.
    pub async fn traces_of(&self, word: &str) -> Vec<String> {
        // Keys and subjects have names as tokens, texts as JSON.
        let token = Uid::parse(word).map_or_else(|_| word.to_owned(), |it| it.token().into_owned());
        let json = serde_json::to_string(word).unwrap().trim_matches('"').to_owned();
        let words = [word, &token, &json];
        let mut traces = Vec::new();
        for word in words.iter().take(if token == word && json == word { 1 } else { 3 }) {
            traces.extend(self.traces_in_jetstream(word).await);
        }
        let is_meant = |line: &str| words.iter().any(|word| line.contains(word));
        traces.extend(self.traces_in_redis(is_meant).await);
        traces
    }

    /// What Redis holds, line by line, if it is meant.
    pub async fn traces_in_redis(&self, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
        let redis = within("Redis's content", self.redis_content()).await;
        redis.lines().filter(|line| is_meant(line)).map(ToOwned::to_owned).collect()
    }

    async fn traces_in_jetstream(&self, word: &str) -> Vec<String> {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        let jetstream = jetstream::new(client.clone());
        let streams: Vec<_> = jetstream.streams().try_collect().await.unwrap();
        let mut traces = Vec::new();
        for info in streams {
            let name = &info.config.name;
            let stream = jetstream.get_stream(name).await.unwrap();
            let state = stream.get_info().await.unwrap().state;
            for seq in state.first_sequence..=state.last_sequence {
                let Ok(message) = stream.get_raw_message(seq).await else { continue };
                let is_marker = message.payload.is_empty() && name.starts_with("KV_");
                if is_marker && !client.is_server_compatible(2, 10, 0) {
                    continue;
                }
                let is_end = message.subject.contains(".ended.")
                    && serde_json::from_slice::<Ended>(&message.payload)
                        .is_ok_and(|ended| ended.to_payload() == message.payload);
                if is_end {
                    continue;
                }
                let payload = String::from_utf8_lossy(&message.payload).into_owned();
                let text = format!("{} {:?} {payload}", message.subject, message.headers);
                if text.contains(word) {
                    traces.push(format!("{name} {seq}: {text}"));
                }
            }
        }
        traces
    }

    async fn redis_content(&self) -> String {
        let mut connection = self.redis.connect("operator").await;
        // The second command tells the end of the first one's answer.
        let command = format!("EVAL \"{DUMP}\" 0\r\nECHO the-end-of-it\r\n");
        connection.write_all(command.as_bytes()).await.unwrap();
        let mut content = Vec::new();
        while !content.ends_with(b"the-end-of-it\r\n") {
            assert_ne!(connection.read_buf(&mut content).await.unwrap(), 0, "Redis hung up");
        }
        String::from_utf8_lossy(&content).into_owned()
    }
}
