//! Who is one person: an account in all its channels, a guest in one channel alone, whatever they are called.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use async_nats::jetstream;
use goch_tests::{
    Answer, Builder, Member, Socket, System, TokenKey, members_path, texts, unique, until,
};
use reqwest::Method;
use serde_json::{Value, json};

const TOKEN_SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";

fn builder() -> Builder {
    System::builder().gateways(2).env("gateway", "TOKEN_SECRET", TOKEN_SECRET).env(
        "chat-admin",
        "DELETE_MARKERS_SECONDS",
        "5",
    )
}

async fn call(system: &System, method: Method, path: &str) -> Answer {
    system.admin().call(method, path).await
}

async fn delete(system: &System, path: &str) -> Answer {
    call(system, Method::DELETE, path).await
}

fn account(uid: &str) -> String {
    format!("/v1/admin/accounts/{uid}")
}

fn guest(channel: &str, uid: &str) -> String {
    format!("/v1/admin/channels/{channel}/guests/{uid}")
}

async fn export(system: &System, person: &str) -> Value {
    system.admin().get(&format!("{person}/export")).await.expect(200).body
}

/// What a person has said, as the export has it.
fn said(export: &Value) -> Vec<&str> {
    let events = export["events"].as_array().unwrap();
    events.iter().filter_map(|event| event["text"].as_str()).collect()
}

fn token_frame(channel: &str, uid: &str) -> Value {
    let claims = json!({"sub": uid, "name": "Ann", "channels": [channel]});
    let token = TokenKey::shared(TOKEN_SECRET).sign(&claims, 600);
    json!({"type": "subscribe", "id": unique("s"), "channel": channel, "token": token})
}

async fn enter_by_token(system: &System, channel: &str, uid: &str) -> Socket {
    let mut socket = Socket::connect(system.gateway()).await;
    socket.ask(&token_frame(channel, uid), "subscribed").await;
    socket
}

async fn unread(system: &System, channel: &str, uid: &str) -> u64 {
    let path = format!("/v1/admin/channels/{channel}/members/{uid}");
    system.admin().get(&path).await.expect(200).body["unread"].as_u64().unwrap()
}

async fn read(system: &System, socket: &mut Socket, (channel, uid): (&str, &str), seq: &Value) {
    socket.send(&json!({"type": "read", "channel": channel, "seq": seq})).await;
    until("a read position is stored", async || {
        (unread(system, channel, uid).await == 2).then_some(())
    })
    .await;
}

/// A channel in which ben has said three things; their sequences.
async fn with_ben(system: &System) -> (String, Vec<Value>) {
    let channel = system.channel().await;
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut socket, _) = ben.enter(system.gateway()).await;
    let mut seqs = Vec::new();
    for text in ["one", "two", "three"] {
        seqs.push(socket.say(&channel, text).await["seq"].clone());
    }
    (channel, seqs)
}

/// Four people of one uid: guests in the channels a and b, an account in c and d, and in d a guest who was there before.
/// Ben has said three things in each channel, of which each of the four who are members has read one.
struct Anns {
    system: System,
    uid: String,
    channels: [String; 4],
    /// Of the members, by channel.
    sockets: [Socket; 4],
    /// What the guest of b has said.
    said_in_b: Value,
}

impl Anns {
    async fn start() -> Self {
        let system = builder().start().await;
        // No name begins with another one, since what is left of it is looked for.
        let uid = format!("{}-ann", unique("uid"));
        let word = |of: &str| format!("{uid}-of-{of}");
        let ((a, in_a), (b, in_b)) = (with_ben(&system).await, with_ben(&system).await);
        let ((c, in_c), (d, in_d)) = (with_ben(&system).await, with_ben(&system).await);

        let at_a = Member::join(system.gateway(), &a, &uid).await;
        let (mut at_a, _) = at_a.enter(system.gateway()).await;
        at_a.say(&a, &word("guest-a")).await;
        read(&system, &mut at_a, (&a, &uid), &in_a[0]).await;
        let at_b = Member::join(system.gateway(), &b, &uid).await;
        let (mut at_b, _) = at_b.enter(&system.gateways[1]).await;
        let said_in_b = at_b.say(&b, &word("guest-b")).await["seq"].clone();
        read(&system, &mut at_b, (&b, &uid), &in_b[0]).await;

        Member::put_in(&system.admin(), &c, &uid).await;
        let mut at_c = enter_by_token(&system, &c, &uid).await;
        at_c.say(&c, &word("account")).await;
        read(&system, &mut at_c, (&c, &uid), &in_c[0]).await;

        let before = Member::join(system.gateway(), &d, &uid).await;
        let (mut before, _) = before.enter(system.gateway()).await;
        before.say(&d, &word("guest-d")).await;
        before.send(&json!({"type": "read", "channel": d, "seq": in_d[2]})).await;
        until("all is read", async || (unread(&system, &d, &uid).await == 0).then_some(())).await;
        let mut at_d = enter_by_token(&system, &d, &uid).await;
        assert_eq!(before.expect_close().await, 4001, "the token's user is somebody else");
        assert_eq!(
            unread(&system, &d, &uid).await,
            3,
            "what the guest has read, the account has not"
        );
        at_d.say(&d, &word("account")).await;
        read(&system, &mut at_d, (&d, &uid), &in_d[0]).await;

        let (channels, sockets) = ([a, b, c, d], [at_a, at_b, at_c, at_d]);
        Self { system, uid, channels, sockets, said_in_b }
    }

