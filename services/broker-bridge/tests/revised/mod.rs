//! Messages that were edited and deleted, and people's events, as the log has them.

use goch_contract::{
    Person, PersonKind, Seq, Tenants,
    event::{
        DELETED_HEADER, FROM_HEADER, GUEST_HEADER, MEMBER_HEADER, MEMBERSHIP_HEADER, MESSAGE_HEADER,
    },
    services::{
        broker::{Erase, Find, LogPage, Revisions},
        history::{Page, Window},
    },
};
use serde_json::{Value, json};

use crate::broker::{Broker, chain, channel, uid};

/// Edits a message of ann's on behalf of `by`.
async fn edit(broker: &Broker, channel: &str, message: Seq, by: &str, text: &str) -> Seq {
    let event = json!({"type": "edited", "channel": channel, "time": 1, "id": "e",
                       "message": message, "uid": by, "text": text});
    let message = message.to_string();
    let headers = [(MESSAGE_HEADER, &*message), (MEMBER_HEADER, by), (MEMBER_HEADER, "ann")];
    broker.store(channel, &headers, &event).await
}

/// Deletes a message of ann's.
async fn delete(broker: &Broker, channel: &str, message: Seq) -> Seq {
    let event = json!({"type": "deleted", "channel": channel, "time": 1, "id": "d",
                       "message": message, "uid": "ann"});
    let message = message.to_string();
    let headers = [(MESSAGE_HEADER, &*message), (DELETED_HEADER, "1"), (MEMBER_HEADER, "ann")];
    broker.store(channel, &headers, &event).await
}

/// What a page's messages say, and the types of its other events.
fn texts(page: &Page) -> Vec<String> {
    let text = |event: Value| match (event["type"].as_str(), event["text"].as_str()) {
        (Some("message"), Some(text)) => text.to_owned(),
        (kind, _) => format!("<{}>", kind.unwrap()),
    };
    page.events.iter().map(|it| text(serde_json::from_str(it.event.get()).unwrap())).collect()
}

#[tokio::test]
async fn a_page_shows_messages_as_they_were_last_edited_wherever_in_the_channel_that_was() {
    let broker = Broker::start(&[]).await;
    let mut seqs = Vec::new();
    for text in ["one", "two", "three", "four"] {
        seqs.push(broker.say("a", "ann", text).await);
        broker.say("b", "bob", "elsewhere").await;
    }
    let first_two = async || broker.page("a", Window::Before(seqs[2]), 2).await;
    let one = async || broker.page("a", Window::Before(seqs[1]), 1).await;
    assert_eq!(texts(&first_two().await), ["one", "two"]);
    edit(&broker, "a", seqs[1], "ann", "TWO").await;
    assert_eq!(texts(&first_two().await), ["one", "TWO"]);
    // Of earlier messages too, once what follows the later ones is known; and of what came since.
    edit(&broker, "a", seqs[0], "ann", "ONE").await;
    assert_eq!(texts(&one().await), ["ONE"]);
    edit(&broker, "a", seqs[0], "agent", "One").await;
    edit(&broker, "b", seqs[0], "ann", "another channel's").await;
    assert_eq!(texts(&one().await), ["One"]);
    assert_eq!(texts(&first_two().await), ["One", "TWO"]);
    let all = broker.page("a", Window::Latest, 100).await;
    let expected = ["One", "TWO", "three", "four", "<edited>", "<edited>", "<edited>"];
    assert_eq!(texts(&all), expected);
    let stored = LogPage { as_stored: true, ..LogPage::shown(channel("a"), Window::Latest, 100) };
    let stored = broker.services.call(&stored).await.unwrap();
    assert_eq!(texts(&stored)[..2], ["one", "two"]);
    // Whoever catches up gets edits in their turn.
    let caught_up = broker.catch_up("a", Seq(0), 2).await.page;
    assert_eq!(texts(&caught_up), ["one", "two"]);
    // An edit that is erased, as its author's events are, leaves the one before it.
    let latest = edit(&broker, "a", seqs[3], "eve", "erased").await;
    let earlier = edit(&broker, "a", seqs[3], "eve", "erased, too").await;
    assert_eq!(texts(&broker.page("a", Window::After(seqs[2]), 1).await), ["erased, too"]);
    broker.log().await.delete_message(earlier.0).await.unwrap();
    assert_eq!(texts(&broker.page("a", Window::After(seqs[2]), 1).await), ["erased"]);
    broker.log().await.delete_message(latest.0).await.unwrap();
    assert_eq!(texts(&broker.page("a", Window::After(seqs[2]), 1).await), ["four"]);
    broker.finish();
}

