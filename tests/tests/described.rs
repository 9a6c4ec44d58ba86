//! What the services say is what their documents describe: OpenAPI for REST, AsyncAPI for sockets.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking")]

use std::collections::BTreeSet;

use goch_tests::{
    Described, Document, Member, Receiver, Recorded, Service, Socket, System, TokenKey, unique,
    until,
};
use reqwest::Method;
use serde_json::{Value, json};

const OPENAPI: [&str; 2] = ["openapi/gateway.json", "openapi/chat-admin.json"];
const ASYNCAPI: &str = "asyncapi.json";
const TOKEN_SECRET: &str = "a secret of thirty-two characters";

fn assert_is_committed(served: &Document, name: &str) {
    let same = served.0 == Document::committed(name).0;
    assert!(same, "docs/{name} is not what is served: run `make api-docs`");
}

#[tokio::test]
async fn the_gateways_answers_are_those_that_it_describes() {
    let system = System::shared().await;
    let gateway = system.gateway();
    let mut api = Described::at(gateway.rest(), "/openapi.json").await;
    assert_is_committed(api.document(), OPENAPI[0]);
    let (channel, secret) = system.private_channel().await;
    let named = [("name", &*channel)];
    let join = |uid: &str, secret: Value| {
        json!({"channel": channel, "channel_secret": secret, "uid": uid, "display_name": "Ann",
               "email": "ann@example.org"})
    };
    // Version 1 ignores the channel of the body.
    let members = "/v1/channels/{name}/members";
    for path in [members, "/channels", "/channels/register", "/register"] {
        let uid = unique("ann");
        let joined =
            api.call(Method::POST, path, &named, Some(join(&uid, json!(secret))), 201).await;
        let mut again = join(&uid, json!(secret));
        again["secret"] = joined.body["secret"].clone();
        api.call(Method::POST, path, &named, Some(again), 200).await;
        api.call(Method::POST, path, &named, Some(join(&uid, json!(secret))), 409).await;
        let wrong = json!("not-the-secret-of-this-channel");
        api.call(Method::POST, path, &named, Some(join(&uid, wrong)), 403).await;
        api.call(Method::POST, path, &named, Some(join("a b", json!(secret))), 400).await;
        api.call(Method::POST, path, &named, Some(json!({"channel": channel})), 400).await;
    }
    for path in [members, "/channels/{name}"] {
        api.call(Method::GET, &format!("{path}?secret={secret}"), &named, None, 200).await;
        api.call(Method::GET, path, &named, None, 403).await;
        api.call(Method::GET, path, &[("name", "a%20b")], None, 400).await;
    }
    api.call(Method::GET, "/connect", &[], None, 400).await;
    Socket::connect(gateway).await;
    api.note(&Method::GET, "/connect");
    let asyncapi = api.call(Method::GET, "/asyncapi.json", &[], None, 200).await;
    assert_is_committed(&Document(asyncapi.body), ASYNCAPI);
    api.finish(&named).await;
}

#[tokio::test]
async fn the_answers_to_ticketing_are_those_that_chat_admin_describes() {
    let system = System::builder()
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .env("broker-bridge", "WEBHOOK_RETRY_SECONDS", "1")
        .start()
        .await;
    system.chat_admin.rest().get("/v1/admin/openapi.json").await.expect_problem(
        401,
        "unauthorized",
        None,
    );
    let mut api = Described::at(system.admin(), "/v1/admin/openapi.json").await;
    assert_is_committed(api.document(), OPENAPI[1]);

    let channel = unique("ticket");
    let new = json!({"name": channel, "is_private": true});
    let created = api.call(Method::POST, "/v1/admin/channels", &[], Some(new.clone()), 201).await;
    let secret = created.body["secret"].as_str().unwrap();
    api.call(Method::POST, "/v1/admin/channels", &[], Some(new), 409).await;
    api.call(Method::POST, "/v1/admin/channels", &[], Some(json!({"name": "a b"})), 400).await;
    let made = json!({"name": unique("made"), "secret": "0f".repeat(20)});
    for status in [201, 200] {
        api.call(Method::POST, "/v1/admin/channels", &[], Some(made.clone()), status).await;
    }
    let public = json!({"name": unique("public"), "is_private": false});
    api.call(Method::POST, "/v1/admin/channels", &[], Some(public), 201).await;
    for uid in ["ann", "ben"] {
        Member::join_private(system.gateway(), &channel, Some(secret), uid).await;
    }
    talk_to_ticketing(&mut api, &channel).await;
    read_as_ticketing(&mut api, &channel).await;
    put_members(&mut api, &channel).await;
    hook(&system, &mut api).await;
    end(&mut api, &channel).await;
    let values =
        [("name", &*channel), ("uid", "ann"), ("id", "none"), ("letter", "none"), ("seq", "1")];
    api.finish(&values).await;
}

