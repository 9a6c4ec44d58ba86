//! Pages and latest messages, of what a real redis-server has.

use fred::interfaces::SortedSetsInterface as _;
use goch_contract::{UnixMillis, services::history::Window};

use super::*;

impl Log {
    fn new(channel: &str) -> Self {
        let channel = ChannelName::parse(channel).unwrap();
        Self { channel, events: Vec::new(), counts: Vec::new() }
    }

    /// Adds an event of this type at this time, with these fields.
    fn event(&mut self, kind: &str, time: u64, fields: &str) -> Entry {
        let event = format!(r#"{{"type":"{kind}","channel":"c","time":{time},{fields}}}"#);
        let entry = Entry::parse(self.channel.clone(), Seq(self.end().0 + 1), event.into());
        self.events.push(entry.clone().unwrap());
        self.counts.push(None);
        entry.unwrap()
    }

    fn message(&mut self, time: u64, from: &str, text: &str) -> Entry {
        let sender = format!(r#""from_uid":"{from}","from_name":"{from}","from_role":"guest""#);
        self.event("message", time, &format!(r#""id":"i{time}",{sender},"text":"{text}""#))
    }

    fn edit(&mut self, time: u64, message: u64, text: &str) -> Entry {
        let fields = format!(r#""id":"i{time}","message":{message},"uid":"ann","text":"{text}""#);
        self.event("edited", time, &fields)
    }

    fn deletion(&mut self, time: u64, message: u64) -> Entry {
        self.event("deleted", time, &format!(r#""id":"i{time}","message":{message},"uid":"ann""#))
    }
}

/// What a page shows: each event's predecessor and sequence.
fn chain(view: &View) -> Vec<(u64, u64)> {
    view.events.iter().map(|event| (event.prev.0, event.seq.0)).collect()
}

/// Two messages of which the first is edited and the second is deleted, and what came with them.
fn story(channel: &str) -> Log {
    let mut log = Log::new(channel);
    log.event("joined", 10, r#""id":"i","uid":"ann","name":"Ann","role":"guest""#);
    log.message(20, "ann", "old");
    log.message(30, "bob", "to be deleted");
    log.edit(40, 2, "new");
    log.message(50, "eve", "latest");
    log.deletion(60, 3);
    log
}

#[tokio::test]
async fn a_page_has_what_lies_in_its_window_as_it_was_last_edited() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let log = story("c");
    let read = async |window, limit| {
        let read = async || store.read(log.progress(), &log.channel, window, limit).await;
        patiently(read).await.unwrap()
    };
    assert!(read(Window::Latest, 10).await.is_none(), "nobody has filled it");
    log.fill(&store).await;
    let all = [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6)];
    let (before, after) = (|seq| Window::Before(Seq(seq)), |seq| Window::After(Seq(seq)));
    let since = |time| Window::Since(UnixMillis(time));
    for (window, limit, expected, ended, skipped) in [
        (Window::Latest, 10, &all[..], true, false),
        (Window::Latest, 5, &all[..], true, false),
        (Window::Latest, 2, &all[3..], false, false),
        (before(5), 2, &all[1..3], false, false),
        (before(2), 5, &all[..1], true, false),
        (after(0), 10, &all[..], true, false),
        (after(2), 2, &all[2..4], false, false),
        (after(5), 2, &all[4..], true, false),
        (after(6), 2, &all[..0], true, false),
        (since(10), 10, &all[..], true, false),
        (since(40), 10, &all[2..], true, true),
        (since(31), 1, &all[2..3], false, true),
    ] {
        let view = read(window, limit).await.unwrap();
        assert_eq!(chain(&view), expected, "{window:?} {limit}");
        assert_eq!((view.ended, view.skipped), (ended, skipped), "{window:?} {limit}");
        assert_eq!((view.floor, view.certain), (Seq(0), Seq(6)));
        for event in &view.events {
            let is_edited = event.event.get().contains(r#""text":"new""#);
            assert_eq!(is_edited, [2, 4].contains(&event.seq.0), "{}", event.event);
        }
    }
}

#[tokio::test]
async fn the_latest_message_is_one_that_is_not_deleted_as_it_was_last_edited() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let [mut log, mut quiet] = [story("c"), Log::new("quiet")];
    quiet.event("joined", 10, r#""id":"i","uid":"ann","name":"Ann","role":"guest""#);
    let last = async |log: &Log| {
        let unknown = ChannelName::parse("unknown").unwrap();
        let channels = [log.channel.clone(), quiet.channel.clone(), unknown];
        let last = async || store.last(log.progress(), &channels).await;
        let mut last = patiently(last).await.unwrap();
        assert!(matches!(last.pop(), Some(Last::Unknown)));
        assert!(matches!(last.pop(), Some(Last::NoneAfter(Seq(0)))));
        match last.pop().unwrap() {
            Last::Message(message) => {
                (message.prev.0, message.seq.0, message.event.get().contains("new"))
            }
            Last::NoneAfter(floor) => (floor.0, 0, false),
            Last::Unknown => panic!("it was filled"),
        }
    };
    quiet.fill(&store).await;
    log.fill(&store).await;
    assert_eq!(last(&log).await, (4, 5, false));
    let deletion = log.deletion(70, 5);
    store.write(1, &[deletion]).await.unwrap();
    assert_eq!(last(&log).await, (1, 2, true));
    let deletion = log.deletion(80, 2);
    store.write(1, &[deletion]).await.unwrap();
    assert_eq!(last(&log).await, (0, 0, false));
    assert!(store.last(log.progress(), &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_newest_event_is_told_whether_the_channel_is_filled_or_not() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let mut log = Log::new("c");
    let newest = async |log: &Log| {
        let newest = async || store.newest(log.progress(), &log.channel).await;
        patiently(newest).await.unwrap()
    };
    assert_eq!(newest(&log).await, Seq(0));
    for _ in 0..2 {
        let entry = log.say("ann");
        store.write(1, &[entry]).await.unwrap();
    }
    assert_eq!(newest(&log).await, Seq(2));
}

/// How many events of a channel Redis has.
async fn held(store: &Store, channel: &ChannelName) -> usize {
    let key = store.key(1, channel);
    store.redis.client().zlexcount(key, "[e", "(f").await.unwrap()
}

#[tokio::test]
async fn a_channel_is_trimmed_to_its_window_when_it_is_more_than_an_eighth_beyond() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let mut log = Log::new("c");
    log.fill(&store).await;
    for length in 1..=4 * WINDOW {
        let entry = log.say("ann");
        assert_eq!(store.write(1, &[entry]).await.unwrap(), 0);
        let beyond = WINDOW + WINDOW / 8 + 1;
        let expected = if length < beyond { length } else { WINDOW + (length - beyond) % 2 };
        assert_eq!(held(&store, &log.channel).await, expected, "after {length}");
    }
    let read = async || store.read(log.progress(), &log.channel, Window::Latest, 100).await;
    let view = patiently(read).await.unwrap().unwrap();
    assert_eq!((view.floor, view.events.len()), (Seq(24), WINDOW));
}

#[tokio::test]
async fn a_fill_of_any_length_is_whole_and_one_that_was_forgotten_meanwhile_adds_nothing() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let mut log = Log::new("c");
    for _ in 0..450 {
        log.say("ann");
    }
    let begin = async || {
        let token = random_token().unwrap();
        store.begin_fill(1, &log.channel, token).await.unwrap()
    };
    let filling = begin().await;
    assert!(store.fill(&filling, &log.events).await.unwrap());
    assert_eq!(held(&store, &log.channel).await, 450);
    store.forget(1, &log.channel).await.unwrap();
    assert!(!store.fill(&filling, &log.events).await.unwrap());
    assert!(!store.complete_fill(filling, Seq(0), log.end()).await.unwrap());
    assert_eq!(held(&store, &log.channel).await, 0);
    // Each is known by its own token.
    assert!(store.fill(&begin().await, &log.events[..1]).await.unwrap());
    assert_ne!(random_token().unwrap(), random_token().unwrap());
}

#[tokio::test]
async fn a_kept_count_is_moved_on_when_it_is_more_than_a_quarter_of_the_window_behind() {
    let server = Server::start();
    let store = server.store(server.connect().await);
    let mut log = Log::new("c");
    log.fill(&store).await;
    let say = async |log: &mut Log, count| {
        for _ in 0..count {
            let entry = log.say("bob");
            store.write(1, &[entry]).await.unwrap();
        }
    };
    // How far the count reaches that is kept for who has read nothing.
    let kept = async |log: &Log| {
        let key = store.key(1, &log.channel);
        let kept = store.redis.client().zrangebylex::<Vec<String>, _, _, _>(key, "[c", "(d", None);
        let kept = kept.await.unwrap();
        kept.first().map(|kept| kept[22..42].parse::<u64>().unwrap())
    };
    say(&mut log, 2 * WINDOW).await;
    let (count, missing) = log.ask(&store, "ann", Seq(0)).await;
    assert_eq!(count, 2 * WINDOW as u64);
    let missing = missing.unwrap();
    let by_sender = log.by_sender(missing.after, missing.through);
    let keep =
        async || store.keep(log.progress(), &log.channel, Seq(0), &missing, &by_sender).await;
    patiently(keep).await.unwrap();
    // What Redis has itself is added at once.
    let end = log.end().0;
    assert_eq!(kept(&log).await, Some(end));
    say(&mut log, WINDOW / 4).await;
    assert!(log.ask(&store, "ann", Seq(0)).await.1.is_none());
    assert_eq!(kept(&log).await, Some(end), "it is not worth it");
    say(&mut log, 1).await;
    assert!(log.ask(&store, "ann", Seq(0)).await.1.is_none());
    assert_eq!(kept(&log).await, Some(log.end().0));
}
