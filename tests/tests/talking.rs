//! Talking over WebSockets, through two gateways that are one to their clients.

use goch_tests::{
    Member, RawConnection, Socket, System, events, members_path, raw_frame, texts, until,
};
use serde_json::{Value, json};

/// The channel's members ann and ben, each with a socket to a gateway of their own.
async fn ann_and_ben(system: &System, channel: &str) -> (Socket, Socket) {
    let ann = Member::join(system.gateway(), channel, "ann").await;
    let ben = Member::join(system.gateway(), channel, "ben").await;
    let (at_ann, _) = ann.enter(&system.gateways[0]).await;
    let (at_ben, _) = ben.enter(&system.gateways[1]).await;
    (at_ann, at_ben)
}

#[tokio::test]
async fn a_message_is_acked_and_reaches_both_on_two_gateways() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, mut at_ben) = ann_and_ben(&system, &channel).await;

    let frame = json!({"type": "send", "id": "m1", "channel": channel, "text": "Hello",
                       "meta": {"page": "/pricing"}});
    let ack = at_ann.ask(&frame, "ack").await;
    assert_eq!(ack["channel"], channel.as_str());
    assert_eq!(ack["duplicate"], false);
    let message = at_ben.expect("message").await;
    assert_eq!(at_ann.expect("message").await, message);
    assert_eq!(message["channel"], channel.as_str());
    assert_eq!(message["id"], "m1");
    assert_eq!(message["from_uid"], "ann");
    assert_eq!(message["from_name"], "ANN");
    assert_eq!(message["text"], "Hello");
    assert_eq!(message["meta"], json!({"page": "/pricing"}));
    assert_eq!(message["seq"], ack["seq"]);
    assert_eq!(message["time"], ack["time"]);
    assert!(message["prev"].as_u64().unwrap() < message["seq"].as_u64().unwrap());
}

#[tokio::test]
async fn a_conversation_has_one_order_for_all() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, mut at_ben) = ann_and_ben(&system, &channel).await;
    // Both at once, without waiting for acks.
    for number in 0..50 {
        for (socket, name) in [(&mut at_ann, "ann"), (&mut at_ben, "ben")] {
            let id = format!("{name}-{number}");
            socket.send(&json!({"type": "send", "id": id, "channel": channel, "text": id})).await;
        }
    }
    let mut seen = [Vec::new(), Vec::new()];
    for (socket, seen) in [&mut at_ann, &mut at_ben].into_iter().zip(&mut seen) {
        while seen.len() < 100 {
            seen.push(socket.expect("message").await);
        }
    }
    assert_eq!(seen[0], seen[1]);
    for pair in seen[0].windows(2) {
        assert_eq!(pair[1]["prev"], pair[0]["seq"]);
        assert!(pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64());
    }
    // Each one's own order is kept.
    for name in ["ann", "ben"] {
        let own = seen[0].iter().filter(|message| message["from_uid"] == name);
        let ids: Vec<&str> = own.map(|message| message["id"].as_str().unwrap()).collect();
        let expected: Vec<String> = (0..50).map(|number| format!("{name}-{number}")).collect();
        assert_eq!(ids, expected);
    }
}

#[tokio::test]
async fn a_resend_with_the_same_id_is_a_duplicate_and_no_second_message() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, mut at_ben) = ann_and_ben(&system, &channel).await;
    let frame = json!({"type": "send", "id": "once", "channel": channel, "text": "Hello"});
    let first = at_ann.ask(&frame, "ack").await;
    let again = at_ann.ask(&frame, "ack").await;
    assert_eq!(again["duplicate"], true);
    assert_eq!((&again["seq"], &again["time"]), (&first["seq"], &first["time"]));
    // The same id from somebody else is another message.
    assert_eq!(at_ben.ask(&frame, "ack").await["duplicate"], false);
    assert_eq!(at_ben.expect("message").await["from_uid"], "ann");
    assert_eq!(at_ben.expect("message").await["from_uid"], "ben");
    at_ann.say(&channel, "the end").await;
    assert_eq!(at_ben.expect_text().await, "the end");
}

