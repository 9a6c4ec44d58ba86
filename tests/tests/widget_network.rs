//! The widget on networks and in conversations that are not kind. Skipped where there is no browser, unless
//! `BROWSER_TESTS=required`.

#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, and what was measured is of interest"
)]

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use goch_tests::{Browser, Member, System, WebDriver, until};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

const ENTER: &str = "\u{e007}";

/// Rows that the widget has on the page, at most.
const ROWS_MAX: u64 = 150;

/// Requests under way at a time.
const AT_A_TIME: usize = 16;

async fn say(system: &System, channel: &str, text: &str) {
    let path = format!("/v1/admin/channels/{channel}/messages");
    system.admin().post(&path, &json!({"text": text})).await.expect(201);
}

/// Says numbers; they are stored in whatever order.
async fn say_numbers(system: &System, channel: &str, count: usize) {
    let admin = system.admin();
    let path = format!("/v1/admin/channels/{channel}/messages");
    let says = (0..count).map(|number| {
        let body = json!({"text": format!("{number} {}", "and so on ".repeat(number % 13))});
        let (admin, path) = (admin.clone(), path.clone());
        async move { admin.post(&path, &body).await.expect(201) }
    });
    stream::iter(says).buffer_unordered(AT_A_TIME).for_each(async |_| {}).await;
}

/// What stands between a browser and a gateway: connections that can be cut, and then cannot be made.
struct Line {
    address: String,
    is_cut: Arc<watch::Sender<bool>>,
    _accepting: JoinSet<()>,
}

impl Line {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let is_cut = Arc::new(watch::Sender::new(false));
        let cut = Arc::clone(&is_cut);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut cut) = (target.clone(), cut.subscribe());
                connections.spawn(async move {
                    let relay = async {
                        let mut far = TcpStream::connect(target).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    tokio::select! {
                        _ = cut.wait_for(|is_cut| *is_cut) => {}
                        _ = relay => {}
                    }
                });
            }
        });
        Self { address, is_cut, _accepting: accepting }
    }

    fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }
}

/// Cuts the browser's network, or makes it as slow as this many bytes a second.
async fn network(browser: &Browser, is_offline: bool, bytes_per_second: i64) {
    browser.devtools("Network.enable", &json!({})).await;
    let conditions = json!({
        "offline": is_offline, "latency": 0, "downloadThroughput": bytes_per_second,
        "uploadThroughput": bytes_per_second,
    });
    browser.devtools("Network.emulateNetworkConditions", &conditions).await;
}

#[tokio::test]
async fn a_network_that_is_cut_loses_nothing() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = driver.browser().await;
    let line = Line::to(system.gateway().address()).await;
    browser.open_widget(&line.address, &ann, &json!({})).await;
    say(&system, &channel, "before").await;
    browser.shows(&["before"]).await;
    // The browser is told that it is offline; what it has open already it would go on using.
    network(&browser, true, -1).await;
    line.cut(true);
    browser.is_in_state("reconnecting").await;
    browser.widget_is("return all('banner')[0].checkVisibility()", true).await;
    browser.type_into("input", &format!("mine{ENTER}")).await;
    browser
        .widget_is("return all('status').map((node) => node.textContent)", json!(["Sending…"]))
        .await;
    say(&system, &channel, "meanwhile").await;
    line.cut(false);
    network(&browser, false, -1).await;
    browser.is_in_state("online").await;
    browser.shows(&["before", "meanwhile", "mine"]).await;
    browser.widget_is("return all('banner')[0].checkVisibility()", false).await;
}

#[tokio::test]
async fn twenty_kilobytes_a_second_are_enough() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    say_numbers(&system, &channel, 300).await;
    let browser = driver.browser().await;
    network(&browser, false, 20 * 1_024).await;
    browser.open_widget(&system.gateways[0].address(), &ann, &json!({})).await;
    browser.type_into("input", &format!("mine{ENTER}")).await;
    until("it is there", async || (browser.texts().await.last()? == "mine").then_some(())).await;
}

