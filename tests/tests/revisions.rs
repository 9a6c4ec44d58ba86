//! Messages that are edited or deleted: what everybody sees of it, and what is left of it.

use goch_tests::{
    Answer, Builder, Member, Metrics, Rest, Servers, Socket, System, events, unique, until,
};
use reqwest::Method;
use serde_json::{Value, json};

fn edit_frame(channel: &str, seq: &Value, text: &str) -> Value {
    json!({"type": "edit", "id": unique("e"), "channel": channel, "seq": seq, "text": text})
}

fn delete_frame(channel: &str, seq: &Value) -> Value {
    json!({"type": "delete", "id": unique("d"), "channel": channel, "seq": seq})
}

async fn edit(socket: &mut Socket, channel: &str, seq: &Value, text: &str) -> Value {
    socket.ask(&edit_frame(channel, seq, text), "ack").await
}

async fn delete(socket: &mut Socket, channel: &str, seq: &Value) -> Value {
    socket.ask(&delete_frame(channel, seq), "ack").await
}

async fn patch(rest: &Rest, path: &str, body: &Value) -> Answer {
    rest.send(rest.request(Method::PATCH, path).json(body)).await
}

async fn remove(rest: &Rest, path: &str) -> Answer {
    rest.send(rest.request(Method::DELETE, path)).await
}

/// A system that holds nobody to a rate.
fn unhurried() -> Builder {
    let builder = System::builder().env("gateway", "FRAMES_PER_SECOND", "10000");
    builder.env("gateway", "MEMBER_MESSAGES_PER_SECOND", "10000")
}

/// The event at `seq`, if the page has it.
fn at<'a>(page: &'a Value, seq: &Value) -> Option<&'a Value> {
    events(page).iter().find(|event| event["seq"] == *seq)
}

/// The texts of a page's messages, without what edits say.
fn said(page: &Value) -> Vec<&str> {
    let messages = events(page).iter().filter(|event| event["type"] == "message");
    messages.filter_map(|message| message["text"].as_str()).collect()
}

fn expect_chain(events: &[Value]) {
    for pair in events.windows(2) {
        assert_eq!(pair[1]["prev"], pair[0]["seq"], "{pair:?}");
    }
}