#[tokio::test]
async fn several_channels_share_a_socket_without_mixing() {
    let system = System::shared().await;
    let mut socket = Socket::connect(system.gateway()).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let channel = system.channel().await;
        let ann = Member::join(system.gateway(), &channel, "ann").await;
        let ben = Member::join(system.gateway(), &channel, "ben").await;
        socket.subscribe(&ann).await;
        others.push((channel, ben.enter(&system.gateways[1]).await.0));
    }
    for (channel, at_ben) in &mut others {
        at_ben.say(channel, &format!("to {channel}")).await;
    }
    for (channel, _) in &others {
        let is_here = |frame: &Value| frame["type"] == "message" && frame["channel"] == *channel;
        let message = socket.expect_where("a message of the channel", is_here).await;
        assert_eq!(message["text"], format!("to {channel}"));
    }
    // One is left, the others stay.
    let (left, kept) = (others[0].0.clone(), others[1].0.clone());
    let frame = json!({"type": "unsubscribe", "id": "u", "channel": left});
    assert_eq!(socket.ask(&frame, "unsubscribed").await["channel"], left.as_str());
    others[0].1.say(&left, "unheard").await;
    others[1].1.say(&kept, "heard").await;
    assert_eq!(socket.expect_text().await, "heard");
    let send = json!({"type": "send", "id": "s", "channel": left, "text": "?"});
    assert_eq!(socket.ask(&send, "error").await["code"], "not_subscribed");
    // The member is one still.
    let members = system.gateway().rest().get(&members_path(&left)).await.expect(200);
    assert_eq!(members.body["members"][0]["uid"], "ann");
}

#[tokio::test]
async fn a_query_subscribes_at_once() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, _) = ann_and_ben(&system, &channel).await;
    let first = at_ann.say(&channel, "one").await["seq"].as_u64().unwrap();
    at_ann.say(&channel, "two").await;
    let cid = Member::join(system.gateway(), &channel, "cid").await;
    let query = format!("?channel={channel}&uid=cid&secret={}", cid.secret);

    let mut sockets = Vec::new();
    for (more, expected) in [
        (String::new(), vec!["one", "two"]),
        (format!("&last_seq={first}"), vec!["two"]),
        ("&since=1000000000".to_owned(), vec!["one", "two"]),
        ("&since=4000000000".to_owned(), vec![]),
    ] {
        let query = format!("{query}{more}");
        let mut socket = Socket::connect_with(&system.gateways[1], &query).await;
        let subscribed = socket.expect("subscribed").await;
        assert_eq!(subscribed.get("id"), None);
        assert_eq!(texts(&subscribed), expected, "{more}");
        sockets.push(socket);
    }
    at_ann.say(&channel, "live").await;
    for socket in &mut sockets {
        assert_eq!(socket.expect_text().await, "live");
    }
}

#[tokio::test]
async fn a_first_frame_without_a_type_subscribes() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, _) = ann_and_ben(&system, &channel).await;
    let first = at_ann.say(&channel, "one").await["seq"].clone();
    at_ann.say(&channel, "two").await;
    let cid = Member::join(system.gateway(), &channel, "cid").await;
    let mut socket = Socket::connect(system.gateway()).await;
    let frame = json!({"channel": channel, "uid": "cid", "secret": cid.secret, "last_seq": first});
    socket.send(&frame).await;
    assert_eq!(texts(&socket.expect("subscribed").await), ["two"]);
}

