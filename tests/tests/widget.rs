//! The widget in a real browser: what it shows, and what the product is told. Skipped where there is none, unless
//! `BROWSER_TESTS=required`.

use goch_tests::{Browser, Member, System, TokenKey, WebDriver, Website, until};
use serde_json::{Value, json};

const ENTER: &str = "\u{e007}";

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

/// Keeps what a page asks of a gateway, and what it may have to complain of: breaches of its policy, what moves, sounds.
const WITNESS: &str = "
    window.asked = [];
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (frame) { asked.push(JSON.parse(frame).type); return send.call(this, frame); };
    window.violations = [];
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
      violations.push(`${violatedDirective} ${blockedURI}`);
    });
    window.shift = 0;
    new PerformanceObserver((list) => { for (const { value } of list.getEntries()) shift += value; })
      .observe({ type: 'layout-shift', buffered: true });
    window.tones = 0;
    const { start } = OscillatorNode.prototype;
    OscillatorNode.prototype.start = function (...when) { tones += 1; return start.apply(this, when); };";

/// A browser that is witnessed from its first page on.
async fn witnessed(driver: &WebDriver) -> Browser {
    let browser = driver.browser().await;
    let parameters = json!({"source": WITNESS});
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &parameters).await;
    browser
}

async fn told(browser: &Browser) -> Value {
    browser.evaluate("return window.told").await
}

async fn post(system: &System, channel: &str, body: &Value) {
    let path = format!("/v1/admin/channels/{channel}/messages");
    system.admin().post(&path, body).await.expect(201);
}

async fn say(system: &System, channel: &str, text: &str) {
    post(system, channel, &json!({"text": text, "from_uid": "agent-7", "from_name": "Ben"})).await;
}

#[tokio::test]
async fn a_shop_has_a_chat_with_one_line_under_the_strictest_policy() {
    let Some(driver) = WebDriver::start().await else { return };
    let site = Website::new().await;
    let system = System::builder()
        .gateways(2)
        .env("gateway", "TOKEN_SECRET", TOKEN_SECRET)
        .env("gateway", "ALLOWED_ORIGINS", &site.origin())
        .start()
        .await;
    let channel = system.channel().await;
    let key = TokenKey::shared(TOKEN_SECRET);
    let token = key.sign(&json!({"sub": "bea", "name": "Bea", "channels": [channel]}), 600);
    let gateway = system.gateways[1].address();
    let html = |attributes: &str| {
        format!(
            "<!doctype html><html lang=en><title>Shop</title><link rel=icon href=data:,><h1>Shop</h1>\
             <script type=module src=http://{gateway}/widget.js></script>\
             <goch-chat channel=\"{channel}\" {attributes}></goch-chat><p>Goods</p>"
        )
    };
    let policy = |connect: &str| {
        format!(
            "Content-Security-Policy: default-src 'self'; img-src data:; script-src http://{gateway}; \
             connect-src {connect}ws://{gateway}"
        )
    };
    let site = site
        .page("/", &[&policy("'self' ")], &html("token-url=/token"))
        .page("/token", &[], &json!({"token": token}).to_string())
        .page("/by-secret", &[&policy("")], &html(""))
        .start();
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let (mut socket, page) = ann.enter(system.gateway()).await;
    assert_eq!(page["online"], json!([]));
    socket.say(&channel, "Are you there?").await;

    let browser = witnessed(&driver).await;
    browser.open(&site.origin()).await;
    browser.widget_is("return all('badge')[0]?.textContent", "1").await;
    // Counting is all that is asked for until it is opened.
    assert_eq!(browser.evaluate("return window.asked").await, json!(["watch"]));
    browser.click("launcher").await;
    browser.shows(&["Are you there?"]).await;
    assert_eq!(
        browser.evaluate("return window.asked.slice(0, 2)").await,
        json!(["watch", "subscribe"])
    );
    let came = socket.expect_where("she is there", |frame| frame["type"] == "presence").await;
    assert_eq!((&came["uid"], &came["role"]), (&json!("bea"), &json!("member")));
    browser.type_into("input", &format!("Yes{ENTER}")).await;
    let message = socket.expect_where("her answer", |frame| frame["text"] == "Yes").await;
    assert_eq!(message["from_uid"], "bea");
    // The token has not told the page who she is, and yet her message is her own, after a reload too.
    browser
        .widget_is(
            "return all('own').map((node) => node.classList.contains('other'))",
            json!([false]),
        )
        .await;
    browser.reload().await;
    browser.click("launcher").await;
    browser.shows(&["Are you there?", "Yes"]).await;
    browser.widget_is("return all('own').length", 1).await;
    // The styles are there, though no style may be.
    let styles =
        "const style = getComputedStyle(all('panel')[0]); return [style.position, style.display]";
    assert_eq!(browser.widget(styles).await, json!(["fixed", "flex"]));
    let complaints = "return [window.violations, window.shift]";
    assert_eq!(browser.evaluate(complaints).await, json!([[], 0]));

    browser.open(&format!("{}/by-secret", site.origin())).await;
    let member = json!({"uid": ann.uid, "secret": ann.secret});
    browser.widget(&format!("chat.member = {member}; chat.open()")).await;
    browser.shows(&["Are you there?", "Yes"]).await;
    assert_eq!(browser.evaluate(complaints).await, json!([[], 0]));
    let page = browser.evaluate("return document.documentElement.outerHTML").await;
    assert!(!page.to_string().contains(&ann.secret), "the secret stands in the page");
}