    /// The guests of a, b and d, and the account.
    fn people(&self) -> [String; 4] {
        let [a, b, _, d] = &self.channels;
        let guest = |channel| guest(channel, &self.uid);
        [guest(a), guest(b), guest(d), account(&self.uid)]
    }

    /// What one of them has said.
    fn word(&self, of: &str) -> String {
        format!("{}-of-{of}", self.uid)
    }

    async fn exports(&self) -> [Value; 4] {
        let [a, b, d, account] = &self.people();
        [
            export(&self.system, a).await,
            export(&self.system, b).await,
            export(&self.system, d).await,
            export(&self.system, account).await,
        ]
    }

    async fn expect_one_read(&self, channels: &[usize]) {
        for channel in channels {
            assert_eq!(unread(&self.system, &self.channels[*channel], &self.uid).await, 2);
        }
    }

    /// What everybody has said in a channel.
    async fn texts(&self, channel: usize) -> Vec<String> {
        let path = format!("/v1/admin/channels/{}/messages", self.channels[channel]);
        let page = self.system.admin().get(&path).await.expect(200).body;
        texts(&page).into_iter().map(ToOwned::to_owned).collect()
    }
}

#[tokio::test]
async fn people_of_one_uid_are_exported_each_on_their_own() {
    let anns = Anns::start().await;
    let expected: [(&[&str], usize); 4] =
        [(&["guest-a"], 1), (&["guest-b"], 1), (&["guest-d"], 0), (&["account", "account"], 2)];
    let exports = anns.exports().await;
    for (export, (texts, memberships)) in exports.iter().zip(expected) {
        let words: Vec<_> = texts.iter().map(|of| anns.word(of)).collect();
        assert_eq!(said(export), words, "{export}");
        assert_eq!(export["memberships"].as_array().unwrap().len(), memberships, "{export}");
    }
    // A coming, a message and a going.
    assert_eq!(exports[2]["events"].as_array().unwrap().len(), 3, "{}", exports[2]);
    // Ticketing is told which is which.
    for (channel, kind) in anns.channels.iter().zip(["guest", "guest", "account", "account"]) {
        let path = format!("/v1/admin/channels/{channel}/members/{}", anns.uid);
        let member = anns.system.admin().get(&path).await.expect(200).body;
        assert_eq!(member["kind"], kind, "{member}");
    }
}

#[tokio::test]
async fn a_guest_who_is_erased_leaves_namesakes_whole() {
    let mut anns = Anns::start().await;
    let (before, [a, _, d, _]) = (anns.exports().await, anns.people());
    // Who left long ago, and whose place the account has, first.
    delete(&anns.system, &d).await.expect(204);
    anns.system.servers().until_without_trace(&anns.word("guest-d")).await;
    anns.expect_one_read(&[0, 1, 2, 3]).await;
    delete(&anns.system, &a).await.expect(204);
    assert_eq!(anns.sockets[0].expect_close().await, 4001);
    anns.system.servers().until_without_trace(&anns.word("guest-a")).await;

    let left = anns.exports().await;
    for gone in [&left[0], &left[2]] {
        assert_eq!((&gone["events"], &gone["memberships"]), (&json!([]), &json!([])), "{gone}");
    }
    assert_eq!((&left[1], &left[3]), (&before[1], &before[3]), "the others are untouched");
    anns.expect_one_read(&[1, 2, 3]).await;
    for index in 1..4 {
        let channel = anns.channels[index].clone();
        anns.sockets[index].say(&channel, "and go on").await;
    }
    assert_eq!(anns.texts(0).await, ["one", "two", "three"]);
    assert_eq!(anns.texts(3).await, ["one", "two", "three", &anns.word("account"), "and go on"]);
}