#[tokio::test]
async fn a_deleted_message_is_on_no_page_and_in_no_count_and_nor_is_an_edit_of_it() {
    let broker = Broker::start(&[]).await;
    let mut seqs = Vec::new();
    for text in ["one", "two", "three"] {
        seqs.push(broker.say("a", "ann", text).await);
    }
    edit(&broker, "a", seqs[1], "ann", "TWO").await;
    assert_eq!(broker.count("a", Seq(0), Seq(u64::MAX), "bob").await, 3);
    let deletion = delete(&broker, "a", seqs[1]).await;
    let all = broker.page("a", Window::Latest, 100).await;
    assert_eq!(texts(&all), ["one", "three", "<deleted>"]);
    // The chain goes around what is left out.
    let [one, three] = [seqs[0].0, seqs[2].0];
    assert_eq!(chain(&all), [(0, one), (one, three), (three, deletion.0)]);
    let before = broker.page("a", Window::Before(seqs[2]), 2).await;
    assert_eq!(texts(&before), ["one"]);
    assert_eq!(broker.count("a", Seq(0), Seq(u64::MAX), "bob").await, 2);
    assert_eq!(broker.count("a", seqs[0], seqs[2], "bob").await, 0);
    broker.finish();
}

#[tokio::test]
async fn what_has_become_of_a_message_is_told() {
    let broker = Broker::start(&[]).await;
    let event = json!({"type": "message", "channel": "a", "time": 1, "id": "i", "from_uid": "ann",
                       "from_name": "Ann", "from_role": "guest", "text": "one"});
    let headers = [(FROM_HEADER, "ann"), (MEMBERSHIP_HEADER, "m1")];
    let message = broker.store("a", &headers, &event).await;
    let revised = async |channel: &str, message| {
        let request = Revisions { channel: crate::broker::channel(channel), message };
        let revised = broker.services.call(&request).await.unwrap();
        let seq = |logged: Option<goch_contract::event::Logged>| logged.map(|logged| logged.seq);
        (seq(revised.message), seq(revised.latest), revised.tail)
    };
    assert_eq!(revised("a", message).await, (Some(message), None, message));
    let request = Revisions { channel: channel("a"), message };
    let membership = broker.services.call(&request).await.unwrap().membership;
    assert_eq!(membership.unwrap().as_str(), "m1");
    let edits = [
        edit(&broker, "a", message, "ann", "1").await,
        edit(&broker, "a", message, "ann", "2").await,
    ];
    assert_eq!(revised("a", message).await, (Some(message), Some(edits[1]), edits[1]));
    broker.log().await.delete_message(edits[1].0).await.unwrap();
    let tail = broker.say("a", "bob", "on").await;
    assert_eq!(revised("a", message).await, (Some(message), Some(edits[0]), tail));
    let deletion = delete(&broker, "a", message).await;
    assert_eq!(revised("a", message).await, (Some(message), Some(deletion), deletion));
    broker.log().await.delete_message(message.0).await.unwrap();
    assert_eq!(revised("a", message).await, (None, Some(deletion), deletion));
    // It is no message of another channel's, and 0 is none.
    assert_eq!(revised("b", tail).await, (None, None, Seq(0)));
    assert_eq!(revised("a", Seq(0)).await.0, None);
    broker.finish();
}