async fn talk_to_ticketing(api: &mut Described, channel: &str) {
    let named = [("name", channel)];
    let messages = "/v1/admin/channels/{name}/messages";
    let said = json!({"text": "How can we help?", "from_uid": "agent-7", "from_name": "Bea",
                      "id": "reply-1", "meta": {"source": "e-mail"}});
    api.call(Method::POST, messages, &named, Some(said.clone()), 201).await;
    api.call(Method::POST, messages, &named, Some(said), 200).await;
    for wrong in [json!({}), json!({"text": " "}), json!({"text": "x", "meta": {"a": 1}})] {
        api.call(Method::POST, messages, &named, Some(wrong), 400).await;
    }
    api.call(Method::POST, messages, &[("name", "none")], Some(json!({"text": "x"})), 404).await;
    let own = json!({"text": "No more."});
    let posted = api.call(Method::POST, messages, &named, Some(own), 201).await;
    let seq = posted.body["seq"].to_string();
    let message = "/v1/admin/channels/{name}/messages/{seq}";
    let one = [("name", channel), ("seq", &*seq)];
    let edit = json!({"text": "No more!", "id": "edit-1"});
    api.call(Method::PATCH, message, &one, Some(edit), 200).await;
    api.call(Method::PATCH, message, &one, Some(json!({"text": ""})), 400).await;
    api.call(Method::GET, &format!("{messages}?limit=1"), &named, None, 200).await;
    api.call(Method::DELETE, &format!("{message}?uid=agent-7"), &one, None, 204).await;
    api.call(Method::DELETE, message, &one, None, 404).await;
    api.call(Method::GET, messages, &named, None, 200).await;
    api.call(Method::GET, &format!("{messages}?after=0&limit=2"), &named, None, 200).await;
    api.call(Method::GET, &format!("{messages}?limit=0"), &named, None, 400).await;
    api.call(Method::POST, "/v1/admin/channels/{name}/close", &named, None, 200).await;
    api.call(Method::POST, messages, &named, Some(json!({"text": "x"})), 409).await;
    api.call(Method::POST, "/v1/admin/channels/{name}/reopen", &named, None, 200).await;
    api.call(Method::POST, "/v1/admin/channels/{name}/close", &[("name", "none")], None, 404).await;
}

async fn read_as_ticketing(api: &mut Described, channel: &str) {
    let ann = [("name", channel), ("uid", "ann")];
    let named = &ann[..1];
    until("the last message is known", async || {
        let listed = api.call(Method::GET, "/v1/admin/channels?limit=10", &[], None, 200).await;
        let channels = listed.body["channels"].as_array().unwrap().clone();
        let known = channels.iter().any(|shown| shown["last_message"]["text"].is_string());
        known.then_some(())
    })
    .await;
    api.call(Method::GET, "/v1/admin/channels?limit=0", &[], None, 400).await;
    api.call(Method::GET, "/v1/admin/channels/{name}", named, None, 200).await;
    api.call(Method::GET, "/v1/admin/channels/{name}", &[("name", "none")], None, 404).await;
    api.call(Method::GET, "/v1/admin/channels/{name}/members", named, None, 200).await;
    api.call(Method::GET, "/v1/admin/channels/{name}/presence", named, None, 200).await;
    api.call(Method::GET, "/v1/admin/channels/{name}/members/{uid}", &ann, None, 200).await;
    read_as_the_first_goch(api, &ann).await;
    let transcript = "/v1/admin/channels/{name}/transcript";
    let whole = api.call(Method::GET, transcript, named, None, 200).await;
    let kinds: Vec<_> =
        whole.body["events"].as_array().unwrap().iter().map(|e| &e["type"]).collect();
    assert_eq!(kinds, ["created", "joined", "joined", "message", "deleted", "closed", "reopened"]);
    api.call(Method::GET, &format!("{transcript}?format=text"), named, None, 200).await;
    api.call(Method::GET, &format!("{transcript}?format=pdf"), named, None, 400).await;
    api.call(Method::GET, "/v1/admin/accounts/{uid}/export", &ann[1..], None, 200).await;
    let export = "/v1/admin/channels/{name}/guests/{uid}/export";
    api.call(Method::GET, export, &ann, None, 200).await;
    api.call(Method::GET, export, &[("name", "none"), ("uid", "ann")], None, 404).await;
}

