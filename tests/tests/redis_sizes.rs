//! What a channel takes of Redis's memory, as docs/operations.md has it for who sizes a server.

use goch_tests::{Member, Servers, System, until};

const MESSAGES: u64 = 1_000;
const TEXT_CHARACTERS: usize = 200;
const MEMBERS: u64 = 100;

/// The most that each may take in bytes; the documentation says a little less.
const EVENT_MAX: u64 = 900;
const MEMBER_MAX: u64 = 600;
const CHANNEL_MAX: u64 = 800;

/// The keys that match a pattern, and the bytes that they take with what they hold.
async fn sizes(system: &System, pattern: &str) -> Vec<(String, u64)> {
    let redis = &system.servers().redis;
    let script = "return table.concat(redis.call('KEYS', ARGV[1]), '\\n')";
    let keys = redis.command(&["EVAL", script, "0", pattern]).await;
    let mut sizes = Vec::new();
    for key in keys.lines() {
        let size = redis.command(&["MEMORY", "USAGE", key, "SAMPLES", "0"]).await;
        sizes.push((key.to_owned(), size.parse().unwrap_or(u64::MAX)));
    }
    sizes
}

async fn sum(system: &System, pattern: &str) -> u64 {
    sizes(system, pattern).await.into_iter().map(|(_, size)| size).sum()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the figures are for docs/operations.md")]
async fn a_channel_takes_no_more_of_redis_than_the_documentation_says() {
    let system = System::builder()
        .servers(Servers::new())
        .env("gateway", "FRAMES_PER_SECOND", "10000")
        .env("gateway", "MEMBER_MESSAGES_PER_SECOND", "0")
        .start()
        .await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    for number in 0..MESSAGES {
        let text = format!("{number:0TEXT_CHARACTERS$}");
        socket.say(&channel, &text).await;
    }
    let count = async |command: &str, pattern: &str, rest: &[&str]| {
        let (key, _) = sizes(&system, pattern).await.into_iter().next()?;
        let words: Vec<_> = [command, &key].into_iter().chain(rest.iter().copied()).collect();
        system.servers().redis.command(&words).await.parse::<u64>().ok()
    };
    until("Redis has all messages", async || {
        let messages = count("ZLEXCOUNT", "*:history:*", &["[m", "(n"]).await?;
        (messages == MESSAGES).then_some(())
    })
    .await;
    let window = sum(&system, "*:history:*").await;
    for number in 1..MEMBERS {
        Member::join(system.gateway(), &channel, &format!("member-{number:03}")).await;
    }
    until("Redis has all members", async || {
        (count("HLEN", "*:members", &[]).await? == MEMBERS).then_some(())
    })
    .await;
    let (event, member) = (window / MESSAGES, sum(&system, "*:members").await / MEMBERS);
    let mut rest = 0;
    for pattern in ["*:channel", "*:channels", "*:histories:*"] {
        rest += sum(&system, pattern).await;
    }
    eprintln!(
        "{window} bytes a window of {MESSAGES} messages, {event} each; {member} bytes a member; {rest} bytes a \
         channel beside that"
    );
    assert!(event <= EVENT_MAX, "{event} bytes an event");
    assert!(member <= MEMBER_MAX, "{member} bytes a member");
    assert!(rest <= CHANNEL_MAX, "{rest} bytes a channel");
}
