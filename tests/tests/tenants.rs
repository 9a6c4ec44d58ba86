//! Several customers in one installation: none reaches into another's channels, whatever it asks for.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use goch_tests::{Answer, Member, Receiver, Rest, Servers, Socket, System, TokenKey, until};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

const PASSWORD: &str = "password-of-a-tenant";
const ACME_KEY: &str = "acme's secret of thirty-two bytes";
const BETA_KEY: &str = "beta's secret of thirty-two bytes";
const OWN_KEY: &str = "the secret of the installation itself";

const TENANTS: &str = r#"
tenants:
  acme:
    channel_prefix: "acme."
    admin_credentials: ["acme-desk:password-of-a-tenant", "acme-reports read:password-of-a-tenant",
                        "acme-bot read+write:password-of-a-tenant", "acme-law erase:password-of-a-tenant"]
    token: {secret: "acme's secret of thirty-two bytes"}
    channels_max: 3
    channel_members_max: 2
    webhooks_max: 1
    reserved_uids: boss
  beta:
    channel_prefix: "b:"
    admin_credentials: ["beta-desk:password-of-a-tenant"]
    token: {secret: "beta's secret of thirty-two bytes"}
"#;

/// An installation with the tenants acme and beta.
async fn start() -> (System, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("goch.yaml");
    std::fs::write(&file, TENANTS).unwrap();
    let builder = System::builder()
        .servers(Servers::new())
        .env_of_all("CONFIG_FILE", file.to_str().unwrap())
        .env("gateway", "TOKEN_SECRET", OWN_KEY)
        .env("chat-admin", "CHANNEL_MEMBERS_MAX", "")
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true");
    (builder.start().await, folder)
}

fn of(system: &System, credential: &str) -> Rest {
    system.chat_admin.rest().login(credential, PASSWORD)
}

async fn create(rest: &Rest, name: &str) -> Answer {
    rest.post("/v1/admin/channels", &json!({"name": name, "is_private": false})).await
}

fn names(page: &Answer) -> Vec<&str> {
    let channels = page.body["channels"].as_array().unwrap().iter();
    channels.map(|channel| channel["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tenant_sees_its_own_channels_and_whoever_operates_the_installation_sees_all() {
    let (mut system, _folder) = start().await;
    let (acme, beta, operator) =
        (of(&system, "acme-desk"), of(&system, "beta-desk"), system.admin());
    for (rest, name) in [(&acme, "acme.1"), (&acme, "acme.2"), (&beta, "b:1"), (&operator, "own")] {
        create(rest, name).await.expect(201);
    }
    for (rest, name) in [(&acme, "b:2"), (&acme, "acme2"), (&beta, "acme.3"), (&beta, "own-2")] {
        create(rest, name).await.expect_problem(403, "forbidden", Some("name"));
    }
    for redis in [true, false] {
        if !redis {
            system.own_servers().redis.stop().await;
        }
        let list = async |rest: &Rest, query: &str| {
            let page = rest.get(&format!("/v1/admin/channels{query}")).await.expect(200);
            (names(&page).join(" "), page.body["more"] == true)
        };
        assert_eq!(list(&acme, "").await, ("acme.1 acme.2".to_owned(), false));
        assert_eq!(list(&acme, "?limit=1").await, ("acme.1".to_owned(), true));
        assert_eq!(list(&acme, "?limit=1&after=acme.1").await, ("acme.2".to_owned(), false));
        assert_eq!(list(&acme, "?after=a").await, ("acme.1 acme.2".to_owned(), false));
        assert_eq!(list(&acme, "?after=b").await, (String::new(), false));
        assert_eq!(list(&beta, "").await, ("b:1".to_owned(), false));
        assert_eq!(list(&beta, "?after=acme.1").await, ("b:1".to_owned(), false));
        assert_eq!(list(&operator, "").await, ("acme.1 acme.2 b:1 own".to_owned(), false));
    }
}

/// Every operation of the document that chat-admin serves: method, path and a body, if it takes one.
async fn operations(rest: &Rest) -> Vec<(Method, String, Option<Value>)> {
    let document = rest.get("/v1/admin/openapi.json").await.expect(200).body;
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let body = &operation["requestBody"];
            let example = body["content"]["application/json"]["example"].clone();
            assert!(body.is_null() || example.is_object(), "{method} {path} has no example");
            operations.push((method, path.clone(), example.is_object().then_some(example)));
        }
    }
    assert!(operations.len() > 35, "{}", operations.len());
    operations
}