#[tokio::test]
async fn an_account_that_is_erased_leaves_guests_of_the_same_uid_whole() {
    let mut anns = Anns::start().await;
    let (before, [a, b, d, account]) = (anns.exports().await, anns.people());
    delete(&anns.system, &account).await.expect(204);
    for index in [2, 3] {
        assert_eq!(anns.sockets[index].expect_close().await, 4001);
    }
    anns.system.servers().until_without_trace(&anns.word("account")).await;
    let left = anns.exports().await;
    assert_eq!(left[3]["memberships"], json!([]), "{}", left[3]);
    assert_eq!(left[3]["events"], json!([]), "{}", left[3]);
    assert_eq!(left[..3], before[..3], "the guests are untouched");
    anns.expect_one_read(&[0, 1]).await;
    // They go on as before, their own messages included.
    let [_, channel, ..] = &anns.channels;
    let edit = json!({"type": "edit", "id": "e", "channel": channel, "seq": anns.said_in_b,
                      "text": "and go on"});
    anns.sockets[1].ask(&edit, "ack").await;
    assert_eq!(anns.texts(1).await, ["one", "two", "three", "and go on", "and go on"]);

    for guest in [a, b, d] {
        delete(&anns.system, &guest).await.expect(204);
    }
    anns.system.servers().until_without_trace(&anns.uid).await;
    for channel in 0..4 {
        assert_eq!(anns.texts(channel).await, ["one", "two", "three"]);
    }
}

#[tokio::test]
async fn what_an_account_made_of_a_guests_message_is_of_both() {
    let system = System::shared().await;
    let (channel, uid) = (system.channel().await, unique("ann"));
    let member = Member::join(system.gateway(), &channel, &uid).await;
    let (mut socket, _) = member.enter(system.gateway()).await;
    let seq = socket.say(&channel, "helo").await["seq"].clone();
    // Ticketing speaks as an account, of the same uid here.
    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}/messages/{seq}");
    let edit = admin.request(Method::PATCH, &path).json(&json!({"text": "hello", "uid": uid}));
    admin.send(edit).await.expect(200);
    let body = json!({"text": "from outside", "from_uid": uid});
    admin.post(&format!("/v1/admin/channels/{channel}/messages"), &body).await.expect(201);

    let (of_guest, of_account) = (guest(&channel, &uid), account(&uid));
    assert_eq!(said(&export(&system, &of_guest).await), ["hello", "hello"]);
    assert_eq!(said(&export(&system, &of_account).await), ["hello", "from outside"]);
    delete(&system, &of_account).await.expect(204);
    assert_eq!(said(&export(&system, &of_guest).await), ["helo"]);
    socket.ping().await;
    // The uid is the guest's alone again: whoever has it leaves, and another one joins as it.
    delete(&system, &format!("/v1/admin/channels/{channel}/members/{uid}")).await.expect(204);
    assert_eq!(socket.expect_close().await, 4001);
    Member::join(system.gateway(), &channel, &uid).await;
}

#[tokio::test]
async fn a_ban_outlives_the_erasure_of_whom_it_keeps_out() {
    let system = builder().start().await;
    let channel = system.channel().await;
    let base = format!("/v1/admin/channels/{channel}");
    let (joined, put_in) = (unique("joined"), unique("put-in"));
    Member::join(system.gateway(), &channel, &joined).await;
    let mut socket = enter_by_token(&system, &channel, &put_in).await;
    socket.say(&channel, "what-got-me-banned").await;
    for (uid, person) in [(&joined, guest(&channel, &joined)), (&put_in, account(&put_in))] {
        let ban = call(&system, Method::PUT, &format!("{base}/bans/{uid}")).await.expect(200).body;
        delete(&system, &person).await.expect(204);
        let left = export(&system, &person).await;
        assert_eq!(left["events"], json!([]), "{left}");
        let membership = &left["memberships"][0];
        assert_eq!(membership["banned_at"], ban["banned_at"], "{left}");
        assert_eq!((&membership["display_name"], &membership["email"]), (&json!(""), &json!(null)));
        // Nobody of the uid comes in, neither as the one nor as the other.
        let body = json!({"uid": uid, "display_name": "Ann"});
        let again = system.gateway().rest().post(&members_path(&channel), &body).await;
        again.expect_problem(403, "forbidden", Some("uid"));
        let mut late = Socket::connect(&system.gateways[1]).await;
        late.send(&token_frame(&channel, uid)).await;
        late.expect_error("unauthorized", None).await;
    }
    system.servers().until_without_trace("what-got-me-banned").await;
    let bans = system.admin().get(&format!("{base}/bans")).await.expect(200).body;
    assert_eq!(bans["bans"].as_array().unwrap().len(), 2, "{bans}");
    for uid in [&joined, &put_in] {
        delete(&system, &format!("{base}/bans/{uid}")).await.expect(204);
        Member::join(system.gateway(), &channel, uid).await;
    }
}