/// The paths that the first Goch had.
async fn read_as_the_first_goch(api: &mut Described, ann: &[(&str, &str)]) {
    let named = &ann[..1];
    let new = json!({"name": unique("ticket")});
    api.call(Method::POST, "/admin/channels", &[], Some(new.clone()), 201).await;
    api.call(Method::POST, "/admin/channels", &[], Some(new), 409).await;
    api.call(Method::GET, "/admin/channels?limit=10", &[], None, 200).await;
    api.call(Method::GET, "/admin/channels/{name}", named, None, 200).await;
    api.call(Method::GET, "/admin/channels/{name}", &[("name", "none")], None, 404).await;
    api.call(Method::GET, "/admin/channels/{name}/members", named, None, 200).await;
    api.call(Method::GET, "/admin/channels/{name}/user/{uid}", ann, None, 200).await;
}

async fn put_members(api: &mut Described, channel: &str) {
    let path = "/v1/admin/channels/{name}/members/{uid}";
    let bea = [("name", channel), ("uid", "bea")];
    let body = json!({"display_name": "Bea", "email": "bea@example.org", "role": "agent"});
    api.call(Method::PUT, path, &bea, Some(body.clone()), 201).await;
    api.call(Method::PUT, path, &bea, Some(body.clone()), 200).await;
    api.call(Method::PUT, path, &bea, Some(json!({"display_name": " "})), 400).await;
    let nowhere = [("name", "none"), ("uid", "bea")];
    api.call(Method::PUT, path, &nowhere, Some(body.clone()), 404).await;
    let ann = [("name", channel), ("uid", "ann")];
    api.call(Method::PUT, path, &ann, Some(body), 409).await;
    let read = format!("{path}/read");
    api.call(Method::PUT, &read, &ann, Some(json!({"seq": 1})), 200).await;
    api.call(Method::PUT, &read, &ann, Some(json!({"seq": -1})), 400).await;
    api.call(Method::PUT, &read, &nowhere, Some(json!({"seq": 1})), 404).await;
    let channels = "/v1/admin/accounts/{uid}/channels";
    until("the account's channel is listed", async || {
        let listed = api.call(Method::GET, channels, &bea[1..], None, 200).await;
        (listed.body["channels"][0]["name"] == channel).then_some(())
    })
    .await;
    api.call(Method::GET, &format!("{channels}?limit=101"), &bea[1..], None, 400).await;
}