async fn ask(rest: &Rest, method: &Method, path: &str, body: Option<&Value>) -> Answer {
    let request = rest.request(method.clone(), path);
    let request = if let Some(body) = body { request.json(body) } else { request };
    rest.send(request).await
}

/// What erases: nothing else asks for that scope.
fn is_erasing(method: &Method, path: &str) -> bool {
    let what = path.strip_prefix("/v1/admin").unwrap_or(path);
    let erasing = ["/channels/{name}", "/accounts/{uid}", "/channels/{name}/guests/{uid}"];
    *method == Method::DELETE && erasing.contains(&what)
}

#[tokio::test]
async fn a_credential_is_good_for_its_scopes_alone_at_every_endpoint() {
    let (system, _folder) = start().await;
    let all = operations(&of(&system, "acme-desk")).await;
    assert!(all.iter().filter(|(method, path, _)| is_erasing(method, path)).count() >= 3);
    for (credential, scopes) in [
        ("acme-desk", ["read", "write", "erase"].as_slice()),
        ("acme-reports", &["read"]),
        ("acme-bot", &["read", "write"]),
        ("acme-law", &["erase"]),
    ] {
        let rest = of(&system, credential);
        for (method, path, body) in &all {
            let scope = match method {
                &Method::GET => "read",
                _ if is_erasing(method, path) => "erase",
                _ => "write",
            };
            let named = path.replace("{name}", "acme.none").replace("{uid}", "nobody");
            let named =
                named.replace("{seq}", "1").replace("{id}", "none").replace("{letter}", "event-1");
            // Nothing is to be made.
            let body = body.as_ref().map(|_| json!({}));
            let answer = ask(&rest, method, &named, body.as_ref()).await;
            let is_open = path.ends_with("/openapi.json");
            if scopes.contains(&scope) || is_open {
                assert_ne!(answer.status, 403, "{credential}: {method} {path}: {}", answer.text);
            } else {
                assert_eq!(answer.status, 403, "{credential}: {method} {path}: {}", answer.text);
                assert!(answer.body["detail"].as_str().unwrap().contains(scope), "{}", answer.text);
            }
        }
    }
}

/// What acme has, in one piece.
async fn state_of_acme(acme: &Rest, webhook: &str) -> Vec<String> {
    let mut state = Vec::new();
    for path in [
        "/v1/admin/channels",
        "/v1/admin/channels/acme.ticket/members",
        "/v1/admin/channels/acme.ticket/members/ann",
        "/v1/admin/channels/acme.ticket/bans",
        "/v1/admin/channels/acme.ticket/transcript",
        "/v1/admin/accounts/ann/export",
        "/v1/admin/webhooks",
        webhook,
    ] {
        state.push(acme.get(path).await.expect(200).text);
    }
    state
}

