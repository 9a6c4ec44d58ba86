//! Channels over REST: ticketing opens them, people join them.

use std::collections::BTreeSet;

use goch_tests::{Member, System, members_path, unique, until};
use reqwest::Method;
use serde_json::{Value, json};

fn join_body(channel: &str, uid: &str) -> Value {
    json!({"channel": channel, "uid": uid, "display_name": "Ann", "email": "ann@example.org"})
}

#[tokio::test]
async fn ticketing_opens_a_channel_and_finds_it_again() {
    let system = System::shared().await;
    let admin = system.admin();
    let name = unique("ticket");

    let body = json!({"name": name, "is_private": false});
    let created = admin.post("/v1/admin/channels", &body).await.expect(201);
    assert_eq!(created.body, json!({"name": name, "is_private": false, "secret": null}));
    let again = admin.post("/v1/admin/channels", &json!({"name": name, "is_private": true})).await;
    again.expect_problem(409, "conflict", Some("name"));

    let channel = admin.get(&format!("/v1/admin/channels/{name}")).await.expect(200).body;
    assert_eq!(channel["name"], name.as_str());
    assert_eq!(channel["is_private"], false);
    assert_eq!(channel["closed_at"], Value::Null);
    assert_eq!(channel["member_count"], 0);
    assert_eq!(channel["last_message"], Value::Null);
    assert!(channel["created_at"].as_u64().unwrap() > 1_700_000_000_000);

    let missing = admin.get(&format!("/v1/admin/channels/{}", unique("missing"))).await;
    missing.expect_problem(404, "not_found", Some("name"));
}

#[tokio::test]
async fn ticketing_pages_through_all_channels_by_name() {
    let system = System::shared().await;
    let prefix = unique("page");
    let names: Vec<String> = (0..5).map(|number| format!("{prefix}-{number}")).collect();
    for name in &names {
        system.create_channel(name, false).await;
    }
    // The list is read from a copy, which a moment may pass to reach.
    let admin = system.admin();
    until("the new channels are listed", async || {
        let mut after = prefix.clone();
        let mut found = Vec::new();
        loop {
            let path = format!("/v1/admin/channels?after={after}&limit=2");
            let page = admin.get(&path).await.expect(200).body;
            for channel in page["channels"].as_array().unwrap() {
                found.push(channel["name"].as_str().unwrap().to_owned());
            }
            if page["more"] == false {
                break;
            }
            after.clone_from(found.last().unwrap());
        }
        found.retain(|name| name.starts_with(&format!("{prefix}-")));
        (found == names).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_member_is_listed_for_ticketing_with_an_address_and_for_others_without() {
    let system = System::shared().await;
    let channel = system.channel().await;
    Member::join(system.gateway(), &channel, "ann").await;

    let path = format!("/v1/admin/channels/{channel}/members");
    let members = system.admin().get(&path).await.expect(200).body;
    assert_eq!(members["channel"], channel.as_str());
    let member = &members["members"][0];
    assert_eq!(member["uid"], "ann");
    assert_eq!(member["display_name"], "ANN");
    assert_eq!(member["email"], "ann@example.org");
    assert!(member["joined_at"].is_u64());

    let seen = system.gateway().rest().get(&members_path(&channel)).await.expect(200).body;
    assert_eq!(
        seen,
        json!({"channel": channel, "more": false,
               "members": [{"uid": "ann", "display_name": "ANN", "role": "guest"}]})
    );
}

#[tokio::test]
async fn joining_works_at_all_three_addresses() {
    let system = System::shared().await;
    let channel = system.channel().await;
    for (number, path) in ["/channels", "/channels/register", "/register"].iter().enumerate() {
        let uid = format!("member-{number}");
        let rest = system.gateway().rest();
        let joined = rest.post(path, &join_body(&channel, &uid)).await.expect(201).body;
        assert_eq!(joined["channel"], channel.as_str());
        assert_eq!(joined["uid"], uid.as_str());
        // 128 bits or more, in any text form of at most 6 bits a character.
        assert!(joined["secret"].as_str().unwrap().len() >= 22);
    }
}

#[tokio::test]
async fn a_join_that_is_repeated_with_its_secret_is_no_conflict() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let member = Member::join(system.gateway(), &channel, "ann").await;
    let rest = system.gateways[1].rest();

    let mut body = join_body(&channel, "ann");
    rest.post(&members_path(&channel), &body).await.expect_problem(409, "conflict", Some("uid"));
    body["secret"] = "another secret of ann".into();
    rest.post(&members_path(&channel), &body).await.expect_problem(409, "conflict", Some("uid"));
    body["secret"] = member.secret.as_str().into();
    let again = rest.post(&members_path(&channel), &body).await.expect(200).body;
    assert_eq!(again["secret"], member.secret.as_str());

    // What one chooses oneself is taken as it is.
    let mut body = join_body(&channel, "ben");
    body["secret"] = "a secret that ben chose".into();
    let joined = rest.post(&members_path(&channel), &body).await.expect(201).body;
    assert_eq!(joined["secret"], "a secret that ben chose");
}

#[tokio::test]
async fn of_a_hundred_simultaneous_joins_with_one_uid_exactly_one_wins() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let joins = (0..100).map(|number| {
        let rest = system.gateways[number % 2].rest();
        let mut body = join_body(&channel, "ann");
        // Half of them bring a secret, all different.
        if number % 4 < 2 {
            body["secret"] = format!("the secret of join {number:03}").into();
        }
        let path = members_path(&channel);
        async move { rest.post(&path, &body).await }
    });
    let answers = futures_util::future::join_all(joins).await;

    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    let statuses: BTreeSet<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(count(201), 1, "{statuses:?}");
    assert_eq!(count(409), 99, "{statuses:?}");
    let winner = answers.iter().find(|answer| answer.status == 201).unwrap();
    let secret = winner.body["secret"].as_str().unwrap().to_owned();
    let member = Member { channel: channel.clone(), uid: "ann".to_owned(), secret };
    member.enter(system.gateway()).await;
    let path = format!("/v1/admin/channels/{channel}/members");
    let members = system.admin().get(&path).await.expect(200).body;
    assert_eq!(members["members"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn of_simultaneous_joins_with_the_same_secret_one_is_new_and_all_succeed() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let mut body = join_body(&channel, "ann");
    body["secret"] = "one secret on ten devices".into();
    let joins = (0..10).map(|number| {
        let (rest, body) = (system.gateways[number % 2].rest(), body.clone());
        let path = members_path(&channel);
        async move { rest.post(&path, &body).await.status }
    });
    let mut statuses = futures_util::future::join_all(joins).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 9].as_slice(), &[201]].concat());
}

