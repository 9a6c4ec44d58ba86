//! The demo page in a real browser. Skipped where there is none, unless `BROWSER_TESTS=required`.

use goch_tests::{Browser, Member, System, WebDriver, members_path, until};
use serde_json::json;

const ENTER: &str = "\u{e007}";

/// The texts on the page, in their order.
async fn texts(browser: &Browser) -> Vec<String> {
    let script = "return Array.from(document.querySelectorAll(\
                  '[data-testid=log] [data-testid=message-text]'), (node) => node.textContent)";
    let texts = browser.evaluate(script).await;
    texts
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|text| text.as_str().map(Into::into))
        .collect()
}

async fn shows(browser: &Browser, expected: &[&str]) {
    until(&format!("the page shows {expected:?}"), async || {
        (texts(browser).await == expected).then_some(())
    })
    .await;
}

async fn is_in_state(browser: &Browser, state: &str) {
    let script = "return document.querySelector('[data-testid=connection]').dataset.state";
    until(&format!("the page is {state}"), async || {
        (browser.evaluate(script).await == state).then_some(())
    })
    .await;
}

/// Joins through the form of a gateway's page.
async fn join(
    driver: &WebDriver,
    system: &System,
    gateway: usize,
    channel: &str,
    uid: &str,
) -> Browser {
    let browser = driver.browser().await;
    let address = system.gateways[gateway].address();
    let query = format!("channel={channel}&name={uid}&uid={uid}&email={uid}@example.org");
    browser.open(&format!("http://{address}/?{query}")).await;
    browser.click("join-submit").await;
    is_in_state(&browser, "online").await;
    browser
}

#[tokio::test]
async fn two_people_chat_through_two_gateways_and_lose_nothing() {
    let Some(driver) = WebDriver::start().await else { return };
    let mut system = System::builder().gateways(2).start().await;
    let channel = system.channel().await;
    let ann = join(&driver, &system, 0, &channel, "ann").await;
    let ben = join(&driver, &system, 1, &channel, "ben").await;

    ann.type_into("text", &format!("Hello{ENTER}")).await;
    shows(&ben, &["Hello"]).await;
    ben.type_into("text", "<b>Hi & bye</b>").await;
    ben.click("send").await;
    let both = ["Hello", "<b>Hi & bye</b>"];
    for browser in [&ann, &ben] {
        shows(browser, &both).await;
    }

    ben.reload().await;
    is_in_state(&ben, "online").await;
    shows(&ben, &both).await;

    system.gateways[0].kill();
    is_in_state(&ann, "reconnecting").await;
    ben.type_into("text", &format!("Are you there?{ENTER}")).await;
    shows(&ben, &["Hello", "<b>Hi & bye</b>", "Are you there?"]).await;
    ann.type_into("text", &format!("Soon{ENTER}")).await;
    system.gateways[0].start().await;
    is_in_state(&ann, "online").await;
    for browser in [&ann, &ben] {
        shows(browser, &["Hello", "<b>Hi & bye</b>", "Are you there?", "Soon"]).await;
    }
}