#[tokio::test]
async fn no_endpoint_lets_a_tenant_reach_into_anothers_channels() {
    let (system, _folder) = start().await;
    let (acme, beta) = (of(&system, "acme-desk"), of(&system, "beta-desk"));
    create(&acme, "acme.ticket").await.expect(201);
    let base = "/v1/admin/channels/acme.ticket";
    let put = json!({"display_name": "Ann", "email": "ann@example.org"});
    ask(&acme, &Method::PUT, &format!("{base}/members/ann"), Some(&put)).await.expect(201);
    let said = json!({"text": "a secret of acme's", "from_uid": "ann"});
    let seq =
        acme.post(&format!("{base}/messages"), &said).await.expect(201).body["seq"].to_string();
    ask(&acme, &Method::PUT, &format!("{base}/bans/mallory"), None).await.expect(200);
    let hook =
        json!({"url": "http://127.0.0.1:9/", "events": ["message.created"], "enabled": false});
    let webhook = acme.post("/v1/admin/webhooks", &hook).await.expect(201).body;
    let id = webhook["id"].as_str().unwrap();
    let path_of_webhook = format!("/v1/admin/webhooks/{id}");
    let before = state_of_acme(&acme, &path_of_webhook).await;

    for (method, path, body) in operations(&acme).await {
        if path.ends_with("/openapi.json") {
            continue;
        }
        let named = path.replace("{name}", "acme.ticket").replace("{uid}", "ann");
        let named = named.replace("{seq}", &seq).replace("{id}", id).replace("{letter}", "event-1");
        let mut body = body;
        if path.ends_with("/channels") && method == Method::POST {
            body = Some(json!({"name": "acme.other"}));
        }
        let answer = ask(&beta, &method, &named, body.as_ref()).await;
        if path.contains("{name}") || path.contains("{id}") {
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        } else if path.ends_with("/channels") && method == Method::POST {
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
        }
        for of_acme in ["acme.ticket", "a secret of acme", "ann@example.org", id] {
            // An echo of what was asked for is no news.
            let is_echo = named.contains(of_acme) && answer.status >= 400;
            assert!(is_echo || !answer.text.contains(of_acme), "{method} {path}: {}", answer.text);
        }
    }
    assert_eq!(state_of_acme(&acme, &path_of_webhook).await, before);
    // Nor is anything of one tenant found at another's credentials by the operator's default.
    let operator = system.admin();
    let export = operator.get("/v1/admin/accounts/ann/export").await.expect(200);
    assert_eq!(export.body["memberships"], json!([]));
    let export = operator.get("/v1/admin/accounts/ann/export?tenant=acme").await.expect(200);
    assert_eq!(export.body["memberships"][0]["channel"], "acme.ticket");
    for path in
        ["/v1/admin/accounts/ann/export?tenant=none", "/v1/admin/accounts/ann/export?tenant=a b"]
    {
        operator.get(path).await.expect_problem(400, "bad_request", Some("tenant"));
    }
    beta.get("/v1/admin/accounts/ann/export?tenant=acme").await.expect_problem(
        403,
        "forbidden",
        Some("tenant"),
    );
}