#[tokio::test]
async fn a_private_channel_asks_for_its_secret() {
    let system = System::shared().await;
    let (channel, secret) = system.private_channel().await;
    let rest = system.gateway().rest();

    let member = Member::join_private(system.gateway(), &channel, Some(&secret), "ann").await;
    member.enter(system.gateway()).await;
    let members = members_path(&channel);
    rest.get(&format!("{members}?secret={secret}")).await.expect(200);
    rest.get(&members).await.expect_problem(403, "forbidden", None);
    // In the header it reaches no log and no history, and counts before what an address says.
    let with = async |path: &str, secret: &str| {
        rest.send(rest.request(Method::GET, path).bearer_auth(secret)).await
    };
    let listed = with(&members, &secret).await.expect(200).body;
    assert_eq!(listed["members"][0]["uid"], "ann");
    with(&members, "not-the-secret-of-it").await.expect_problem(403, "forbidden", None);
    let good = format!("{members}?secret={secret}");
    with(&good, "not-the-secret-of-it").await.expect_problem(403, "forbidden", None);
    with(&format!("{members}?secret=not-the-secret-of-it"), &secret).await.expect(200);
    rest.post(&members, &join_body(&channel, "ben")).await.expect_problem(403, "forbidden", None);
}

#[tokio::test]
async fn an_unknown_channel_and_a_wrong_channel_secret_look_the_same() {
    let system = System::shared().await;
    let (private, _) = system.private_channel().await;
    let unknown = unique("unknown");
    let rest = system.gateway().rest();

    let mut joins = Vec::new();
    let mut lists = Vec::new();
    for channel in [&private, &unknown] {
        let mut body = join_body(channel, "ann");
        body["channel_secret"] = "not the channel's secret".into();
        joins.push(rest.post(&members_path(channel), &body).await.expect(403).text);
        let path = format!("/v1/channels/{channel}/members?secret=not-the-secret-of-it");
        lists.push(rest.get(&path).await.expect(403).text);
    }
    assert_eq!(joins[0], joins[1]);
    assert_eq!(lists[0], lists[1]);
}