#[tokio::test]
async fn a_persons_events_are_found_in_all_channels_a_part_at_a_time() {
    let broker = Broker::start(&[]).await;
    let mut of_ann = Vec::new();
    for name in ["a", "b", "c"] {
        of_ann.push(broker.say(name, "ann", "mine").await);
        broker.say(name, "bob", "another one's").await;
    }
    let joined = json!({"type": "joined", "channel": "a", "time": 1, "uid": "ann"});
    of_ann.push(broker.store("a", &[(MEMBER_HEADER, "ann")], &joined).await);
    of_ann.push(edit(&broker, "b", of_ann[1], "agent", "edited").await);
    let end = broker.say("a", "bob", "the last word").await;
    let find = async |after, limit, shown| {
        let request = Find {
            person: Person::Account(Tenants::default().account(None, &uid("ann"))),
            after,
            limit,
            shown,
        };
        let found = broker.services.call(&request).await.unwrap();
        let seqs: Vec<_> = found.events.iter().map(|logged| logged.seq).collect();
        (seqs, found)
    };
    let (seqs, found) = find(Seq(0), 100, false).await;
    assert_eq!((seqs, found.through, found.more), (of_ann.clone(), end, false));
    assert_eq!(texts(&Page { events: found.events, more: false })[1], "mine");
    let (seqs, found) = find(Seq(0), 2, false).await;
    assert_eq!((&seqs[..], found.through, found.more), (&of_ann[..2], of_ann[1], true));
    let (seqs, found) = find(of_ann[1], 100, false).await;
    assert_eq!((&seqs[..], found.more), (&of_ann[2..], false));
    let (seqs, found) = find(end, 100, false).await;
    assert_eq!((seqs.len(), found.through, found.more), (0, end, false));
    let (_, shown) = find(Seq(0), 100, true).await;
    let shown = texts(&Page { events: shown.events, more: false });
    assert_eq!(shown, ["mine", "edited", "mine", "<joined>", "<edited>"]);
    broker.finish();
}

#[tokio::test]
async fn an_account_and_guests_of_one_uid_have_their_own_events() {
    let broker = Broker::start(&[]).await;
    let said = |channel: &str| {
        json!({"type": "message", "channel": channel, "time": 1, "id": "m", "from_uid": "ann",
               "from_name": "Ann", "from_role": "guest", "text": "mine"})
    };
    let guests = [(FROM_HEADER, "ann"), (GUEST_HEADER, "ann")];
    let in_a = broker.store("a", &guests, &said("a")).await;
    let in_b = broker.store("b", &guests, &said("b")).await;
    let left = json!({"type": "left", "channel": "a", "time": 1, "uid": "ann"});
    let left = broker.store("a", &[(GUEST_HEADER, "ann")], &left).await;
    // The account came into the same channel later, and edited what the guest had said.
    let of_account = broker.say("a", "ann", "the account's").await;
    let message = in_a.to_string();
    let edited = json!({"type": "edited", "channel": "a", "time": 1, "id": "e", "message": in_a,
                        "uid": "ann", "text": "edited"});
    let edit = [(MESSAGE_HEADER, &*message), (MEMBER_HEADER, "ann"), (GUEST_HEADER, "ann")];
    let edited = broker.store("a", &edit, &edited).await;

    let find = async |person: Person| {
        let find = Find { person, after: Seq(0), limit: 100, shown: false };
        let found = broker.services.call(&find).await.unwrap();
        assert!(!found.more);
        found.events.iter().map(|logged| logged.seq).collect::<Vec<_>>()
    };
    let account = || Person::Account(Tenants::default().account(None, &uid("ann")));
    let guest = |name: &str| Person::Guest(channel(name), uid("ann"));
    assert_eq!(find(account()).await, [of_account, edited]);
    assert_eq!(find(guest("a")).await, [in_a, left, edited]);
    assert_eq!(find(guest("b")).await, [in_b]);
    assert_eq!(find(guest("c")).await, []);
    for (seq, author) in [(in_a, PersonKind::Guest), (of_account, PersonKind::Account)] {
        let request = Revisions { channel: channel("a"), message: seq };
        assert_eq!(broker.services.call(&request).await.unwrap().author, author);
    }

    // Whatever sequences are named, only the person's own events go.
    let all = vec![in_a, in_b, left, of_account, edited];
    let erase = Erase { person: guest("b"), events: all.clone() };
    broker.services.call(&erase).await.unwrap();
    assert_eq!(find(guest("b")).await, []);
    assert_eq!(find(guest("a")).await, [in_a, left, edited]);
    let erase = Erase { person: account(), events: all };
    broker.services.call(&erase).await.unwrap();
    assert_eq!(find(account()).await, []);
    assert_eq!(find(guest("a")).await, [in_a, left]);
    broker.finish();
}