#[tokio::test]
async fn a_chat_that_is_not_open_counts_and_is_silent_unless_asked() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = witnessed(&driver).await;
    browser.place_widget(&system.gateway().address(), &ann, &json!({})).await;
    say(&system, &channel, "one").await;
    say(&system, &channel, "two").await;
    browser.widget_is("return all('badge')[0]?.textContent", "2").await;
    let name = "return all('launcher')[0].getAttribute('aria-label')";
    assert_eq!(browser.widget(name).await, "Open chat, 2 unread messages");
    // Nobody has asked for a sound or for another title.
    let told_otherwise = "return [window.tones, document.title]";
    assert_eq!(browser.evaluate(told_otherwise).await, json!([0, "Shop"]));

    browser.click("launcher").await;
    browser.shows(&["one", "two"]).await;
    browser
        .widget_is(
            "return all('unread-mark')[0]?.closest('.row').textContent.includes('one')",
            true,
        )
        .await;
    browser.widget_is("return chat.unread", 0).await;
    browser.click("close").await;
    browser.widget("chat.setAttribute('sound', ''); chat.setAttribute('title-badge', '')").await;
    say(&system, &channel, "three").await;
    browser.widget_is("return all('badge')[0].textContent", "1").await;
    assert_eq!(browser.evaluate(told_otherwise).await, json!([2, "(1) Shop"]));
    browser.click("launcher").await;
    browser.widget_is("return [chat.unread, document.title]", json!([0, "Shop"])).await;
    let told = told(&browser).await;
    let kinds: Vec<&Value> = told.as_array().unwrap().iter().map(|one| &one[0]).collect();
    let last = told.as_array().unwrap().last().unwrap();
    assert_eq!(last, &json!(["unread", 0]), "{told}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "opened").count(), 2, "{told}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "closed").count(), 1, "{told}");
}

#[tokio::test]
async fn a_message_is_sent_delivered_and_seen() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let ben = Member::join(&system.gateways[1], &channel, "ben").await;
    let browser = driver.browser().await;
    browser.open_widget(&system.gateway().address(), &ann, &json!({})).await;
    browser.type_into("input", &format!("Hello{ENTER}")).await;
    let status = "return all('status').map((node) => node.textContent)";
    browser.widget_is(status, json!(["Sent"])).await;
    let (mut socket, page) = ben.enter(&system.gateways[1]).await;
    browser.widget_is(status, json!(["Delivered"])).await;
    socket.send(&json!({"type": "typing", "channel": channel})).await;
    browser
        .widget_is("return all('typing')[0].textContent", "\u{2068}BEN\u{2069} is typing…")
        .await;
    socket.send(&json!({"type": "read", "channel": channel, "seq": page["last_seq"]})).await;
    browser.widget_is(status, json!(["Seen"])).await;
    socket.say(&channel, "Hi").await;
    browser.shows(&["Hello", "Hi"]).await;
    browser.widget_is("return all('typing')[0].textContent", "").await;
}

#[tokio::test]
async fn the_text_of_an_edit_that_fails_is_kept_and_tried_again() {
    let Some(driver) = WebDriver::start().await else { return };
    let mut system = System::builder().start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = driver.browser().await;
    browser.open_widget(&system.gateway().address(), &ann, &json!({})).await;
    browser.type_into("input", &format!("Helo{ENTER}")).await;
    browser.shows(&["Helo"]).await;
    browser.type_into("input", "The next one").await;
    system.gateways[0].kill();
    browser.is_in_state("reconnecting").await;
    browser.widget_is("return all('banner')[0].checkVisibility()", true).await;
    browser.click("own").await;
    browser.click("edit").await;
    browser.type_into("input", &format!(", I mean Hello{ENTER}")).await;
    browser
        .widget_is(
            "return all('failure').map((node) => node.textContent)",
            json!(["Change not saved: not possible right nowTry againDiscard"]),
        )
        .await;
    browser
        .widget_is(
            "return [all('text')[0].textContent, all('input')[0].value]",
            json!(["Helo, I mean Hello", "The next one"]),
        )
        .await;
    system.gateways[0].start().await;
    browser.is_in_state("online").await;
    browser.widget_is("return all('banner')[0].checkVisibility()", false).await;
    browser.click("retry").await;
    browser.widget_is("return all('failure').length + all('edited').length * 10", 10).await;
    let (_, page) = ann.enter(system.gateway()).await;
    assert_eq!(goch_tests::texts(&page)[0], "Helo, I mean Hello");
}