#[tokio::test]
async fn the_system_and_agents_speak_over_rest() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}/messages");

    let posted = admin.post(&path, &json!({"text": "Welcome"})).await.expect(201).body;
    let message = socket.expect("message").await;
    assert_eq!(message["from_uid"], "system");
    assert_eq!(message["text"], "Welcome");
    for field in ["id", "seq", "time"] {
        assert_eq!(message[field], posted[field], "{field}");
    }

    let reply = json!({"text": "How can we help?", "from_uid": "agent-7", "from_name": "Bea",
                       "id": "reply-1", "meta": {"source": "e-mail"}});
    let first = admin.post(&path, &reply).await.expect(201).body;
    assert_eq!(first["duplicate"], false);
    let again = admin.post(&path, &reply).await.expect(200).body;
    assert_eq!(
        again,
        json!({"id": "reply-1", "seq": first["seq"], "time": first["time"],
                             "duplicate": true})
    );
    let message = socket.expect("message").await;
    assert_eq!(message["from_name"], "Bea");
    assert_eq!(message["meta"], json!({"source": "e-mail"}));
    socket.ping().await;
    assert!(socket.kept().is_empty(), "{:?}", socket.kept());

    // What is posted is what is read, and what the list shows last.
    let page = admin.get(&path).await.expect(200).body;
    assert_eq!(page["messages"].as_array().unwrap().last(), Some(&message));
    let shown = admin.get(&format!("/v1/admin/channels/{channel}")).await.expect(200).body;
    assert_eq!(shown["last_message"], message);
}

#[tokio::test]
async fn ticketing_reads_what_it_has_just_written() {
    let system = System::shared().await;
    let channel = system.channel().await;
    Member::join(system.gateway(), &channel, "ann").await;
    let admin = system.admin();
    let base = format!("/v1/admin/channels/{channel}");
    let path = format!("{base}/messages");
    for said in 1..=20 {
        let text = format!("text {said}");
        let seq = admin.post(&path, &json!({"text": text})).await.expect(201).body["seq"].clone();
        let last = |page: &Value| page["messages"].as_array().unwrap().last().cloned().unwrap();
        for query in ["", "?after=0", "?since=1000000000000"] {
            let page = admin.get(&format!("{path}{query}")).await.expect(200).body;
            assert_eq!(last(&page)["seq"], seq, "{query}");
        }
        let text = format!("edited {said}");
        let edit = admin.request(Method::PATCH, &format!("{path}/{seq}"));
        admin.send(edit.json(&json!({"text": text}))).await.expect(200);
        let page = admin.get(&path).await.expect(200).body;
        let messages = page["messages"].as_array().unwrap();
        let edited = messages.iter().find(|event| event["seq"] == seq).unwrap();
        assert_eq!(edited["text"], text);
        let shown = admin.get(&base).await.expect(200).body;
        assert_eq!(shown["last_message"]["text"], text);
        if said % 2 == 0 {
            let delete = admin.request(Method::DELETE, &format!("{path}/{seq}"));
            admin.send(delete).await;
            let page = admin.get(&format!("{path}?before={}", u64::MAX)).await.expect(200).body;
            let mut messages = page["messages"].as_array().unwrap().iter();
            assert!(messages.all(|event| event["seq"] != seq), "{page}");
        }
        let count = admin.get(&format!("{base}/members/ann")).await.expect(200).body;
        assert_eq!(count["unread"], (said + 1) / 2);
    }
}