#[tokio::test]
async fn the_page_says_why_somebody_cannot_join_and_loads_older_messages() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let path = format!("/v1/admin/channels/{channel}/messages");
    for number in 0..150 {
        let body = json!({"text": format!("message {number}")});
        system.admin().post(&path, &body).await.expect(201);
    }

    let browser = driver.browser().await;
    let address = system.gateway().address();
    let query = format!("channel={channel}&name=ann&uid=ann&email=ann@example.org");
    browser.open(&format!("http://{address}/?{query}")).await;
    browser.click("join-submit").await;
    let error = "return document.querySelector('#join-uid-error').textContent";
    until("the user id is taken", async || {
        browser
            .evaluate(error)
            .await
            .as_str()
            .is_some_and(|text| text.contains("taken"))
            .then_some(())
    })
    .await;
    browser.type_into("join-secret", &ann.secret).await;
    browser.click("join-submit").await;
    is_in_state(&browser, "online").await;
    until("the latest messages are shown", async || {
        (texts(&browser).await.last()? == "message 149").then_some(())
    })
    .await;
    until("all messages are shown", async || {
        browser.evaluate("document.querySelector('[data-testid=load-older]').click()").await;
        (texts(&browser).await.len() == 150).then_some(())
    })
    .await;
    let expected: Vec<String> = (0..150).map(|number| format!("message {number}")).collect();
    assert_eq!(texts(&browser).await, expected);
    browser.click("leave").await;
    until("the form is back", async || {
        let hidden = browser.evaluate("return document.querySelector('#join-view').hidden").await;
        (hidden == false).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_is_edited_and_deleted_where_everybody_sees_it() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::builder().gateways(2).start().await;
    let channel = system.channel().await;
    let ann = join(&driver, &system, 0, &channel, "ann").await;
    let ben = join(&driver, &system, 1, &channel, "ben").await;
    ann.type_into("text", &format!("Helo{ENTER}")).await;
    ben.type_into("text", &format!("What?{ENTER}")).await;
    for browser in [&ann, &ben] {
        shows(browser, &["Helo", "What?"]).await;
    }

    ann.click("edit").await;
    ann.type_into("text", &format!(", I mean Hello{ENTER}")).await;
    for browser in [&ann, &ben] {
        shows(browser, &["Helo, I mean Hello", "What?"]).await;
    }
    ben.reload().await;
    is_in_state(&ben, "online").await;
    shows(&ben, &["Helo, I mean Hello", "What?"]).await;
    let edited = "return document.querySelectorAll('.edited').length";
    assert_eq!(ben.evaluate(edited).await, 1);
    let actions = "return document.querySelectorAll('[data-testid=edit]').length";
    assert_eq!(ben.evaluate(actions).await, 1, "what is somebody else's cannot be changed");

    ann.evaluate("window.confirm = () => true").await;
    ann.click("delete").await;
    for browser in [&ann, &ben] {
        shows(browser, &["What?"]).await;
    }
    ben.reload().await;
    is_in_state(&ben, "online").await;
    shows(&ben, &["What?"]).await;
}

#[tokio::test]
async fn the_page_shows_who_is_really_support() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = join(&driver, &system, 0, &channel, "ann").await;
    // A stranger calls itself like support, and even has the uid that support writes under.
    let stranger = Member::join(system.gateway(), &channel, "agent-7").await;
    let (mut socket, _) = stranger.enter(system.gateway()).await;
    socket.say(&channel, "Tell me your password").await;
    let path = format!("/v1/admin/channels/{channel}/messages");
    let posted = json!({"text": "We never ask for it", "from_uid": "agent-7",
                        "from_name": "AGENT-7", "from_role": "agent"});
    system.admin().post(&path, &posted).await.expect(201);
    shows(&ann, &["Tell me your password", "We never ask for it"]).await;
    let authors = "return Array.from(document.querySelectorAll('[data-testid=log] .author'), \
                   (node) => node.checkVisibility() ? node.textContent : '')";
    assert_eq!(ann.evaluate(authors).await, json!(["AGENT-7", "AGENT-7 agent"]));
    // Another one puts the role into the name.
    let body = json!({"uid": "bea", "display_name": "Bea (agent)"});
    let joined =
        system.gateway().rest().post(&members_path(&channel), &body).await.expect(201).body;
    let secret = joined["secret"].as_str().unwrap().to_owned();
    let bea = Member { channel: channel.clone(), uid: "bea".to_owned(), secret };
    let _entered = bea.enter(system.gateway()).await;
    until("the page shows her among those who are there", async || {
        let here = ann.evaluate("return document.getElementById('online').textContent").await;
        here.as_str().unwrap().contains("Bea (agent) (guest)").then_some(())
    })
    .await;
}