#[tokio::test]
async fn a_conversation_that_has_ended_is_the_products_to_reopen() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = driver.browser().await;
    browser.open_widget(&system.gateway().address(), &ann, &json!({})).await;
    let button = "const again = document.createElement('button');
        again.slot = 'ended';
        again.textContent = 'Open again';
        again.dataset.testid = 'again';
        chat.append(again)";
    browser.widget(button).await;
    browser.type_into("input", "Not sent yet").await;
    let path = |what: &str| format!("/v1/admin/channels/{channel}/{what}");
    system.admin().post(&path("close"), &json!({})).await.expect(200);
    browser.widget_is("return [all('composer')[0].hidden, chat.ended]", json!([true, true])).await;
    // What the product puts there is seen, and only now.
    browser.click("again").await;
    system.admin().post(&path("reopen"), &json!({})).await.expect(200);
    browser
        .widget_is(
            "return [all('input')[0].value, all('ended')[0].hidden]",
            json!(["Not sent yet", true]),
        )
        .await;
    browser.click("send").await;
    browser.shows(&["Not sent yet"]).await;
    let notes = "return all('note').map((node) => node.textContent)";
    browser
        .widget_is(
            notes,
            json!([
                "\u{2068}ANN (Guest)\u{2069} joined",
                "The conversation was ended",
                "The conversation was reopened"
            ]),
        )
        .await;
    let told = told(&browser).await.to_string();
    assert!(told.contains(r#"["ended",null],["reopened",null]"#), "{told}");

    // Who is removed is told so, and so is the product.
    let member = system.admin().request(reqwest::Method::DELETE, &path("members/ann"));
    system.admin().send(member).await.expect(204);
    browser.widget_is("return all('refused')[0].textContent", "This chat is not available.").await;
    browser.widget_is("return window.told.at(-1)", json!(["error", "removed"])).await;
}

#[tokio::test]
async fn links_lead_where_they_say_and_nothing_else_is_one() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let text = "<img src=x onerror=alert(1)> javascript:alert(1) (https://example.org/a?b) mailto:ann@example.org";
    say(&system, &channel, text).await;
    let browser = driver.browser().await;
    browser.open_widget(&system.gateway().address(), &ann, &json!({})).await;
    browser.shows(&[text]).await;
    let links = "return all('link').map(({ href, rel, target }) => [href, rel, target])";
    let rel = "noopener noreferrer nofollow";
    let expected = json!([
        ["https://example.org/a?b", rel, "_blank"],
        ["mailto:ann@example.org", rel, "_blank"]
    ]);
    assert_eq!(browser.widget(links).await, expected);
    assert_eq!(browser.widget("return root.querySelectorAll('img').length").await, 0);
}

#[tokio::test]
async fn a_chat_is_opened_by_a_script_once_for_each_channel() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = driver.browser().await;
    browser.open(&format!("http://{}/", system.gateway().address())).await;
    let member = json!({"uid": ann.uid, "secret": ann.secret});
    let open = format!(
        "const {{ Goch }} = await import('/widget.js');
        const one = Goch.open({{ channel: {channel}, member: {member}, heading: 'Help' }});
        await frame();
        one.close();
        const other = Goch.open({{ channel: {channel}, member: {member} }});
        return [one === other, one.isOpen, document.querySelectorAll('goch-chat').length]",
        channel = json!(channel)
    );
    assert_eq!(browser.widget(&open).await, json!([true, true, 1]));
    browser.is_in_state("online").await;
    browser.widget_is("return all('title')[0].textContent", "Help").await;
    // An element that is moved stays what it is; one that is gone leaves the channel.
    browser.widget("const place = document.createElement('div'); document.body.append(place); place.append(chat)").await;
    assert_eq!(browser.widget("return chat.state").await, "online");
    let (_socket, page) = ann.enter(&system.gateways[1]).await;
    assert!(page["online"].is_array());
    browser.widget("window.gone = chat; chat.remove()").await;
    until("it is disconnected", async || {
        (browser.evaluate("return window.gone.state").await == "closed").then_some(())
    })
    .await;
}