#[tokio::test]
async fn a_client_that_offers_version_1_is_told_that_it_is_spoken() {
    let system = System::shared().await;
    let spoken = "sec-websocket-protocol: goch.v1\r\n";
    for (offered, is_selected) in [
        ("Sec-WebSocket-Protocol: goch.v1\r\n", true),
        ("Sec-WebSocket-Protocol: chat, goch.v2 ,goch.v1\r\n", true),
        ("Sec-WebSocket-Protocol: goch.v2\r\nSec-WebSocket-Protocol: goch.v1\r\n", true),
        // Whoever knows other versions only sees that none of them is.
        ("Sec-WebSocket-Protocol: goch.v2, goch.v10\r\n", false),
        ("Sec-WebSocket-Protocol: Goch.V1\r\n", false),
        ("", false),
    ] {
        let (mut socket, head) = RawConnection::shake_hands(system.gateway(), offered).await;
        let head = head.to_lowercase();
        assert_eq!(head.contains(spoken), is_selected, "{offered}: {head}");
        assert_eq!(head.matches("sec-websocket-protocol").count(), usize::from(is_selected));
        // The socket is one in any case.
        assert!(socket.write(&raw_frame(9, b"x")).await);
        assert!(socket.reads(&[0x8a, 1, b'x']).await, "{offered}");
    }
}

#[tokio::test]
async fn a_subscription_begins_with_the_page_that_was_asked_for() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, _) = ann_and_ben(&system, &channel).await;
    let mut seqs = Vec::new();
    for number in 0..6 {
        seqs.push(at_ann.say(&channel, &number.to_string()).await["seq"].as_u64().unwrap());
    }
    let cid = Member::join(system.gateway(), &channel, "cid").await;
    for (fields, expected, more) in [
        (json!({}), vec!["0", "1", "2", "3", "4", "5"], false),
        // The latest event is that cid joined.
        (json!({"limit": 3}), vec!["4", "5"], true),
        (json!({"after": seqs[3]}), vec!["4", "5"], false),
        (json!({"after": seqs[1], "limit": 2}), vec!["2", "3"], true),
        (json!({"last_seq": seqs[4]}), vec!["5"], false),
        (json!({"since": 1_000_000_000_000_u64, "limit": 5}), vec!["0", "1"], true),
        (json!({"since": 4_000_000_000_000_u64}), vec![], false),
        (json!({"after": 1_000_000_000_000_u64}), vec![], false),
    ] {
        for gateway in &system.gateways {
            let (_, subscribed) = cid.enter_with(gateway, &fields).await;
            assert_eq!(texts(&subscribed), expected, "{fields}");
            assert_eq!(subscribed["more"], more, "{fields}");
            let events = events(&subscribed);
            if let Some(last) = events.last() {
                assert!(last["seq"].as_u64() <= subscribed["last_seq"].as_u64(), "{fields}");
            }
            for pair in events.windows(2) {
                assert_eq!(pair[1]["prev"], pair[0]["seq"], "{fields}");
            }
        }
    }
}

#[tokio::test]
async fn history_is_read_backwards_page_by_page() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, _) = ann_and_ben(&system, &channel).await;
    for number in 0..10 {
        at_ann.say(&channel, &number.to_string()).await;
    }
    let cid = Member::join(system.gateway(), &channel, "cid").await;
    let (mut socket, subscribed) = cid.enter_with(system.gateway(), &json!({"limit": 3})).await;
    let mut events = subscribed["messages"].as_array().unwrap().clone();
    let mut more = subscribed["more"].clone();
    let mut pages = 0;
    while more == true {
        pages += 1;
        let frame = json!({"type": "history", "id": format!("h{pages}"), "channel": channel,
                           "before": events[0]["seq"], "limit": 3});
        let page = socket.ask(&frame, "history").await;
        assert_eq!(page["channel"], channel.as_str());
        let older = page["messages"].as_array().unwrap();
        assert!((1..=3).contains(&older.len()));
        events.splice(0..0, older.iter().cloned());
        more = page["more"].clone();
    }
    // The channel was created, and three have joined.
    assert_eq!(events.len(), 14);
    assert_eq!(texts(&json!({"messages": events})).concat(), "0123456789");
    for pair in events.windows(2) {
        assert_eq!(pair[1]["prev"], pair[0]["seq"]);
    }
    assert_eq!(events[0]["prev"], 0);
}