async fn hook(system: &System, api: &mut Described) {
    let receiver = Receiver::start().await;
    let new = json!({"url": receiver.url(), "events": ["message.created"], "channels": ["*"]});
    let created = api.call(Method::POST, "/v1/admin/webhooks", &[], Some(new), 201).await;
    let id = created.body["id"].as_str().unwrap().to_owned();
    let wrong = json!({"url": receiver.url(), "events": ["message.created"], "channels": []});
    api.call(Method::POST, "/v1/admin/webhooks", &[], Some(wrong), 400).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
    let made = json!({"url": receiver.url(), "events": ["message.created"], "secret": secret});
    for status in [201, 200] {
        api.call(Method::POST, "/v1/admin/webhooks", &[], Some(made.clone()), status).await;
    }
    let wrong = json!({"url": receiver.url(), "events": ["message.pinned"]});
    api.call(Method::POST, "/v1/admin/webhooks", &[], Some(wrong), 400).await;
    api.call(Method::GET, "/v1/admin/webhooks", &[], None, 200).await;
    let webhook = [("id", &*id)];
    api.call(Method::GET, "/v1/admin/webhooks/{id}", &webhook, None, 200).await;
    api.call(Method::GET, "/v1/admin/webhooks/{id}", &[("id", "none")], None, 404).await;
    let all = json!({"events": ["message.created", "channel.closed"]});
    api.call(Method::PATCH, "/v1/admin/webhooks/{id}", &webhook, Some(all), 200).await;

    let secret = "/v1/admin/webhooks/{id}/secret";
    let rotated = api.call(Method::POST, secret, &webhook, None, 200).await;
    assert!(rotated.body["old_secret_expires_at"].is_u64());
    let at_once = json!({"overlap_seconds": 0});
    api.call(Method::POST, secret, &webhook, Some(at_once), 200).await;
    let too_long = json!({"overlap_seconds": 2_592_001});
    api.call(Method::POST, secret, &webhook, Some(too_long), 400).await;
    api.call(Method::POST, secret, &[("id", "none")], Some(json!(null)), 404).await;

    receiver.answer(|_| 500);
    let channel = system.channel().await;
    for text in ["one", "two"] {
        let path = format!("/v1/admin/channels/{channel}/messages");
        system.admin().post(&path, &json!({"text": text})).await.expect(201);
    }
    let letters = "/v1/admin/webhooks/{id}/dead-letters";
    let letter = until("two dead letters", async || {
        let listed = api.call(Method::GET, letters, &webhook, None, 200).await;
        let letters = listed.body["dead_letters"].as_array().unwrap().clone();
        (letters.len() == 2).then(|| letters[0]["id"].as_str().unwrap().to_owned())
    })
    .await;
    let page = format!("{letters}?limit=1&after={letter}");
    let page = api.call(Method::GET, &page, &webhook, None, 200).await;
    assert_eq!(page.body["dead_letters"].as_array().unwrap().len(), 1);
    api.call(Method::GET, &format!("{letters}?limit=501"), &webhook, None, 400).await;
    api.call(Method::GET, &format!("{letters}?after=x"), &webhook, None, 400).await;
    let one = [("id", &*id), ("letter", &*letter)];
    api.call(Method::POST, &format!("{letters}/{{letter}}/replay"), &one, None, 202).await;
    api.call(Method::POST, &format!("{letters}/replay"), &webhook, None, 202).await;
    let disable = Some(json!({"enabled": false}));
    api.call(Method::PATCH, "/v1/admin/webhooks/{id}", &webhook, disable, 200).await;
    api.call(Method::POST, &format!("{letters}/replay"), &webhook, None, 409).await;
    api.call(Method::POST, "/v1/admin/webhooks/{id}/enable", &webhook, None, 200).await;
    api.call(Method::DELETE, "/v1/admin/webhooks/{id}", &webhook, None, 204).await;
}

async fn end(api: &mut Described, channel: &str) {
    let (ann, ben) = ([("name", channel), ("uid", "ann")], [("name", channel), ("uid", "ben")]);
    api.call(Method::DELETE, "/v1/admin/channels/{name}/members/{uid}", &ann, None, 204).await;
    api.call(Method::DELETE, "/v1/admin/channels/{name}/members/{uid}", &ann, None, 404).await;
    api.call(Method::PUT, "/v1/admin/channels/{name}/bans/{uid}", &ben, None, 200).await;
    api.call(Method::GET, "/v1/admin/channels/{name}/bans", &ben[..1], None, 200).await;
    let guest = "/v1/admin/channels/{name}/guests/{uid}";
    api.call(Method::GET, &format!("{guest}/export"), &ben, None, 200).await;
    api.call(Method::DELETE, "/v1/admin/channels/{name}/bans/{uid}", &ben, None, 204).await;
    api.call(Method::DELETE, "/v1/admin/channels/{name}/bans/{uid}", &ben, None, 404).await;
    api.call(Method::DELETE, guest, &ben, None, 204).await;
    let suspension = "/v1/admin/accounts/{uid}/suspension";
    api.call(Method::GET, suspension, &ben[1..], None, 404).await;
    api.call(Method::PUT, suspension, &ben[1..], None, 200).await;
    api.call(Method::GET, suspension, &ben[1..], None, 200).await;
    api.call(Method::GET, "/v1/admin/suspensions?limit=1", &[], None, 200).await;
    api.call(Method::GET, "/v1/admin/suspensions?limit=0", &[], None, 400).await;
    api.call(Method::GET, "/v1/admin/accounts/{uid}/export", &ben[1..], None, 200).await;
    api.call(Method::DELETE, "/v1/admin/accounts/{uid}", &ben[1..], None, 204).await;
    api.call(Method::DELETE, suspension, &ben[1..], None, 204).await;
    api.call(Method::DELETE, suspension, &ben[1..], None, 404).await;
    api.call(Method::DELETE, "/v1/admin/channels/{name}", &ben[..1], None, 204).await;
    api.call(Method::DELETE, "/v1/admin/channels/{name}", &ben[..1], None, 204).await;
}