#[tokio::test]
async fn a_rolling_restart_is_hardly_noticed() {
    let Some(driver) = WebDriver::start().await else { return };
    let mut system =
        System::builder().gateways(2).env("gateway", "DRAIN_SPREAD_SECONDS", "1").start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let bea = Member::join(system.gateway(), &channel, "bea").await;
    let (at_one, at_two) = (driver.browser().await, driver.browser().await);
    at_one.open_widget(&system.gateways[0].address(), &ann, &json!({})).await;
    at_two.open_widget(&system.gateways[1].address(), &bea, &json!({})).await;
    let mut expected: Vec<String> = Vec::new();
    for gateway in [0, 1] {
        for (browser, name) in [(&at_one, "ann"), (&at_two, "bea")] {
            let text = format!("{name} before gateway {gateway} goes");
            browser.type_into("input", &format!("{text}{ENTER}")).await;
            expected.push(text);
            at_one.shows(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        system.gateways[gateway].stop().await;
        let text = format!("said while gateway {gateway} is away");
        say(&system, &channel, &text).await;
        expected.push(text);
        system.gateways[gateway].start().await;
        for browser in [&at_one, &at_two] {
            browser.is_in_state("online").await;
            browser.shows(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
    }
}

/// Scrolls from the end to the beginning as a reader does, and back. `window.traveled` is then what was seen, how many rows there were at most,
/// the longest task in milliseconds, and by how much at most a row was moved that should have stayed.
const TRAVEL: &str = "
    const [log] = all('log');
    const tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)))
      .observe({ type: 'longtask' });
    const rows = () => [...root.querySelectorAll('.row')];
    let most = 0;
    const see = (seen) => {
      most = Math.max(most, rows().length);
      for (const node of all('text')) seen.set(Number(node.closest('.row').dataset.seq), node.textContent.split(' ')[0]);
    };
    const up = new Map();
    const down = new Map();
    let jump = 0;
    // A row that is seen before and after a step has moved by the step and no further.
    const step = async (by) => {
      const top = log.getBoundingClientRect().top;
      const before = log.scrollTop;
      log.scrollTop += by;
      const moved = log.scrollTop - before;
      const anchor = rows().find((row) => row.getBoundingClientRect().bottom > top + 1);
      const place = anchor?.getBoundingClientRect().top;
      await frame();
      if (anchor?.isConnected) jump = Math.max(jump, Math.abs(anchor.getBoundingClientRect().top - place));
      return moved;
    };
    for (;;) {
      see(up);
      await step(-log.clientHeight * 0.9);
      if (log.scrollTop === 0 && all('older')[0].hidden) break;
    }
    see(up);
    for (let still = 0; still < 3;) {
      see(down);
      still = (await step(log.clientHeight * 0.9)) === 0 ? still + 1 : 0;
    }
    see(down);
    const numbers = (seen) => [...seen].sort(([one], [other]) => one - other).map(([, number]) => number);
    window.traveled = { up: numbers(up), down: numbers(down), most, jump, longest: Math.max(0, ...tasks), tasks: tasks.length };";

#[tokio::test]
async fn ten_thousand_messages_are_read_without_a_jump_and_with_few_rows() {
    const COUNT: usize = 10_000;
    /// How long a loaded machine may take for the way there and back.
    const MINUTES: usize = 5;
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    say_numbers(&system, &channel, COUNT).await;
    let browser = driver.browser().await;
    browser.resize(800, 1_400).await;
    browser.open_widget(&system.gateways[0].address(), &ann, &json!({})).await;
    until("the first page is there", async || browser.texts().await.last().is_some().then_some(()))
        .await;
    browser.widget("chat.style.setProperty('--goch-height', '1300px')").await;
    browser.widget(&format!("(async () => {{ {TRAVEL} }})()")).await;
    let mut seen = Value::Null;
    for _ in 0..MINUTES * 60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        seen = browser.evaluate("return window.traveled ?? null").await;
        if !seen.is_null() {
            break;
        }
    }
    let numbers = |way: &str| -> Vec<Value> { seen[way].as_array().cloned().unwrap_or_default() };
    eprintln!(
        "at most {} rows; {} long tasks, the longest of {} ms; jump {}",
        seen["most"], seen["tasks"], seen["longest"], seen["jump"]
    );
    let mut sorted: Vec<usize> =
        numbers("up").iter().filter_map(|number| number.as_str()?.parse().ok()).collect();
    sorted.sort_unstable();
    assert!(sorted.iter().copied().eq(0..COUNT), "{} of {COUNT} were seen", sorted.len());
    assert_eq!(numbers("down"), numbers("up"), "what was dropped above is there again below");
    assert!(seen["most"].as_u64().unwrap() <= ROWS_MAX, "{} rows", seen["most"]);
    assert!(seen["jump"].as_f64().unwrap() <= 1.0, "a row was moved by {} pixels", seen["jump"]);
    // Once it is at the end again, the latest message is followed.
    say(&system, &channel, "the latest").await;
    until("it is there", async || (browser.texts().await.last()? == "the latest").then_some(()))
        .await;
}