#[tokio::test]
async fn a_page_of_older_messages_has_the_edits_and_deletions_that_redis_does_not_have_yet() {
    let mut system = unhurried().servers(Servers::new()).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let edited = socket.say(&channel, "before").await["seq"].clone();
    let deleted = socket.say(&channel, "withdrawn").await["seq"].clone();
    let next = socket.say(&channel, "next").await["seq"].clone();
    let history = json!({"type": "history", "id": "h", "channel": channel, "before": next});
    until("such pages come from Redis", async || {
        let page = socket.ask(&history, "history").await;
        assert_eq!(said(&page), ["before", "withdrawn"]);
        let metrics = Metrics::of(&system.ingest_history).await;
        let from_redis = metrics.sum("goch_history_pages_total", r#"source="redis""#);
        (from_redis > 0).then_some(())
    })
    .await;

    // It answers, and hears of nothing. A gateway that comes anew remembers the latest hundred events.
    system.servers().redis.refuse_writes().await;
    edit(&mut socket, &channel, &edited, "after").await;
    delete(&mut socket, &channel, &deleted).await;
    for number in 0..130 {
        socket.say(&channel, &number.to_string()).await;
    }
    system.gateways[0].stop().await;
    system.gateways[0].start().await;
    let (mut socket, subscribed) = ann.enter(system.gateway()).await;
    assert_eq!(said(&subscribed).len(), 100);
    let page = socket.ask(&history, "history").await;
    assert_eq!(said(&page), ["after"], "{page}");
    let (_, subscribed) = ann.enter_with(system.gateway(), &json!({"limit": 500})).await;
    assert_eq!(said(&subscribed)[..3], ["after", "next", "0"]);
    system.servers().redis.take_writes().await;
}

#[tokio::test]
async fn an_edit_is_seen_live_everywhere_and_in_every_page() {
    let system = System::builder().gateways(3).servers(Servers::new()).start().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let send = json!({"type": "send", "id": "m1", "channel": channel, "text": "helo",
                      "meta": {"k": "v"}});
    let seq = at_ann.ask(&send, "ack").await["seq"].clone();
    at_ann.say(&channel, "more").await;
    let ack = edit(&mut at_ann, &channel, &seq, "hello").await;
    assert_eq!(ack["duplicate"], false, "{ack}");
    for socket in [&mut at_ann, &mut at_ben] {
        let event = socket.expect("edited").await;
        assert_eq!((&event["message"], &event["uid"]), (&seq, &json!("ann")), "{event}");
        assert_eq!((&event["text"], &event["meta"]), (&json!("hello"), &json!({"k": "v"})));
        assert_eq!((&event["seq"], &event["time"]), (&ack["seq"], &ack["time"]), "{event}");
        assert!(event["seq"].as_u64() > event["prev"].as_u64());
    }
    // The last one counts, on whatever device; meta goes if the edit says so.
    let (mut other, _) = ann.enter(&system.gateways[1]).await;
    let mut frame = edit_frame(&channel, &seq, "Hello!");
    frame["meta"] = json!({});
    let last = other.ask(&frame, "ack").await;

    let is_latest = |page: &Value| {
        let message = at(page, &seq).unwrap_or_else(|| panic!("the message is missing: {page}"));
        let content = message["text"] == "Hello!" && message.get("meta").is_none();
        content && message["edited_at"] == last["time"] && message["id"] == "m1"
    };
    let path = format!("/v1/admin/channels/{channel}/messages");
    let from_redis = || {
        until("REST shows the latest text", async || {
            let page = admin.get(&path).await.expect(200).body;
            (is_latest(&page) && at(&page, &last["seq"]).is_some()).then_some(page)
        })
    };
    let page = from_redis().await;
    expect_chain(events(&page));
    let kinds: Vec<_> = events(&page).iter().map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Some("edited")).count(), 2, "{page}");
    // A gateway that has the channel open, one that opens it, and a page of the past.
    for gateway in [0, 1, 2] {
        let (mut socket, subscribed) = ben.enter(&system.gateways[gateway]).await;
        assert!(is_latest(&subscribed), "{gateway}: {subscribed}");
        expect_chain(events(&subscribed));
        let frame = json!({"type": "history", "id": "h", "channel": channel,
                           "before": seq.as_u64().unwrap() + 1});
        let history = socket.ask(&frame, "history").await;
        assert!(is_latest(&history), "{history}");
    }
    system.servers().redis.flush().await;
    assert_eq!(events(&from_redis().await), events(&page));
    let export = admin
        .get(&format!("/v1/admin/channels/{channel}/guests/ann/export"))
        .await
        .expect(200)
        .body;
    let exported = json!({"messages": export["events"]});
    assert!(is_latest(&exported), "{export}");
    let text = admin.get(&format!("/v1/admin/channels/{channel}/transcript?format=text")).await;
    assert!(text.text.contains("ANN (ann, guest): Hello! (edited)\n"), "{}", text.text);
    assert!(!text.text.contains("helo"), "{}", text.text);
    // The channel's list has the latest message as it is now.
    let more = &events(&page)[4]["seq"];
    patch(&admin, &format!("{path}/{more}"), &json!({"text": "most"})).await.expect(200);
    until("the list shows the latest text", async || {
        let shown = admin.get(&format!("/v1/admin/channels/{channel}")).await.expect(200).body;
        (shown["last_message"]["text"] == "most").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_older_than_redis_holds_is_shown_as_it_was_edited_too() {
    let system = unhurried().env("ingest-history", "HISTORY_WINDOW", "10").start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let mut seqs = Vec::new();
    for number in 0..60 {
        seqs.push(socket.say(&channel, &format!("first {number}")).await["seq"].clone());
    }
    for number in [0, 7, 30] {
        edit(&mut socket, &channel, &seqs[number], &format!("second {number}")).await;
    }
    edit(&mut socket, &channel, &seqs[7], "third 7").await;
    delete(&mut socket, &channel, &seqs[20]).await;
    for number in 60..100 {
        socket.say(&channel, &format!("first {number}")).await;
    }
    let mut expected: Vec<_> = (0..100).map(|number| format!("first {number}")).collect();
    for (number, text) in [(0, "second 0"), (7, "third 7"), (30, "second 30")] {
        text.clone_into(&mut expected[number]);
    }
    expected.remove(20);
    for limit in [7, 50, 500] {
        let page = json!({"messages": socket.whole_history(&channel, limit).await});
        assert_eq!(said(&page), expected, "{limit}");
        expect_chain(events(&page));
    }
    let admin = system.admin();
    let transcript =
        admin.get(&format!("/v1/admin/channels/{channel}/transcript")).await.expect(200);
    assert_eq!(said(&json!({"messages": transcript.body["events"]})), expected);
}

#[tokio::test]
async fn only_what_is_ones_own_can_be_revised_unless_ticketing_says_so() {
    let system = System::shared().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, page) = ann.enter(&system.gateways[0]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let seq = at_ann.say(&channel, "mine").await["seq"].clone();
    let joined = &events(&page).last().unwrap()["seq"];
    for (target, code) in [(&seq, "forbidden"), (joined, "not_found"), (&json!(0), "not_found")] {
        for frame in [edit_frame(&channel, target, "x"), delete_frame(&channel, target)] {
            let refused = at_ben.ask(&frame, "error").await;
            assert_eq!((&refused["code"], &refused["field"]), (&json!(code), &json!("seq")));
        }
    }
    // Another channel's message is none of this one.
    let elsewhere = system.channel().await;
    let eve = Member::join(system.gateway(), &elsewhere, "ann").await;
    at_ann.subscribe(&eve).await;
    let refused = at_ann.ask(&edit_frame(&elsewhere, &seq, "x"), "error").await;
    assert_eq!(refused["code"], "not_found", "{refused}");
    at_ann.send(&edit_frame("nowhere", &seq, "x")).await;
    at_ann.expect_error("not_subscribed", Some("channel")).await;
    at_ann.send(&edit_frame(&channel, &seq, &"x".repeat(4_097))).await;
    at_ann.expect_error("too_long", Some("text")).await;

    let path = format!("/v1/admin/channels/{channel}/messages");
    let body = json!({"text": "yours", "uid": "agent-7", "id": "e1"});
    let edited = patch(&admin, &format!("{path}/{seq}"), &body).await.expect(200).body;
    assert_eq!((&edited["id"], &edited["duplicate"]), (&json!("e1"), &json!(false)));
    let again = patch(&admin, &format!("{path}/{seq}"), &body).await.expect(200).body;
    assert_eq!((&again["seq"], &again["time"]), (&edited["seq"], &edited["time"]));
    assert_eq!(again["duplicate"], true);
    let event = at_ben.expect("edited").await;
    assert_eq!((&event["uid"], &event["text"]), (&json!("agent-7"), &json!("yours")));
    for (body, field) in
        [(json!({"text": " "}), "text"), (json!({"text": "x", "uid": "a b"}), "uid")]
    {
        let refused = patch(&admin, &format!("{path}/{seq}"), &body).await.expect(400);
        assert_eq!(refused.body["field"], field);
    }
    let refused = patch(&admin, &format!("{path}/{joined}"), &json!({"text": "x"})).await;
    refused.expect_problem(404, "not_found", Some("seq"));
    remove(&admin, &format!("{path}/{seq}?uid=agent-7")).await.expect(204);
    assert_eq!(at_ben.expect("deleted").await["uid"], "agent-7");
    remove(&admin, &format!("{path}/{seq}")).await.expect_problem(404, "not_found", Some("seq"));
    let nowhere = format!("/v1/admin/channels/{}/messages/{seq}", unique("no-channel"));
    remove(&admin, &nowhere).await.expect_problem(404, "not_found", Some("name"));
}

#[tokio::test]
async fn of_a_deleted_message_no_text_is_left_anywhere() {
    let system = System::builder().gateways(2).servers(Servers::new()).start().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let first = at_ann.say(&channel, "before").await["seq"].clone();
    let word = "correct-horse";
    let seq = at_ann.say(&channel, &format!("my password is {word}")).await["seq"].clone();
    edit(&mut at_ann, &channel, &seq, &format!("forget {word}")).await;
    at_ann.say(&channel, "after").await;
    // Read once, so that Redis is filled.
    let path = format!("/v1/admin/channels/{channel}/messages");
    admin.get(&path).await.expect(200);
    assert!(!system.servers().traces_of(word).await.is_empty());

    let frame = delete_frame(&channel, &seq);
    let ack = at_ann.ask(&frame, "ack").await;
    for socket in [&mut at_ann, &mut at_ben] {
        let event = socket.expect("deleted").await;
        assert_eq!((&event["message"], &event["uid"]), (&seq, &json!("ann")));
        assert_eq!(event["seq"], ack["seq"]);
    }
    // From here on no page has it, whichever gateway is asked and wherever that has it from.
    let expected = ["before", "after"];
    for gateway in &system.gateways {
        for fields in [json!({}), json!({"after": first}), json!({"after": 0, "limit": 500})] {
            let (mut socket, subscribed) = ben.enter_with(gateway, &fields).await;
            let expected = if fields["after"] == first { &expected[1..] } else { &expected };
            assert_eq!(said(&subscribed), expected, "{fields}");
            assert!(!subscribed.to_string().contains(word), "{subscribed}");
            expect_chain(events(&subscribed));
            let history = json!({"messages": socket.whole_history(&channel, 500).await});
            assert_eq!(said(&history), ["before", "after"]);
            assert!(!history.to_string().contains(word), "{history}");
        }
    }
    system.servers().until_without_trace(word).await;
    assert_eq!(said(&admin.get(&path).await.expect(200).body), expected);
    let transcript =
        admin.get(&format!("/v1/admin/channels/{channel}/transcript")).await.expect(200);
    assert!(!transcript.text.contains(word), "{}", transcript.text);

    // It is done, and stays so: the same request once more is answered as before, any other refused.
    let again = at_ann.ask(&frame, "ack").await;
    assert_eq!((&again["seq"], &again["time"]), (&ack["seq"], &ack["time"]));
    assert_eq!(again["duplicate"], true);
    for frame in [edit_frame(&channel, &seq, "x"), delete_frame(&channel, &seq)] {
        let refused = at_ann.ask(&frame, "error").await;
        assert_eq!((&refused["code"], &refused["field"]), (&json!("not_found"), &json!("seq")));
    }
    at_ann.say(&channel, "and on").await;
    assert_eq!(at_ben.expect_where("and on", |it| it["text"] == "and on").await["from_uid"], "ann");
}

#[tokio::test]
async fn a_deleted_message_is_no_longer_unread_and_an_edit_never_was() {
    let system = unhurried().gateways(2).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    let mut seqs = Vec::new();
    // More than a gateway remembers, so that the log has to tell.
    for number in 0..150 {
        seqs.push(at_ann.say(&channel, &format!("{number}")).await["seq"].clone());
    }
    let mut at_ben = Socket::connect(&system.gateways[1]).await;
    let watched = json!({"channel": channel, "uid": "ben", "secret": ben.secret});
    at_ben.send(&json!({"type": "watch", "id": "w", "channels": [watched]})).await;
    assert_eq!(at_ben.answer_to("w").await["count"], 150);

    edit(&mut at_ann, &channel, &seqs[149], "edited").await;
    for (deleted, count) in [(0, 149), (149, 148), (75, 147)] {
        delete(&mut at_ann, &channel, &seqs[deleted]).await;
        let what = format!("{count} unread");
        let unread = at_ben.expect_where(&what, |frame| frame["type"] == "unread").await;
        assert_eq!(unread["count"], count, "{unread}");
        let (_, subscribed) = ben.enter(&system.gateways[0]).await;
        assert_eq!(subscribed["unread"], count);
    }
    at_ann.say(&channel, "one more").await;
    let unread = at_ben.expect_where("148", |frame| frame["type"] == "unread").await;
    assert_eq!(unread["count"], 148);
    until("ticketing counts the same", async || {
        let path = format!("/v1/admin/channels/{channel}/members/ben");
        (system.admin().get(&path).await.expect(200).body["unread"] == 148).then_some(())
    })
    .await;
    // What was read before is not subtracted twice.
    let (mut reader, _) = ben.enter(&system.gateways[0]).await;
    reader.send(&json!({"type": "read", "channel": channel, "seq": seqs[148]})).await;
    at_ben.expect_where("1 unread", |it| it["type"] == "unread" && it["count"] == 1).await;
    delete(&mut at_ann, &channel, &seqs[148]).await;
    at_ann.say(&channel, "the last").await;
    at_ben.expect_where("2 unread", |it| it["type"] == "unread" && it["count"] == 2).await;
}

#[tokio::test]
async fn a_closed_channels_messages_stay_as_they_are_but_for_ticketing_that_deletes() {
    let system = System::shared().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let seq = socket.say(&channel, "as it is").await["seq"].clone();
    admin.post(&format!("/v1/admin/channels/{channel}/close"), &json!({})).await.expect(200);
    socket.expect("closed").await;
    for frame in [edit_frame(&channel, &seq, "x"), delete_frame(&channel, &seq)] {
        let refused = socket.ask(&frame, "error").await;
        assert_eq!(
            (&refused["code"], &refused["field"]),
            (&json!("channel_closed"), &json!("channel"))
        );
    }
    let path = format!("/v1/admin/channels/{channel}/messages/{seq}");
    let refused = patch(&admin, &path, &json!({"text": "x"})).await;
    refused.expect_problem(409, "channel_closed", Some("channel"));
    remove(&admin, &path).await.expect(204);
    assert_eq!(socket.expect("deleted").await["message"], seq);
}

#[tokio::test]
async fn of_two_edits_at_once_the_later_in_the_log_counts_and_a_deletion_is_the_end() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut one, _) = ann.enter(&system.gateways[0]).await;
    let (mut other, _) = ann.enter(&system.gateways[1]).await;
    for round in 0..10 {
        let seq = one.say(&channel, "x").await["seq"].clone();
        let secret = unique("said-in-passing");
        let frames = [edit_frame(&channel, &seq, &secret), edit_frame(&channel, &seq, "fine")];
        let end = delete_frame(&channel, &seq);
        one.send(&frames[0]).await;
        other.send(&frames[1]).await;
        if round % 2 == 0 {
            other.send(&end).await;
        }
        let mut last = 0;
        for (socket, frame) in [(&mut one, &frames[0]), (&mut other, &frames[1])] {
            let answer = socket.answer_to(frame["id"].as_str().unwrap()).await;
            // The deletion may have been faster.
            assert!(answer["type"] == "ack" || answer["code"] == "not_found", "{answer}");
            last = last.max(answer["seq"].as_u64().unwrap_or_default());
        }
        if round % 2 == 0 {
            let id = end["id"].as_str().unwrap();
            assert_eq!(other.answer_to(id).await["type"], "ack");
            system.servers().until_without_trace(&secret).await;
            continue;
        }
        let edited =
            one.expect_where("the last edit", |it| it["type"] == "edited" && it["seq"] == last);
        let edited = edited.await;
        let (_, page) = ann.enter(system.gateway()).await;
        assert_eq!(at(&page, &seq).unwrap()["text"], edited["text"]);
    }
}

