//! The npm package as a product in TypeScript uses it: packed, installed, compiled strictly, run under Node.
//! Skipped where there is no Node, unless `NODE_TESTS=required`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use goch_tests::{Node, System};

/// Runs a program to its end; what it printed.
async fn run(mut command: Command) -> String {
    // Beside the runtime, which has tests to go on with.
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
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
    for file in ["consumer.ts", "tsconfig.json"] {
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
        let mut compile = node.command();
        compile.arg(&compiler).args(["-p", "."]).args(resolution).current_dir(folder.path());
        run(compile).await;
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