async fn recording(gateway: &Service) -> Socket {
    let mut socket = Socket::connect(gateway).await;
    socket.record();
    socket
}

/// A conversation in which every frame occurs that there is.
async fn conversation() -> Vec<Recorded> {
    let mut system = System::builder()
        .env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
        .env("gateway", "PRESENCE_GRACE_SECONDS", "1")
        .env("gateway", "DRAIN_SPREAD_SECONDS", "1")
        .start()
        .await;
    let channel = system.channel().await;
    let gateway = system.gateway();
    let key = TokenKey::shared(TOKEN_SECRET);
    let token = |seconds| key.sign(&json!({"sub": "bea", "channels": [channel]}), seconds);
    let ann = Member::join(gateway, &channel, "ann").await;
    let (mut customer, mut list) = (recording(gateway).await, recording(gateway).await);
    let watched = json!([{"channel": channel, "uid": "ann", "secret": ann.secret}]);
    let watch = json!({"type": "watch", "id": "w", "channels": watched});
    list.ask(&watch, "unread").await;
    customer.subscribe(&ann).await;

    let mut agent = recording(gateway).await;
    let subscribe =
        json!({"type": "subscribe", "id": "s", "channel": channel, "token": token(28), "after": 0});
    agent.ask(&subscribe, "subscribed").await;
    agent.expect("token_expiring").await;
    let renew = json!({"type": "authenticate", "id": "a", "token": token(600)});
    agent.ask(&renew, "authenticated").await;
    customer.expect("joined").await;
    customer.expect("presence").await;

    let send = json!({"type": "send", "id": "m1", "channel": channel, "text": "Hello",
                      "meta": {"page": "/pricing"}});
    let ack = agent.ask(&send, "ack").await;
    customer.expect("message").await;
    let edit = json!({"type": "edit", "id": "e1", "channel": channel, "seq": ack["seq"],
                      "text": "Hello!"});
    agent.ask(&edit, "ack").await;
    customer.expect("edited").await;
    let other = agent.say(&channel, "This one goes.").await;
    let delete = json!({"type": "delete", "id": "d1", "channel": channel, "seq": other["seq"]});
    agent.ask(&delete, "ack").await;
    customer.expect("deleted").await;
    // Without an id: a change of the count.
    list.expect_where("a count", |frame| frame["type"] == "unread" && frame["id"].is_null()).await;
    customer.send(&json!({"type": "typing", "channel": channel})).await;
    agent.expect("typing").await;
    customer.send(&json!({"type": "read", "channel": channel, "seq": ack["seq"]})).await;
    agent.expect("read").await;
    let page = json!({"type": "history", "id": "h", "channel": channel, "before": u32::MAX});
    let page = customer.ask(&page, "history").await;
    assert_eq!(page["messages"][0]["type"], "created");
    for turn in ["close", "reopen"] {
        let path = format!("/v1/admin/channels/{channel}/{turn}");
        system.admin().post(&path, &json!({})).await.expect(200);
    }
    customer.expect("closed").await;
    customer.expect("reopened").await;
    Member::join(gateway, &channel, "eve").await;
    let eve = format!("/v1/admin/channels/{channel}/members/eve");
    let request = system.admin().request(Method::DELETE, &eve);
    system.admin().send(request).await.expect(204);
    customer.expect("left").await;
    let bea = format!("/v1/admin/channels/{channel}/members/bea");
    let promoted = json!({"display_name": "Bea", "role": "agent"});
    let request = system.admin().request(Method::PUT, &bea).json(&promoted);
    system.admin().send(request).await.expect(200);
    customer.expect("updated").await;
    let unsubscribe = json!({"type": "unsubscribe", "id": "u", "channel": channel});
    list.ask(&unsubscribe, "unsubscribed").await;
    // Pages and lists have errors of their own.
    let mut refused = watch.clone();
    refused["channels"][0]["secret"] = json!("not-the-secret-of-this-member");
    list.ask(&refused, "error").await;
    agent
        .ask(&json!({"type": "history", "id": "n", "channel": "none", "before": 1}), "error")
        .await;

    let goodbyes = async {
        for socket in [&mut customer, &mut agent, &mut list] {
            socket.expect("reconnect").await;
            assert_eq!(socket.expect_close().await, 1001);
        }
    };
    tokio::join!(system.gateways[0].stop(), goodbyes);
    [customer, list, agent].iter().map(Socket::recorded).collect()
}