#[tokio::test]
async fn a_newcomer_is_announced_to_those_who_are_there() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, _) = ann_and_ben(&system, &channel).await;
    Member::join(&system.gateways[1], &channel, "cid").await;
    let is_cid = |frame: &Value| frame["type"] == "joined" && frame["uid"] == "cid";
    let joined = at_ann.expect_where("cid joins", is_cid).await;
    assert_eq!(joined["display_name"], "CID");
    assert_eq!(joined.get("email"), None);
    for field in ["seq", "prev", "time"] {
        assert!(joined[field].as_u64().unwrap() > 0, "{joined}");
    }
}

#[tokio::test]
async fn others_see_who_types_and_all_devices_see_who_reads() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, mut at_ben) = ann_and_ben(&system, &channel).await;
    let seq = at_ann.say(&channel, "Hello").await["seq"].clone();

    at_ben.send(&json!({"type": "typing", "channel": channel})).await;
    let expected = json!({"type": "typing", "channel": channel, "uid": "ben"});
    assert_eq!(at_ann.expect("typing").await, expected);
    at_ben.send(&json!({"type": "read", "channel": channel, "seq": seq})).await;
    let expected = json!({"type": "read", "channel": channel, "uid": "ben", "seq": seq});
    assert_eq!(at_ann.expect("read").await, expected);
    // It is how a member's other devices learn of it.
    assert_eq!(at_ben.expect("read").await, expected);

    at_ann.say(&channel, "the end").await;
    at_ben.expect_where("the end", |frame| frame["text"] == "the end").await;
    at_ben.ping().await;
    assert!(at_ben.kept().iter().all(|frame| frame["type"] != "typing"), "{:?}", at_ben.kept());
}

#[tokio::test]
async fn a_subscription_tells_how_much_is_unread() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, mut at_ben) = ann_and_ben(&system, &channel).await;
    let first = at_ann.say(&channel, "one").await["seq"].clone();
    at_ann.say(&channel, "two").await;
    at_ben.say(&channel, "my own").await;
    let cid = Member::join(system.gateway(), &channel, "cid").await;
    for gateway in &system.gateways {
        assert_eq!(cid.enter(gateway).await.1["unread"], 3);
    }
    let (mut at_cid, _) = cid.enter(system.gateway()).await;
    at_cid.send(&json!({"type": "read", "channel": channel, "seq": first})).await;
    for gateway in &system.gateways {
        until("the read position is known", async || {
            (cid.enter(gateway).await.1["unread"] == 2).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_repeated_subscribe_brings_what_came_after() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let first = socket.say(&channel, "one").await["seq"].clone();
    socket.say(&channel, "two").await;
    socket.expect_where("two", |frame| frame["text"] == "two").await;
    let again = socket.subscribe_with(&ann, &json!({"after": first})).await;
    assert_eq!(texts(&again), ["two"]);
    // Still subscribed, and once.
    socket.say(&channel, "three").await;
    socket.say(&channel, "four").await;
    let last = socket.expect_where("four", |frame| frame["text"] == "four").await;
    socket.expect_where("three", |frame| frame["seq"] == last["prev"]).await;
    let is_message = |frame: &&Value| frame["type"] == "message" && frame["text"] != "one";
    assert_eq!(socket.kept().iter().filter(is_message).count(), 0);
}

#[tokio::test]
async fn a_member_has_several_sockets_and_all_hear_everything() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let mut sockets = Vec::new();
    for number in 0..6 {
        sockets.push(ann.enter(&system.gateways[number % 2]).await.0);
    }
    sockets[0].say(&channel, "Hello").await;
    for socket in &mut sockets {
        assert_eq!(socket.expect_text().await, "Hello");
    }
}

#[tokio::test]
async fn any_text_arrives_as_it_was_sent() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (mut at_ann, mut at_ben) = ann_and_ben(&system, &channel).await;
    for text in [
        "\"quotes\", \\backslashes\\ and </tags>",
        "línea\nnueva\tund Tab",
        "\u{1f469}\u{200d}\u{1f4bb} \u{202e}right to left \u{0}nul",
        &"\u{1f600}".repeat(4_096),
    ] {
        at_ann.say(&channel, text).await;
        assert_eq!(at_ben.expect_text().await, text);
    }
}
