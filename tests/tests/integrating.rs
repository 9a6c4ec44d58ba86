//! `docs/integrating.md`, done: its requests in their order by bash and curl, with the answers that it shows, and its
//! snippets in the languages that they are for. Node and Python are skipped where they are missing.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use goch_tests::{Received, Receiver, Socket, System, optional_program};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use self::token::chat_token;

#[path = "../../deploy/demo/src/token.rs"]
mod token;

const PAGE: &str = include_str!("../../docs/integrating.md");

const WIDGET: &str = include_str!("../../docs/widget.md");

const CHANNEL: &str = "ticket-42";

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

/// How long a snippet may run on a busy machine.
const RUN_WITHIN: Duration = Duration::from_mins(2);

/// Before each block: a refusal ends it, and is shown, as a reader sees it.
const BEFORE: &str = r#"
set -euo pipefail -a
. ./state
curl() { if [ "$1" = -sS ]; then command curl --fail-with-body "$@"; else command curl "$@"; fi; }
"#;

/// What is another one each time, wherever it stands.
const ANEW: [&str; 4] = ["id", "secret", "timestamp", "url"];

/// What is counted, and so is the same each time. Other numbers are times and places in the log.
const COUNTED: [&str; 2] = ["member_count", "unread"];

/// What stands between two fences.
#[derive(Debug)]
struct Block {
    /// The comment before it, such as `run: open`; empty if there is none.
    marker: &'static str,
    language: &'static str,
    text: String,
}

/// All blocks, in order.
fn blocks() -> Vec<Block> {
    let (mut blocks, mut marker) = (Vec::new(), "");
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let (indent, content) = line.split_at(line.len() - line.trim_start().len());
        if let Some(comment) = content.strip_prefix("<!-- ") {
            marker = comment.strip_suffix(" -->").unwrap();
        } else if let Some(language) = content.strip_prefix("```") {
            let inside = lines.by_ref().take_while(|line| line.trim_start() != "```");
            let text = inside.fold(String::new(), |text, line| {
                text + line.strip_prefix(indent).unwrap_or_default() + "\n"
            });
            blocks.push(Block { marker: std::mem::take(&mut marker), language, text });
        }
    }
    blocks
}

/// The text of the block with this marker.
fn block(marker: &str) -> String {
    let found: Vec<_> = blocks().into_iter().filter(|block| block.marker == marker).collect();
    assert_eq!(found.len(), 1, "{marker}: {found:?}");
    found.into_iter().next().unwrap().text
}

/// The answer that the page shows below a request.
fn shown_answer(name: &str) -> Option<Value> {
    let marker = format!("run: {name}");
    let mut after = blocks().into_iter().skip_while(|block| block.marker != marker).skip(1);
    let next = after.next().filter(|next| next.marker.is_empty() && next.language == "json");
    next.map(|next| serde_json::from_str(&next.text).unwrap())
}

/// Checks that what came is what the page shows, but for what is different each time.
fn compare(at: &str, shown: &Value, came: &Value) {
    let key = at.rsplit('.').next().unwrap_or_default();
    match (shown, came) {
        (Value::Object(fields), Value::Object(others)) => {
            let keys = fields.keys().collect::<Vec<_>>();
            assert_eq!(keys, others.keys().collect::<Vec<_>>(), "fields of {at}");
            for (key, field) in fields {
                compare(&format!("{at}.{key}"), field, &others[key]);
            }
        }
        (Value::String(_), Value::String(_)) if ANEW.contains(&key) => {}
        (Value::Number(_), Value::Number(_)) if !COUNTED.contains(&key) => {}
        _ => assert_eq!(shown, came, "{at}"),
    }
}

async fn run(mut command: Command) -> Output {
    let output = timeout(RUN_WITHIN, command.kill_on_drop(true).output()).await;
    assert!(output.is_ok(), "does not end: {command:?}");
    output.unwrap().unwrap()
}