/// The message of the document that a frame is.
fn message<'a>(document: &'a Document, side: &str, frame: &Value) -> &'a Value {
    let kind = frame["type"].as_str().unwrap_or("subscribe");
    let message = &document.0["components"]["messages"][format!("{side}.{kind}")];
    assert!(message.is_object(), "{side}.{kind} is not described: {frame}");
    &message["payload"]
}

#[tokio::test]
async fn every_frame_of_a_conversation_is_one_that_is_described() {
    let document = Document::committed(ASYNCAPI);
    let mut seen = BTreeSet::new();
    for recorded in conversation().await {
        for (side, frames) in [("client", &recorded.client), ("server", &recorded.server)] {
            for frame in frames {
                let schema = message(&document, side, frame);
                assert_eq!(document.fault(schema, frame), None, "{side}: {frame}");
                seen.insert(format!("{side}.{}", frame["type"].as_str().unwrap()));
                spoil(&document, schema, frame);
            }
        }
    }
    // Only ever at the beginning of a channel, so in pages.
    seen.insert("server.created".to_owned());
    let described = document.0["components"]["messages"].as_object().unwrap();
    assert_eq!(seen, described.keys().cloned().collect());
}

/// A frame that lacks a field, or has one of another type, is none.
fn spoil(document: &Document, schema: &Value, frame: &Value) {
    for (field, value) in frame.as_object().unwrap() {
        let mut other = frame.clone();
        other[field] = if value.is_boolean() { json!("true") } else { json!(true) };
        assert!(!document.is_valid(schema, &other), "{other}");
        let mut without = frame.clone();
        without.as_object_mut().unwrap().remove(field);
        let optional = ["id", "meta", "unread", "online", "field", "channel", "after", "limit"];
        let may_lack = optional.contains(&field.as_str());
        assert!(may_lack || !document.is_valid(schema, &without), "{field} is not needed: {frame}");
    }
    let mut unknown = frame.clone();
    unknown["of_a_later_version"] = json!(1);
    assert!(document.is_valid(schema, &unknown), "{unknown}");
    assert!(document.fault(schema, &unknown).is_some(), "{unknown}");
}

#[tokio::test]
async fn what_the_document_refuses_the_gateway_refuses_too() {
    let system = System::shared().await;
    let document = Document::committed(ASYNCAPI);
    let ann = Member::join(system.gateway(), &system.channel().await, "ann").await;
    let (mut socket, _) = ann.enter(system.gateway()).await;
    let channel = &ann.channel;
    for (fields, code) in [
        (json!({"type": "send", "channel": channel, "text": ""}), "empty"),
        (json!({"type": "send", "channel": channel, "text": " \n"}), "empty"),
        (json!({"type": "send", "channel": channel, "text": "x".repeat(4_097)}), "too_long"),
        (json!({"type": "send", "channel": channel, "text": "x", "meta": {"a": 1}}), "bad_request"),
        (json!({"type": "history", "channel": channel, "before": -1}), "bad_request"),
        (json!({"type": "history", "channel": channel, "before": 1, "limit": 501}), "bad_request"),
        (json!({"type": "read", "channel": channel}), "bad_request"),
        (json!({"type": "watch", "channels": []}), "bad_request"),
        (json!({"type": "unsubscribe", "channel": ".."}), "bad_request"),
        (json!({"type": "subscribe", "channel": channel, "uid": "ann"}), "bad_request"),
    ] {
        let mut frame = fields;
        frame["id"] = json!(unique("wrong"));
        assert!(!document.is_valid(message(&document, "client", &frame), &frame), "{frame}");
        assert_eq!(socket.ask(&frame, "error").await["code"], code, "{frame}");
    }
}

/// Every node of a JSON value.
fn nodes(value: &Value) -> Vec<&Value> {
    let mut found = vec![value];
    match value {
        Value::Object(object) => found.extend(object.values().flat_map(nodes)),
        Value::Array(elements) => found.extend(elements.iter().flat_map(nodes)),
        _ => {}
    }
    found
}

