//! What clients of the first Goch know goes on working, with the answers that they know.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use goch_tests::{Member, Rest, Socket, System, members_path, texts, unique, until};
use reqwest::Method;
use serde_json::{Value, json};

/// The header `Deprecation` (RFC 9745) of an answer.
async fn deprecation(rest: &Rest, method: Method, path: &str) -> Option<String> {
    let answer = rest.request(method, path).json(&json!({})).send().await.unwrap();
    assert!(!answer.headers().contains_key("sunset"), "{path} stays");
    Some(answer.headers().get("deprecation")?.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn ticketing_of_the_first_goch_is_answered_as_ever() {
    let system = System::shared().await;
    let (gateway, admin) = (system.gateway(), system.admin());
    let name = unique("first");
    let created = admin.post("/admin/channels", &json!({"name": name})).await.expect(201).body;
    let secret = created["secret"].as_str().unwrap();
    assert_eq!(created, json!({"name": name, "is_private": true, "secret": secret}));
    let join = json!({"channel": name, "channel_secret": secret, "uid": "ann",
                      "display_name": "Ann", "email": "ann@example.org"});
    let joined = gateway.rest().post("/register", &join).await.expect(201).body;
    let own = joined["secret"].as_str().unwrap().to_owned();
    assert_eq!(joined, json!({"channel": name, "uid": "ann", "secret": own}));
    let ben = Member::join_private(gateway, &name, Some(secret), "ben").await;
    ben.enter(gateway).await.0.say(&name, "Hello").await;

    let base = format!("/admin/channels/{name}");
    until("the message is unread", async || {
        let count = admin.get(&format!("{base}/user/ann")).await.expect(200).body;
        (count == json!({"count": 1})).then_some(())
    })
    .await;
    let uids = |members: &Value| -> Vec<Value> {
        members.as_array().unwrap().iter().map(|member| member["uid"].clone()).collect()
    };
    let shown = admin.get(&base).await.expect(200).body;
    assert_eq!(uids(&shown["members"]), ["ann", "ben"]);
    assert_eq!(shown["last_message"]["text"], "Hello");
    let listed = admin.get("/admin/channels?limit=100").await.expect(200).body;
    let own = listed["channels"].as_array().unwrap().iter().find(|it| it["name"] == name.as_str());
    assert!(own.is_none_or(|own| *own == shown), "{listed}");
    let members = admin.get(&format!("{base}/members")).await.expect(200).body;
    assert_eq!(
        (uids(&members["members"]), &members["more"]),
        (uids(&shown["members"]), &json!(false))
    );
    let public = format!("/channels/{name}?secret={secret}");
    let public = gateway.rest().get(&public).await.expect(200).body;
    assert_eq!(uids(&public["members"]), ["ann", "ben"]);
}

#[tokio::test]
async fn the_first_gochs_query_and_first_frame_name_moments_in_seconds() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    ann.enter(system.gateway()).await.0.say(&channel, "Hello").await;
    let credentials = json!({"channel": channel, "uid": "ann", "secret": ann.secret});
    for (since, expected) in [(1_700_000_000_u64, &["Hello"][..]), (4_000_000_000, &[])] {
        let query = format!("?channel={channel}&uid=ann&secret={}&since={since}", ann.secret);
        let mut socket = Socket::connect_with(system.gateway(), &query).await;
        assert_eq!(texts(&socket.expect("subscribed").await), expected, "{since}");
        let mut frame = credentials.clone();
        frame["since"] = json!(since);
        let mut socket = Socket::connect(system.gateway()).await;
        socket.send(&frame).await;
        assert_eq!(texts(&socket.expect("subscribed").await), expected, "{since}");
        // The same in version 1.
        let (_, subscribed) =
            ann.enter_with(system.gateway(), &json!({"since": since * 1_000})).await;
        assert_eq!(texts(&subscribed), expected, "{since}");
    }
    // A moment in the other unit is refused and not taken for one in 1970, or far away.
    let mut socket = Socket::connect(system.gateway()).await;
    let mut frame = credentials.clone();
    frame["since"] = json!(1_700_000_000_000_u64);
    socket.send(&frame).await;
    socket.expect_error("bad_request", Some("since")).await;
    frame["since"] = json!(1_700_000_000);
    frame["type"] = json!("subscribe");
    socket.send(&frame).await;
    socket.expect_error("bad_request", Some("since")).await;
}

#[tokio::test]
async fn answers_of_the_first_gochs_paths_say_that_these_are_deprecated_and_others_do_not() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let (gateway, admin) = (system.gateway().rest(), system.admin());
    for (rest, method, path) in [
        (&gateway, Method::POST, "/channels"),
        (&gateway, Method::POST, "/channels/register"),
        (&gateway, Method::POST, "/register"),
        (&gateway, Method::GET, &format!("/channels/{channel}")),
        (&admin, Method::GET, "/admin/channels"),
        (&admin, Method::GET, &format!("/admin/channels/{channel}/members")),
        (&admin, Method::GET, &format!("/admin/channels/{channel}/user/nobody")),
    ] {
        let date = deprecation(rest, method, path).await.unwrap_or_else(|| panic!("{path}"));
        assert!(date.strip_prefix('@').is_some_and(|it| it.parse::<u64>().is_ok()), "{date}");
    }
    let members = members_path(&channel);
    assert_eq!(deprecation(&gateway, Method::GET, &members).await, None);
    assert_eq!(deprecation(&gateway, Method::GET, "/connect").await, None);
    assert_eq!(deprecation(&admin, Method::GET, "/v1/admin/channels").await, None);
}

#[tokio::test]
async fn what_the_first_goch_did_not_have_is_below_version_1_only() {
    let system = System::shared().await;
    let channel = system.channel().await;
    let base = format!("/channels/{channel}");
    for path in ["/webhooks", "/openapi.json", &format!("{base}/messages"), "/accounts/ann/export"]
    {
        system.admin().get(&format!("/v1/admin{path}")).await.expect(200);
        system.admin().get(&format!("/admin{path}")).await.expect(404);
    }
    let delete = |path: String| system.admin().request(Method::DELETE, &path);
    system.admin().send(delete(format!("/admin{base}"))).await.expect(405);
    system.admin().get(&format!("/v1/admin{base}/user/ann")).await.expect(404);
}