#[tokio::test]
async fn namesakes_are_erased_at_the_same_time_and_whoever_is_not_meant_stays() {
    let mut system = builder().start().await;
    let uid = unique("ann");
    let (a, b, c) = (system.channel().await, system.channel().await, system.channel().await);
    let mut sockets = Vec::new();
    for channel in [&a, &b] {
        let member = Member::join(system.gateway(), channel, &uid).await;
        let (mut socket, _) = member.enter(system.gateway()).await;
        socket.say(channel, "mine").await;
        sockets.push(socket);
    }
    let mut at_c = enter_by_token(&system, &c, &uid).await;
    at_c.say(&c, "the account's").await;

    system.broker_bridge.stop().await;
    let people = [guest(&a, &uid), account(&uid)];
    for person in &people {
        delete(&system, person).await.expect(202);
    }
    assert_eq!((sockets[0].expect_close().await, at_c.expect_close().await), (4001, 4001));
    system.broker_bridge.start().await;
    for person in &people {
        until("a person is erased", async || {
            (delete(&system, person).await.status == 204).then_some(())
        })
        .await;
        assert_eq!(export(&system, person).await["events"], json!([]));
    }
    sockets[1].say(&b, "and go on").await;
    assert_eq!(said(&export(&system, &guest(&b, &uid)).await), ["mine", "and go on"]);
}

#[tokio::test]
async fn an_erasure_that_a_channel_did_not_outlive_is_not_finished_on_a_namesake() {
    let prefix = unique("outlived");
    let mut system = builder().prefix(&prefix).start().await;
    let (channel, uid) = (unique("ticket"), unique("ann"));
    system.create_channel(&channel, false).await;
    let member = Member::join(system.gateway(), &channel, &uid).await;
    let (mut socket, _) = member.enter(system.gateway()).await;
    socket.say(&channel, "mine").await;
    // As it is left when chat-admin is killed, and the channel deleted and created anew.
    let client = async_nats::connect(system.servers().nats.url()).await.unwrap();
    let bucket = jetstream::new(client).get_key_value(format!("{prefix}_erasures")).await.unwrap();
    let key = format!("{channel}.{uid}");
    let record = json!({"person": {"guest": [channel, uid]}, "actor": "help-desk", "through": 0, "page": null,
                        "channel_creation": "of-an-earlier-one", "creation": "c"});
    let begin = async || bucket.put(&key, record.to_string().into()).await.unwrap();
    begin().await;
    system.chat_admin.kill();
    system.chat_admin.start().await;
    until("another replica is done with it", async || {
        bucket.entry(&key).await.unwrap().is_none().then_some(())
    })
    .await;
    let person = guest(&channel, &uid);
    assert_eq!(said(&export(&system, &person).await), ["mine"]);
    socket.say(&channel, "and go on").await;

    // Who asks for the guest of today is not answered for the one of then.
    begin().await;
    delete(&system, &person).await.expect(204);
    assert_eq!(socket.expect_close().await, 4001);
    assert_eq!(export(&system, &person).await["events"], json!([]));
}

#[tokio::test]
async fn a_guest_of_no_channel_is_nobody() {
    let system = System::shared().await;
    let (channel, nowhere) = (system.channel().await, unique("nowhere"));
    for path in [guest(&channel, "nobody"), guest(&nowhere, "nobody")] {
        delete(&system, &path).await.expect(204);
    }
    let none = export(&system, &guest(&channel, "nobody")).await;
    assert_eq!((&none["events"], &none["memberships"]), (&json!([]), &json!([])));
    let path = format!("{}/export", guest(&nowhere, "nobody"));
    system.admin().get(&path).await.expect_problem(404, "not_found", Some("name"));
    for (path, field) in [(account("a b"), "uid"), (guest("a b", "ann"), "name")] {
        delete(&system, &path).await.expect_problem(400, "bad_request", Some(field));
    }
}
