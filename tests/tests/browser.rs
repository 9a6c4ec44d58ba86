//! The demo page, a form and the widget, in a real browser. Skipped where there is none, unless
//! `BROWSER_TESTS=required`.

use goch_tests::{Browser, Member, System, WebDriver, members_path, until};
use serde_json::json;

const ENTER: &str = "\u{e007}";

/// Scrolls from the end to the very beginning, as a reader does: the texts that were seen on the way, in their order.
const SCROLL_TO_START: &str = "
    const [log] = all('log');
    const seen = new Map();
    for (;;) {
      for (const node of all('text')) seen.set(Number(node.closest('.row').dataset.seq), node.textContent);
      if (log.scrollTop === 0 && all('older')[0].hidden) break;
      log.scrollTop -= log.clientHeight / 2;
      await frame();
    }
    return [...seen].sort(([one], [other]) => one - other).map(([, text]) => text)";

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
    browser.is_in_state("online").await;
    browser
}

#[tokio::test]
async fn two_people_chat_through_two_gateways_and_lose_nothing() {
    let Some(driver) = WebDriver::start().await else { return };
    let mut system = System::builder().gateways(2).start().await;
    let channel = system.channel().await;
    let ann = join(&driver, &system, 0, &channel, "ann").await;
    let ben = join(&driver, &system, 1, &channel, "ben").await;

    ann.type_into("input", &format!("Hello{ENTER}")).await;
    ben.shows(&["Hello"]).await;
    ben.type_into("input", "<b>Hi & bye</b>").await;
    ben.click("send").await;
    let both = ["Hello", "<b>Hi & bye</b>"];
    for browser in [&ann, &ben] {
        browser.shows(&both).await;
    }

    ben.reload().await;
    ben.is_in_state("online").await;
    ben.shows(&both).await;

    system.gateways[0].kill();
    ann.is_in_state("reconnecting").await;
    ben.type_into("input", &format!("Are you there?{ENTER}")).await;
    ben.shows(&["Hello", "<b>Hi & bye</b>", "Are you there?"]).await;
    ann.type_into("input", &format!("Soon{ENTER}")).await;
    system.gateways[0].start().await;
    ann.is_in_state("online").await;
    for browser in [&ann, &ben] {
        browser.shows(&["Hello", "<b>Hi & bye</b>", "Are you there?", "Soon"]).await;
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
    browser.is_in_state("online").await;
    until("the latest messages are shown", async || {
        (browser.texts().await.last()? == "message 149").then_some(())
    })
    .await;
    let seen = browser.widget(SCROLL_TO_START).await;
    let expected: Vec<String> = (0..150).map(|number| format!("message {number}")).collect();
    assert_eq!(seen, json!(expected));
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
    ann.type_into("input", &format!("Helo{ENTER}")).await;
    ben.type_into("input", &format!("What?{ENTER}")).await;
    for browser in [&ann, &ben] {
        browser.shows(&["Helo", "What?"]).await;
    }

    ann.click("own").await;
    ann.click("edit").await;
    ann.type_into("input", &format!(", I mean Hello{ENTER}")).await;
    for browser in [&ann, &ben] {
        browser.shows(&["Helo, I mean Hello", "What?"]).await;
    }
    ben.reload().await;
    ben.is_in_state("online").await;
    ben.shows(&["Helo, I mean Hello", "What?"]).await;
    assert_eq!(ben.widget("return all('edited').length").await, 1);
    let actions = ben.widget("return all('edit').length").await;
    assert_eq!(actions, 1, "what is somebody else's cannot be changed");

    ann.click("own").await;
    ann.click("delete").await;
    ann.click("confirm-cancel").await;
    ann.shows(&["Helo, I mean Hello", "What?"]).await;
    ann.click("own").await;
    ann.click("delete").await;
    ann.click("confirm-delete").await;
    for browser in [&ann, &ben] {
        browser.shows(&["What?"]).await;
    }
    ben.reload().await;
    ben.is_in_state("online").await;
    ben.shows(&["What?"]).await;
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
    ann.shows(&["Tell me your password", "We never ask for it"]).await;
    let authors = "return all('author').map((node) => node.checkVisibility()
        && [node.textContent, node.nextElementSibling.textContent])";
    let expected = json!([["AGENT-7", "Guest"], ["AGENT-7", "Agent"]]);
    assert_eq!(ann.widget(authors).await, expected);
    let looks = "return all('role').filter((node) => node.closest('.message'))
        .map((node) => getComputedStyle(node).backgroundColor)";
    let looks = ann.widget(looks).await;
    assert_ne!(looks[0], looks[1], "an agent looks like one, and a guest does not");
    // Another one puts the role into the name.
    let body = json!({"uid": "bea", "display_name": "Bea (agent)"});
    let joined =
        system.gateway().rest().post(&members_path(&channel), &body).await.expect(201).body;
    let secret = joined["secret"].as_str().unwrap().to_owned();
    let bea = Member { channel: channel.clone(), uid: "bea".to_owned(), secret };
    let _entered = bea.enter(system.gateway()).await;
    ann.widget_is("return all('presence')[0].textContent.includes('Bea (agent)Guest')", true).await;
}