fn assert_references_lead_somewhere(document: &Document) {
    for reference in nodes(&document.0).into_iter().filter_map(|node| node["$ref"].as_str()) {
        assert!(document.pointed_at(reference).is_object(), "{reference} leads nowhere");
    }
    for (name, component) in document.0["components"]["schemas"].as_object().unwrap() {
        let described = component["description"].as_str().is_some_and(|words| !words.is_empty());
        assert!(described, "{name} has no description");
    }
}

#[test]
fn the_openapi_documents_are_whole() {
    for name in OPENAPI {
        let document = Document::committed(name);
        let api = &document.0;
        assert!(api["openapi"].as_str().unwrap().starts_with("3.1."));
        assert_references_lead_somewhere(&document);
        let tags: Vec<_> = api["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        let mut ids = BTreeSet::new();
        for (path, item) in api["paths"].as_object().unwrap() {
            for (verb, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id), "{id} is there twice");
                assert!(operation["summary"].is_string(), "{verb} {path} has no summary");
                assert!(tags.contains(&&operation["tags"][0]), "{verb} {path} has no tag");
                let parameters = operation["parameters"].as_array().into_iter().flatten();
                let named: BTreeSet<_> = parameters
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                    .collect();
                let parts = path.split('/').filter(|part| part.starts_with('{'));
                assert_eq!(named, parts.map(ToOwned::to_owned).collect(), "{verb} {path}");
                assert_refusals_are_problems(&document, operation);
                assert_examples_fit(&document, operation);
            }
        }
        for (kind, item) in api["webhooks"].as_object().into_iter().flatten() {
            let operation = &item["post"];
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} is there twice");
            assert!(tags.contains(&&operation["tags"][0]), "{kind} has no tag");
            assert_eq!(
                operation["requestBody"]["content"]["application/json"]["example"]["type"],
                *kind
            );
            assert_examples_fit(&document, operation);
        }
    }
}

fn assert_refusals_are_problems(document: &Document, operation: &Value) {
    for (status, response) in operation["responses"].as_object().unwrap() {
        let reference = response["$ref"].as_str();
        let response = reference.map_or(response, |reference| document.pointed_at(reference));
        assert!(response["description"].is_string(), "{status} is not described");
        let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
        let is_refusal = status.starts_with(['4', '5']);
        assert_eq!(problem == "#/components/schemas/Problem", is_refusal, "{status}: {response}");
    }
}

fn assert_examples_fit(document: &Document, operation: &Value) {
    let body = &operation["requestBody"]["content"]["application/json"];
    if body.is_object() {
        assert!(body["example"].is_object(), "{} has no example", operation["operationId"]);
        assert_eq!(document.fault(&body["schema"], &body["example"]), None);
    }
}

#[test]
fn the_asyncapi_document_is_whole() {
    let document = Document::committed(ASYNCAPI);
    let api = &document.0;
    assert_eq!(api["asyncapi"], "3.0.0");
    assert_references_lead_somewhere(&document);
    let channel = &api["channels"]["connect"];
    assert_eq!(channel["address"], "/connect");
    let here: BTreeSet<_> = channel["messages"].as_object().unwrap().keys().cloned().collect();
    let all: BTreeSet<_> =
        api["components"]["messages"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(here, all);
    // Every message is received or sent by an operation, and each by its own side.
    let mut used = BTreeSet::new();
    for (name, operation) in api["operations"].as_object().unwrap() {
        let side = match operation["action"].as_str().unwrap() {
            "receive" => "client.",
            "send" => "server.",
            other => panic!("{name}: {other}"),
        };
        let messages = |list: &Value| -> Vec<String> {
            let names = list.as_array().into_iter().flatten();
            names
                .map(|m| m["$ref"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
                .collect()
        };
        for message in messages(&operation["messages"]) {
            assert!(message.starts_with(side), "{name}: {message}");
            used.insert(message);
        }
        for answer in messages(&operation["reply"]["messages"]) {
            assert!(answer.starts_with("server."), "{name}: {answer}");
        }
    }
    assert_eq!(used, all);
    let codes: Vec<_> =
        channel["x-close-codes"].as_array().unwrap().iter().map(|code| &code["code"]).collect();
    assert_eq!(codes, [1000, 1001, 1002, 1007, 1008, 1009, 1013, 4000, 4001]);
}