/// Somebody who does what the page says.
struct Reader {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Reader {
    /// In a folder of their own, with the repository's `deploy`.
    fn new(variables: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        symlink(repository.join("deploy"), folder.path().join("deploy")).unwrap();
        fs::write(folder.path().join("state"), "").unwrap();
        Self { folder, variables }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one block of the page, with the variables of those before.
    async fn shell(&self, name: &str, text: &str) -> String {
        let mut command = Command::new("bash");
        let script = format!("{BEFORE}{text}\nexport -p > state\n");
        command.args(["-c", &script]).current_dir(self.folder.path()).env("no_proxy", "*");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = run(command).await;
        let [printed, errors] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert!(output.status.success(), "{name}:\n{text}\n{printed}\n{errors}");
        printed
    }

    /// Does a step: twice, as somebody does who got no answer. What is made up for it stays the same.
    async fn step(&self, name: &str) {
        let text = block(&format!("run: {name}"));
        let printed = self.shell(name, &text).await;
        if let Some(shown) = shown_answer(name) {
            compare(name, &shown, &serde_json::from_str(&printed).unwrap());
        }
        let is_made_up = |line: &&str| line.contains("$(openssl");
        let again: Vec<_> = text.lines().filter(|line| !is_made_up(line)).collect();
        self.shell(name, &again.join("\n")).await;
    }

    /// Runs a snippet with a line below it; none where there is no such program.
    async fn program(&self, interpreter: [&str; 2], name: &str, below: &str) -> Option<String> {
        let [variable, program] = interpreter;
        let program = optional_program(variable, program)?;
        // Node takes it for a module, and to Python a name is as good as another.
        let file = self.file("snippet.mjs");
        fs::write(&file, format!("{}\n{below}\n", block(name))).unwrap();
        let mut command = Command::new(program);
        command.arg(&file).current_dir(self.folder.path()).env("TOKEN_SECRET", TOKEN_SECRET);
        let output = run(command).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// Whether the snippet takes a request for Goch's.
    async fn verifies(&self, request: &Received, body: &str, secret: &str) -> Option<bool> {
        let below = format!(
            "console.log(isGochs({}, Buffer.from({}), {}))",
            json!(request.headers),
            json!(body),
            json!(secret)
        );
        let printed = self.program(["NODE", "node"], "run: verify-node", &below).await?;
        Some(printed == "true")
    }
}

/// Comes to the channel with a token, as the account `ann`.
async fn come(system: &System, token: &str) -> Socket {
    let mut socket = Socket::connect(system.gateway()).await;
    let frame = json!({"type": "subscribe", "id": "1", "channel": CHANNEL, "token": token});
    let subscribed = socket.ask(&frame, "subscribed").await;
    assert_eq!(subscribed["uid"], "ann", "{subscribed}");
    socket
}

#[tokio::test]
async fn whoever_does_what_the_page_says_has_support_chat() {
    let system = System::builder()
        .env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
        .env("broker-bridge", "WEBHOOK_ALLOW_PRIVATE", "true")
        .env("broker-bridge", "WEBHOOK_UNREAD_AFTER_SECONDS", "1")
        .start()
        .await;
    let receiver = Receiver::start().await;
    let mut reader = Reader::new(vec![
        ("ADMIN", format!("http://{}", system.chat_admin.address())),
        ("LOGIN", "ticketing:password-of-ticketing".to_owned()),
        ("HOOK", receiver.url()),
    ]);
    for name in ["open", "put-in-customer", "put-in-agent", "hear"] {
        reader.step(name).await;
    }

    let call = r#"({"id": "ann", "name": "Ann"}, "ticket-42"))"#;
    let below = [format!("console.log(chatToken{call}"), format!("print(chat_token{call}")];
    let tokens = [
        reader.program(["NODE", "node"], "run: sign-node", &below[0]).await,
        reader.program(["PYTHON", "python3"], "run: sign-python", &below[1]).await,
        Some(chat_token(TOKEN_SECRET, "ann", "Ann", CHANNEL)),
    ];
    let mut sockets = Vec::new();
    for token in tokens.into_iter().flatten() {
        sockets.push(come(&system, &token).await);
    }
    sockets[0].say(CHANNEL, "Hello").await;

    let secret = reader.shell("hear", "printf %s \"$HOOK_SECRET\"").await;
    for kind in ["message.created", "message.unread"] {
        let told = receiver.until(kind, |body| body["type"] == kind).await;
        let shown = block(&format!("told: {kind}"));
        compare(kind, &serde_json::from_str(&shown).unwrap(), &told.body);
        if let Some(verified) = reader.verifies(&told, &told.text, &secret).await {
            assert!(verified, "{told:?}");
            let spoiled = told.text.replace(CHANNEL, "ticket-43");
            assert_eq!(reader.verifies(&told, &spoiled, &secret).await, Some(false));
            let other = "whsec_b3RoZXIgc2VjcmV0IG9mIHNvbWVib2R5";
            assert_eq!(reader.verifies(&told, &told.text, other).await, Some(false));
        }
        reader.variables.push(("SEQ", told.body["data"]["seq"].to_string()));
    }

    for name in ["answer", "read", "close", "keep", "staging"] {
        reader.step(name).await;
    }
    sockets[0].expect_where("the answer", |frame| frame["text"] == "Have you tried again?").await;
    sockets[0].expect("closed").await;
    let kept: Value =
        serde_json::from_slice(&fs::read(reader.file("ticket-42.json")).unwrap()).unwrap();
    let texts: Vec<_> =
        kept["events"].as_array().unwrap().iter().filter_map(|e| e["text"].as_str()).collect();
    assert_eq!(texts, ["Hello", "Have you tried again?"]);
    let users = fs::read_to_string(reader.file("users.conf")).unwrap();
    assert!(users.contains("user: staging-gateway") && users.contains("user: gateway"), "{users}");
    reader.step("erase").await;
    system.admin().get("/v1/admin/channels/ticket-42").await.expect(404);

    let widget = system.gateway().rest().get("/widget.js").await;
    assert!(widget.status == 200 && widget.text.contains("token-url"), "{}", widget.status);
}

#[test]
fn every_block_of_the_page_is_one_that_a_test_runs() {
    let requests = [
        "open",
        "put-in-customer",
        "put-in-agent",
        "hear",
        "answer",
        "read",
        "close",
        "keep",
        "staging",
        "erase",
    ];
    let snippets = ["sign-node", "sign-python", "sign-rust", "verify-node", "page"];
    for Block { marker, language, text } in blocks() {
        let run = marker.strip_prefix("run: ").unwrap_or_default();
        let is_run = match language {
            "sh" => marker == "variables" || requests.contains(&run),
            "json" => marker.is_empty() || marker.starts_with("told: message."),
            _ => snippets.contains(&run),
        };
        assert!(is_run, "nothing runs this one ({marker}):\n{text}");
    }
    let set = block("variables");
    let set: Vec<_> = set.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    assert_eq!(set, ["ADMIN", "LOGIN", "HOOK"], "the variables that the test sets");
}

#[test]
fn the_snippet_in_rust_is_the_samples_which_is_compiled_here() {
    assert!(include_str!("../../deploy/demo/src/token.rs").contains(&block("run: sign-rust")));
}

#[test]
fn the_line_of_the_page_is_the_widgets() {
    assert!(WIDGET.contains(&block("run: page")));
}