#[tokio::test]
async fn ticketing_reads_messages_page_by_page() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}/messages");
    let mut seqs = Vec::new();
    for number in 0..5 {
        let posted = admin.post(&path, &json!({"text": format!("{number}")})).await.expect(201);
        seqs.push(posted.body["seq"].as_u64().unwrap());
    }
    let page = async |query: &str| {
        let page = admin.get(&format!("{path}{query}")).await.expect(200).body;
        let messages = page["messages"].as_array().unwrap().iter();
        let texts: Vec<String> = messages
            .filter_map(|message| message["text"].as_str().map(ToOwned::to_owned))
            .collect();
        (texts.join(""), page["more"].as_bool().unwrap())
    };
    let whole = |text: &str| (text.to_owned(), false);
    let part = |text: &str| (text.to_owned(), true);
    assert_eq!(page("").await, whole("01234"));
    assert_eq!(page("?limit=2").await, part("34"));
    assert_eq!(page(&format!("?before={}&limit=2", seqs[3])).await, part("12"));
    assert_eq!(page(&format!("?before={}", seqs[2])).await, whole("01"));
    assert_eq!(page(&format!("?after={}&limit=2", seqs[0])).await, part("12"));
    assert_eq!(page(&format!("?after={}", seqs[2])).await, whole("34"));
    // The first event is that the channel was created.
    assert_eq!(page("?since=1000000000000&limit=3").await, part("01"));
    assert_eq!(page("?since=4000000000000").await, whole(""));
    for query in [
        "?limit=0",
        "?limit=501",
        "?limit=x",
        "?before=-1",
        "?after=1&before=9",
        "?since=1700000000",
    ] {
        assert_eq!(admin.get(&format!("{path}{query}")).await.expect(400).code(), "bad_request");
    }
}

#[tokio::test]
async fn unread_messages_are_those_of_others_after_the_read_position() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut at_ann, _) = ann.enter(system.gateway()).await;
    let (mut at_ben, _) = ben.enter(&system.gateways[1]).await;
    let count = async |uid: &str, expected: u64| {
        let path = format!("/v1/admin/channels/{channel}/members/{uid}");
        until(&format!("{uid} has {expected} unread"), async || {
            let answer = system.admin().get(&path).await.expect(200);
            (answer.body["unread"] == expected).then_some(())
        })
        .await;
    };

    let first = at_ann.say(&channel, "one").await["seq"].as_u64().unwrap();
    at_ann.say(&channel, "two").await;
    at_ben.say(&channel, "three").await;
    count("ann", 1).await;
    count("ben", 2).await;
    at_ben.send(&json!({"type": "read", "channel": channel, "seq": first})).await;
    count("ben", 1).await;
    // Never back.
    at_ben.send(&json!({"type": "read", "channel": channel, "seq": 1})).await;
    at_ben.ping().await;
    count("ben", 1).await;
    let (_, subscribed) = ben.enter(system.gateway()).await;
    assert_eq!(subscribed["unread"], 1);

    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}/members/nobody");
    admin.get(&path).await.expect_problem(404, "not_found", Some("uid"));
    let path = format!("/v1/admin/channels/{}/members/ann", unique("missing"));
    admin.get(&path).await.expect_problem(404, "not_found", Some("name"));
}

#[tokio::test]
async fn ticketing_must_log_in() {
    let system = System::shared().await;
    let anonymous = system.chat_admin.rest();
    for rest in [
        anonymous.clone(),
        anonymous.clone().login("ticketing", "wrong"),
        anonymous.clone().login("somebody", "password-of-ticketing"),
    ] {
        for path in
            ["/v1/admin/channels", "/v1/admin/channels/any", "/v1/admin/nothing", "/admin/nothing"]
        {
            rest.get(path).await.expect_problem(401, "unauthorized", None);
        }
    }
    for nothing in ["/v1/admin/nothing", "/admin/nothing", "/admin/webhooks"] {
        system.admin().get(nothing).await.expect_problem(404, "not_found", None);
    }
    anonymous.get("/").await.expect_problem(404, "not_found", None);
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_refused() {
    let system = System::shared().await;
    let (gateway, admin) = (system.gateway().rest(), system.admin());
    for (rest, path) in [
        (&gateway, "/v1/channels/any/members"),
        (&gateway, "/connect"),
        (&admin, "/v1/admin/channels"),
    ] {
        let answer = rest.send(rest.request(Method::DELETE, path)).await;
        answer.expect_problem(405, "method_not_allowed", None);
    }
}
