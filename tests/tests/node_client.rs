//! The JavaScript client under Node: the npm package as a product in TypeScript uses it (packed, installed, compiled
//! strictly), and what becomes of a token that has ended. Skipped where there is no Node, unless `NODE_TESTS=required`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{fs, os::unix::fs::symlink, path::Path, process::Command, time::Duration};

use goch_tests::{Node, System, TokenKey};
use serde_json::json;
use tokio::time::timeout;

/// How long a program may run: a compiler on a busy machine takes its time.
const RUN_WITHIN: Duration = Duration::from_mins(5);

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

/// More channels than a socket that is not authorised yet may be refused, at five refusals each.
const WATCHED: usize = 25;

/// Runs a program to its end; what it printed.
async fn run(command: Command) -> String {
    let name = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    let output = timeout(RUN_WITHIN, command.kill_on_drop(true).output()).await;
    assert!(output.is_ok(), "does not end: {name}");
    let output = output.unwrap().unwrap();
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{printed}");
    printed
}

/// A product's project that has the packed client installed, and what its test needs besides.
async fn project(node: &Node, folder: &Path) {
    let client = Node::client();
    let mut pack = node.npm();
    pack.args(["pack", "--silent", "--pack-destination"]).arg(folder).current_dir(&client);
    run(pack).await;
    let package = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    fs::write(folder.join("package.json"), r#"{"type":"module","private":true}"#).unwrap();
    for file in ["consumer.ts", "tsconfig.json", "widget.ts", "tsconfig.widget.json"] {
        fs::copy(client.join("test/consumer").join(file), folder.join(file)).unwrap();
    }
    let mut install = node.npm();
    install.args(["install", "--offline", "--no-audit", "--no-fund", "--silent"]).arg(package);
    install.current_dir(folder);
    run(install).await;
    for module in ["ws", "@types"] {
        let found = client.join("node_modules").join(module);
        symlink(found, folder.join("node_modules").join(module)).unwrap();
    }
}

#[tokio::test]
async fn a_product_in_typescript_compiles_against_the_package_and_chats_under_node() {
    let Some(node) = Node::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    project(&node, folder.path()).await;
    let compiler = Node::client().join("node_modules/typescript/bin/tsc");
    for resolution in
        [&["--module", "NodeNext"][..], &["--module", "ESNext", "--moduleResolution", "bundler"]]
    {
        for configuration in ["tsconfig.json", "tsconfig.widget.json"] {
            let mut compile = node.command();
            compile.arg(&compiler).args(["-p", configuration]).args(resolution);
            compile.current_dir(folder.path());
            run(compile).await;
        }
    }

    let system = System::shared().await;
    let channel = system.channel().await;
    let mut consumer = node.command();
    consumer
        .arg("out/consumer.js")
        .current_dir(folder.path())
        .env("GATEWAY", format!("http://{}", system.gateway().address()))
        .env("CHANNEL", &channel);
    let printed = run(consumer).await;
    assert!(printed.contains("done"), "{printed}");
}

#[tokio::test]
async fn a_token_that_has_ended_does_not_lock_out_a_client_that_watches_many_channels() {
    let Some(node) = Node::find() else { return };
    // The limit of a gateway that is told nothing; those of tests have none.
    let system = System::builder()
        .env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
        .env("gateway", "SOCKET_REFUSALS_PER_MINUTE", "100")
        .start()
        .await;
    let mut channels = Vec::new();
    for _ in 0..WATCHED {
        channels.push(system.channel().await);
    }
    let key = TokenKey::shared(TOKEN_SECRET);
    let claims = json!({"sub": "bea", "channels": channels});
    // The first is the one that a client remembers, as over a reconnect.
    let tokens = [key.sign_ended(&claims), key.sign(&claims, 600)];
    let mut watcher = node.command();
    watcher
        .arg("test/watcher.js")
        .current_dir(Node::client())
        .env("GATEWAY", format!("http://{}", system.gateway().address()))
        .env("CHANNELS", json!(channels).to_string())
        .env("TOKENS", json!(tokens).to_string());
    let printed = run(watcher).await;
    assert!(printed.contains("done"), "{printed}");
}
