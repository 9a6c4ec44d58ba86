//! Requests of ticketing whose answer was lost are sent again, and answered as the first time.

use futures_util::future::join_all;
use goch_tests::{Answer, Member, Rest, System, events, unique};
use reqwest::Method;
use serde_json::{Value, json};

/// As `openssl rand -hex 20` gives it.
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233";

const OTHER_SECRET: &str = "ffffffffffffffffffffffffffffffffffffffff";

async fn call(rest: &Rest, method: Method, path: &str, body: &Value) -> Answer {
    rest.send(rest.request(method, path).json(body)).await
}

/// Sends the same request many times at once: one of them is the first.
async fn send_at_once(rest: &Rest, method: Method, path: &str, body: &Value) {
    let answers = join_all((0..8).map(|_| call(rest, method.clone(), path, body))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201], "{answers:?}");
    assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{answers:?}");
    assert_eq!(answers[0].body["secret"], body["secret"]);
}

#[tokio::test]
async fn a_channel_is_created_once_however_often_it_is_asked_for_with_the_same_secret() {
    let system = System::shared().await;
    let (admin, name) = (system.admin(), unique("ticket"));
    let create = async |body: &Value| call(&admin, Method::POST, "/v1/admin/channels", body).await;
    let body = json!({"name": name, "secret": SECRET});
    send_at_once(&admin, Method::POST, "/v1/admin/channels", &body).await;
    let again = create(&body).await.expect(200).body;
    assert_eq!(again, json!({"name": name, "is_private": true, "secret": SECRET}));
    let page = admin.get(&format!("/v1/admin/channels/{name}/messages")).await.expect(200).body;
    assert_eq!(events(&page).len(), 1, "one creation: {page}");
    let ann = Member::join_private(system.gateway(), &name, Some(SECRET), "ann").await;
    ann.enter(system.gateway()).await;

    for other in [json!({"name": name}), json!({"name": name, "secret": OTHER_SECRET})] {
        create(&other).await.expect_problem(409, "conflict", Some("name"));
    }
    // What somebody could guess is none.
    for is_private in [true, false] {
        let guessable = "correct horse battery staple";
        let body = json!({"name": unique("ticket"), "is_private": is_private, "secret": guessable});
        create(&body).await.expect_problem(400, "bad_request", Some("secret"));
    }
}

#[tokio::test]
async fn a_public_channel_is_told_from_somebody_elses_by_the_secret_of_its_request() {
    let system = System::shared().await;
    let (admin, name) = (system.admin(), unique("ticket"));
    let create = async |body: &Value| call(&admin, Method::POST, "/v1/admin/channels", body).await;
    let body = json!({"name": name, "is_private": false, "secret": SECRET});
    let created = json!({"name": name, "is_private": false, "secret": null});
    assert_eq!(create(&body).await.expect(201).body, created);
    assert_eq!(create(&body).await.expect(200).body, created);
    for other in [
        json!({"name": name, "is_private": false}),
        json!({"name": name, "is_private": false, "secret": OTHER_SECRET}),
        json!({"name": name, "is_private": true, "secret": SECRET}),
    ] {
        create(&other).await.expect_problem(409, "conflict", Some("name"));
    }
    // Whoever knows the name joins, and is asked for nothing.
    Member::join(system.gateway(), &name, "ann").await;
}

#[tokio::test]
async fn a_webhook_is_created_once_however_often_it_is_asked_for_with_the_same_secret() {
    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    const SECOND: &str = "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyE=";
    let system = System::builder().start().await;
    let (admin, path) = (system.admin(), "/v1/admin/webhooks");
    let url = "https://tickets.example.org/goch";
    let body = json!({"url": url, "events": ["message.created"], "secret": FIRST});
    send_at_once(&admin, Method::POST, path, &body).await;
    let again = call(&admin, Method::POST, path, &body).await.expect(200).body;
    assert_eq!((&again["secret"], &again["url"]), (&json!(FIRST), &json!(url)));
    let listed = admin.get(path).await.expect(200).body;
    assert_eq!(listed["webhooks"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["webhooks"][0]["id"], again["id"]);

    // Something else with the same secret is refused, and not taken for a repetition.
    let elsewhere =
        json!({"url": format!("{url}/2"), "events": ["message.created"], "secret": FIRST});
    let refused = call(&admin, Method::POST, path, &elsewhere).await;
    refused.expect_problem(409, "conflict", Some("secret"));
    for wrong in ["correct horse battery staple", "whsec_c2hvcnQ="] {
        let body = json!({"url": url, "events": ["message.created"], "secret": wrong});
        let refused = call(&admin, Method::POST, path, &body).await;
        refused.expect_problem(400, "bad_request", Some("secret"));
    }

    // A rotation that is repeated has happened once: the first secret signs as long as it was said.
    let rotate = format!("{path}/{}/secret", again["id"].as_str().unwrap());
    let body = json!({"secret": SECOND, "overlap_seconds": 3_600});
    let rotated = call(&admin, Method::POST, &rotate, &body).await.expect(200).body;
    assert_eq!(rotated["secret"], SECOND);
    for _ in 0..6 {
        assert_eq!(call(&admin, Method::POST, &rotate, &body).await.expect(200).body, rotated);
    }
    // By now it is not what was created with the first secret any more.
    let body = json!({"url": url, "events": ["message.created"], "secret": FIRST});
    let refused = call(&admin, Method::POST, path, &body).await;
    refused.expect_problem(409, "conflict", Some("secret"));
}

#[tokio::test]
async fn a_member_is_put_in_once_however_often_it_is_asked_for_with_the_same_secret() {
    let system = System::shared().await;
    let (admin, channel) = (system.admin(), system.channel().await);
    let path = format!("/v1/admin/channels/{channel}/members/bea");
    let put = async |body: &Value| call(&admin, Method::PUT, &path, body).await;
    let body = json!({"display_name": "Bea", "role": "agent", "secret": SECRET});
    send_at_once(&admin, Method::PUT, &path, &body).await;
    let member = Member { channel, uid: "bea".to_owned(), secret: SECRET.to_owned() };
    let (mut socket, _) = member.enter(system.gateway()).await;
    assert_eq!(put(&body).await.expect(200).body["role"], "agent");
    socket.say(&member.channel, "still here").await;

    let other = json!({"display_name": "Mallory", "secret": OTHER_SECRET});
    put(&other).await.expect_problem(409, "conflict", Some("secret"));
    let changed = put(&json!({"display_name": "Beatrice"})).await.expect(200).body;
    assert_eq!(changed["display_name"], "Beatrice");
}

#[tokio::test]
async fn what_is_gone_or_never_was_is_deleted() {
    let system = System::shared().await;
    let (admin, channel) = (system.admin(), system.channel().await);
    for name in [channel, unique("never")] {
        for path in [
            format!("/v1/admin/channels/{name}"),
            format!("/v1/admin/channels/{name}/guests/nobody"),
            format!("/v1/admin/accounts/{}", unique("nobody")),
        ] {
            for _ in 0..2 {
                call(&admin, Method::DELETE, &path, &json!({})).await.expect(204);
            }
        }
    }
}