fn claims(uid: &str, more: &Value) -> Value {
    let mut claims = json!({"sub": uid, "channels": ["acme.1", "b:1", "own"]});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

#[tokio::test]
async fn a_token_opens_the_channels_of_whose_key_has_signed_it_and_no_others() {
    let (system, _folder) = start().await;
    let operator = system.admin();
    let all = ["acme.1", "b:1", "own"];
    for channel in all {
        create(&operator, channel).await.expect(201);
    }
    for (key, own) in [(ACME_KEY, "acme.1"), (BETA_KEY, "b:1"), (OWN_KEY, "own")] {
        let key = TokenKey::shared(key);
        for role in ["member", "agent"] {
            let token = key.sign(&claims("ann", &json!({"role": role})), 60);
            for channel in all {
                let mut socket = Socket::connect(system.gateway()).await;
                let subscribe =
                    json!({"type": "subscribe", "id": "s", "channel": channel, "token": token});
                let watched = json!({"channel": channel, "token": token});
                let watch = json!({"type": "watch", "id": "w", "channels": [watched]});
                let query = format!("?channel={channel}&token={token}");
                if channel == own {
                    socket.ask(&subscribe, "subscribed").await;
                    socket.send(&watch).await;
                    assert_eq!(socket.answer_to("w").await["type"], "unread");
                } else {
                    assert_eq!(socket.ask(&subscribe, "error").await["code"], "unauthorized");
                    socket.send(&watch).await;
                    assert_eq!(socket.answer_to("w").await["code"], "unauthorized");
                    let mut socket = Socket::connect_with(system.gateway(), &query).await;
                    assert_eq!(socket.expect("error").await["code"], "unauthorized");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_socket_with_channels_of_two_tenants_renews_each_with_its_own_tokens() {
    let (system, _folder) = start().await;
    for channel in ["acme.1", "b:1"] {
        create(&system.admin(), channel).await.expect(201);
    }
    let (acme, beta) = (TokenKey::shared(ACME_KEY), TokenKey::shared(BETA_KEY));
    let mut socket = Socket::connect(system.gateway()).await;
    for (key, channel) in [(&acme, "acme.1"), (&beta, "b:1")] {
        let token = key.sign(&claims("ann", &json!({})), 60);
        let frame = json!({"type": "subscribe", "id": channel, "channel": channel, "token": token});
        socket.ask(&frame, "subscribed").await;
    }
    let renew = async |socket: &mut Socket, key: &TokenKey, seconds| {
        let token = key.sign(&claims("ann", &json!({})), seconds);
        socket.send(&json!({"type": "authenticate", "id": "a", "token": token})).await;
        socket.answer_to("a").await
    };
    // The first to end is still beta's, then acme's.
    let first = renew(&mut socket, &acme, 900).await["expires_at"].as_u64().unwrap();
    let second = renew(&mut socket, &beta, 1_800).await["expires_at"].as_u64().unwrap();
    assert!(second > first + 600_000, "{first}, {second}");
    let stranger = TokenKey::shared(OWN_KEY);
    assert_eq!(renew(&mut socket, &stranger, 900).await["code"], "unauthorized");
}

#[tokio::test]
async fn accounts_of_one_uid_in_two_tenants_are_two_people() {
    let (system, _folder) = start().await;
    let (acme, beta, operator) =
        (of(&system, "acme-desk"), of(&system, "beta-desk"), system.admin());
    let mut sockets = Vec::new();
    for (key, channel) in [(ACME_KEY, "acme.1"), (BETA_KEY, "b:1"), (OWN_KEY, "own")] {
        create(&operator, channel).await.expect(201);
        let token = TokenKey::shared(key).sign(&claims("ann", &json!({"name": "Ann"})), 600);
        let mut socket = Socket::connect(system.gateway()).await;
        let frame = json!({"type": "subscribe", "id": "s", "channel": channel, "token": token});
        socket.ask(&frame, "subscribed").await;
        socket.say(channel, &format!("in {channel}")).await;
        sockets.push((socket, frame));
    }
    let export = async |rest: &Rest, query: &str| {
        let path = format!("/v1/admin/accounts/ann/export{query}");
        let body = rest.get(&path).await.expect(200).body;
        let channels = body["memberships"].as_array().unwrap().iter();
        let channels: Vec<_> =
            channels.map(|it| it["channel"].as_str().unwrap().to_owned()).collect();
        let said = body["events"].as_array().unwrap().iter().filter(|it| it["type"] == "message");
        let said = said.map(|it| it["text"].as_str().unwrap().to_owned());
        (channels.join(" "), said.collect::<Vec<_>>().join(", "))
    };
    let whole = |channel: &str| (channel.to_owned(), format!("in {channel}"));
    assert_eq!(export(&acme, "").await, whole("acme.1"));
    assert_eq!(export(&beta, "").await, whole("b:1"));
    assert_eq!(export(&operator, "").await, whole("own"));
    assert_eq!(export(&operator, "?tenant=beta").await, whole("b:1"));

    let suspension = "/v1/admin/accounts/ann/suspension";
    ask(&beta, &Method::PUT, suspension, None).await.expect(200);
    acme.get(suspension).await.expect(404);
    operator.get(suspension).await.expect(404);
    operator.get(&format!("{suspension}?tenant=beta")).await.expect(200);
    let listed = acme.get("/v1/admin/suspensions").await.expect(200);
    assert!(!listed.text.contains("ann"), "{}", listed.text);
    assert!(beta.get("/v1/admin/suspensions").await.expect(200).text.contains("ann"));
    assert_eq!(sockets[1].0.expect_close().await, 4001);
    for (number, (socket, frame)) in sockets.iter_mut().enumerate() {
        if number != 1 {
            socket.say(frame["channel"].as_str().unwrap(), "still here").await;
        }
        let mut again = Socket::connect(system.gateway()).await;
        let answer = if number == 1 { "error" } else { "subscribed" };
        again.ask(frame, answer).await;
    }

    until("beta's ann is erased", async || {
        let answer = ask(&beta, &Method::DELETE, "/v1/admin/accounts/ann", None).await;
        (answer.status == 204).then_some(())
    })
    .await;
    assert_eq!(export(&beta, "").await, (String::new(), String::new()));
    for (rest, channel) in [(&acme, "acme.1"), (&operator, "own")] {
        let expected = (channel.to_owned(), format!("in {channel}, still here"));
        assert_eq!(export(rest, "").await, expected);
    }
    for (socket, frame) in &mut [sockets.remove(2), sockets.remove(0)] {
        socket.say(frame["channel"].as_str().unwrap(), "and still").await;
    }
    assert!(beta.get(suspension).await.expect(200).text.contains("ann"));
}

#[tokio::test]
async fn a_tenants_webhooks_hear_of_its_own_channels_alone() {
    let (system, _folder) = start().await;
    let (acme, beta) = (of(&system, "acme-desk"), of(&system, "beta-desk"));
    let (at_acme, at_beta) = (Receiver::start().await, Receiver::start().await);
    let mut ids = Vec::new();
    for (rest, receiver) in [(&acme, &at_acme), (&beta, &at_beta)] {
        let hook = json!({"url": receiver.url(), "events": ["message.created"]});
        let made = rest.post("/v1/admin/webhooks", &hook).await.expect(201).body;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    for (rest, channel) in [(&acme, "acme.1"), (&beta, "b:1"), (&system.admin(), "own")] {
        create(rest, channel).await.expect(201);
        let path = format!("/v1/admin/channels/{channel}/messages");
        rest.post(&path, &json!({"text": format!("in {channel}")})).await.expect(201);
    }
    for (receiver, channel) in [(&at_acme, "acme.1"), (&at_beta, "b:1")] {
        receiver.until_accepted(channel, 1).await;
    }
    for (receiver, own) in [(&at_acme, "acme.1"), (&at_beta, "b:1")] {
        for received in receiver.received() {
            assert!(received.body.to_string().contains(own), "{}", received.body);
        }
    }
    let listed = async |rest: &Rest| {
        let body = rest.get("/v1/admin/webhooks").await.expect(200).body;
        let webhooks = body["webhooks"].as_array().unwrap().iter();
        webhooks.map(|webhook| webhook["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&acme).await, ids[..1]);
    assert_eq!(listed(&beta).await, ids[1..]);
    assert_eq!(listed(&system.admin()).await, ids);
}

#[tokio::test]
async fn a_tenants_quotas_end_at_it() {
    let (system, _folder) = start().await;
    let (acme, beta) = (of(&system, "acme-desk"), of(&system, "beta-desk"));
    let secret = "0123456789abcdef0123456789abcdef01234567";
    let made = json!({"name": "acme.1", "secret": secret});
    acme.post("/v1/admin/channels", &made).await.expect(201);
    for number in 2..=3 {
        create(&acme, &format!("acme.{number}")).await.expect(201);
    }
    create(&acme, "acme.4").await.expect_problem(403, "forbidden", Some("name"));
    // One that there is already is not another one.
    acme.post("/v1/admin/channels", &made).await.expect(200);
    create(&acme, "acme.2").await.expect_problem(409, "conflict", Some("name"));
    for number in 1..=5 {
        create(&beta, &format!("b:{number}")).await.expect(201);
    }
    let deleted = ask(&acme, &Method::DELETE, "/v1/admin/channels/acme.3", None).await;
    assert!([202, 204].contains(&deleted.status));
    until("there is room again", async || {
        let answer = create(&acme, "acme.5").await;
        (answer.status == 201).then_some(())
    })
    .await;

    for uid in ["ann", "ben"] {
        Member::join(system.gateway(), "acme.2", uid).await;
    }
    let join = async |channel: &str, uid: &str| {
        let body = json!({"uid": uid, "display_name": "C"});
        let path = format!("/v1/channels/{channel}/members");
        system.gateway().rest().post(&path, &body).await.status
    };
    assert_eq!(join("acme.2", "cyd").await, 403);
    for uid in ["ann", "ben", "cyd"] {
        assert_eq!(join("b:1", uid).await, 201);
    }
    assert_eq!((join("acme.5", "boss").await, join("acme.5", "system").await), (409, 201));
    assert_eq!((join("b:1", "boss").await, join("b:1", "system").await), (201, 409));

    let hook = json!({"url": "http://127.0.0.1:9/", "events": ["message.created"]});
    acme.post("/v1/admin/webhooks", &hook).await.expect(201);
    acme.post("/v1/admin/webhooks", &hook).await.expect_problem(409, "conflict", None);
    for _ in 0..2 {
        beta.post("/v1/admin/webhooks", &hook).await.expect(201);
    }
}