#[tokio::test]
async fn a_deletion_that_was_interrupted_is_finished() {
    let mut system = System::builder().servers(Servers::new()).start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let word = "correct-horse";
    let seq = socket.say(&channel, word).await["seq"].clone();
    let path = format!("/v1/admin/channels/{channel}/messages");
    system.admin().get(&path).await.expect(200);
    // Without ingest-history nobody can forget what Redis has.
    system.ingest_history.stop().await;
    remove(&system.admin(), &format!("{path}/{seq}")).await.expect(202);
    socket.expect("deleted").await;
    assert!(!system.servers().traces_of(word).await.is_empty(), "Redis has forgotten it already");
    system.chat_admin.kill();
    system.ingest_history.start().await;
    system.chat_admin.start().await;
    system.servers().until_without_trace(word).await;
    let page = system.admin().get(&path).await.expect(200).body;
    assert_eq!(said(&page), [""; 0]);
}

#[tokio::test]
async fn erasing_a_person_takes_what_was_made_of_their_messages_too() {
    let builder = System::builder().servers(Servers::new());
    let system = builder.env("chat-admin", "DELETE_MARKERS_SECONDS", "5").start().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let uid = unique("person-to-be-erased");
    let member = Member::join(system.gateway(), &channel, &uid).await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut socket, _) = member.enter(system.gateway()).await;
    let (mut at_ben, _) = ben.enter(system.gateway()).await;
    let bens = at_ben.say(&channel, "I stay").await["seq"].clone();
    let seq = socket.say(&channel, "my word-of-honour").await["seq"].clone();
    edit(&mut socket, &channel, &seq, "my own word-of-honour").await;
    let path = format!("/v1/admin/channels/{channel}/messages");
    let body = json!({"text": "the word-of-honour, corrected", "uid": "agent-7"});
    patch(&admin, &format!("{path}/{seq}"), &body).await.expect(200);
    let gone = socket.say(&channel, "x").await["seq"].clone();
    delete(&mut socket, &channel, &gone).await;
    edit(&mut at_ben, &channel, &bens, "I stay here").await;
    let person = format!("/v1/admin/channels/{channel}/guests/{uid}");
    let export = admin.get(&format!("{person}/export")).await.expect(200).body;
    let kinds: Vec<_> =
        export["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["joined", "message", "edited", "edited", "deleted"], "{export}");

    remove(&admin, &person).await.expect(204);
    system.servers().until_without_trace(&uid).await;
    system.servers().until_without_trace("word-of-honour").await;
    assert_eq!(said(&admin.get(&path).await.expect(200).body), ["I stay here"]);
    // The channel's latest event is among those that are gone, which must not be in the way.
    edit(&mut at_ben, &channel, &bens, "I stay on").await;
    until("the page shows the edit", async || {
        (said(&admin.get(&path).await.expect(200).body) == ["I stay on"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_told_to_be_deleted_is_not_shown_even_while_it_is_still_stored() {
    let builder = System::builder().gateways(3).servers(Servers::new()).prefix("revised");
    let system = builder.start().await;
    let admin = system.admin();
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(&system.gateways[0]).await;
    at_ann.say(&channel, "before").await;
    let word = "correct-horse";
    let seq = at_ann.say(&channel, word).await["seq"].clone();
    edit(&mut at_ann, &channel, &seq, &format!("forget {word}")).await;
    let path = format!("/v1/admin/channels/{channel}");
    let messages = format!("{path}/messages");
    admin.get(&messages).await.expect(200);

    // As chat-admin says it, but nobody is there to do the rest.
    let client = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Goch-Message", seq.to_string());
    headers.insert("Goch-Deleted", "1");
    let event = json!({"type": "deleted", "channel": channel, "time": 1, "id": "d", "message": seq,
                       "uid": "ann"});
    let subject = format!("revised.log.{}", goch_tests::token(&channel));
    client.publish_with_headers(subject, headers, event.to_string().into()).await.unwrap();
    at_ann.expect("deleted").await;
    assert!(!system.servers().traces_of(word).await.is_empty(), "it is not stored any more");

    let is_gone = |page: &Value| {
        expect_chain(events(page));
        said(page) == ["before"] && !page.to_string().contains(word)
    };
    let look = async |from: &str| {
        until(&format!("{from} shows nothing of it"), async || {
            is_gone(&admin.get(&messages).await.expect(200).body).then_some(())
        })
        .await;
        let after = format!("{messages}?after={}", seq.as_u64().unwrap() - 1);
        let page = admin.get(&after).await.expect(200).body;
        assert!(!page.to_string().contains(word), "{from}: {page}");
        let count = admin.get(&format!("{path}/members/ben")).await.expect(200).body;
        assert_eq!(count["unread"], 1, "{from}");
        let shown = admin.get(&path).await.expect(200).body;
        assert_eq!(shown["last_message"]["text"], "before", "{from}");
    };
    look("Redis").await;
    for gateway in &system.gateways {
        let (mut socket, subscribed) = ben.enter(gateway).await;
        assert!(is_gone(&subscribed), "{subscribed}");
        assert_eq!(subscribed["unread"], 1);
        let history = json!({"messages": socket.whole_history(&channel, 50).await});
        assert!(is_gone(&history), "{history}");
    }
    let transcript = admin.get(&format!("{path}/transcript")).await.expect(200);
    assert!(!transcript.text.contains(word), "{}", transcript.text);
    system.servers().redis.flush().await;
    look("the log").await;
    look("Redis, filled anew,").await;
}
