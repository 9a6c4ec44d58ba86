//! The widget in a real browser: what it shows, and what the product is told. Skipped where there is none, unless
//! `BROWSER_TESTS=required`.

use goch_tests::{Browser, Member, System, TokenKey, WebDriver, Website, until};
use serde_json::{Value, json};

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const BACK_TAB: &str = "\u{e008}\u{e004}";
const ESCAPE: &str = "\u{e00c}";

const TOKEN_SECRET: &str = "a secret of thirty-two characters";

/// Keeps what a page may have to complain of: breaches of its policy, what moves, and sounds.
const WITNESS: &str = "
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

/// Puts the widget on an empty page of a gateway. `window.told` is what its listeners are told.
async fn place(browser: &Browser, system: &System, member: &Member, attributes: &Value) {
    browser.open(&format!("http://{}/", system.gateway().address())).await;
    let script = format!(
        "document.title = 'Shop';
        const shop = document.createElement('main');
        shop.innerHTML = '<h1>Shop</h1><button>Buy</button>';
        document.body.replaceChildren(shop);
        document.documentElement.lang = 'en';
        const {{ Goch }} = await import('/widget.js');
        const placed = document.createElement('goch-chat');
        placed.setAttribute('channel', {channel});
        for (const [name, value] of Object.entries({attributes})) placed.setAttribute(name, value);
        placed.member = {{ uid: {uid}, secret: {secret} }};
        window.told = [];
        for (const type of ['opened', 'closed', 'unread', 'ended', 'reopened', 'error']) {{
          placed.addEventListener(type, ({{ detail }}) => {{
            told.push([type, detail?.count ?? detail?.error?.code ?? null]);
          }});
        }}
        document.body.append(placed);",
        channel = json!(member.channel),
        uid = json!(member.uid),
        secret = json!(member.secret),
    );
    browser.widget(&script).await;
}

/// The same, open and online.
async fn place_open(browser: &Browser, system: &System, member: &Member, attributes: &Value) {
    place(browser, system, member, attributes).await;
    browser.click("launcher").await;
    browser.is_in_state("online").await;
    browser.widget_is("return all('older')[0].hidden || !all('older')[0].disabled", true).await;
}

async fn told(browser: &Browser) -> Value {
    browser.evaluate("return window.told").await
}

async fn post(system: &System, channel: &str, body: &Value) {
    let path = format!("/admin/channels/{channel}/messages");
    system.admin().post(&path, body).await.expect(201);
}

async fn say(system: &System, channel: &str, text: &str) {
    post(system, channel, &json!({"text": text, "from_uid": "agent-7", "from_name": "Ben"})).await;
}

/// Makes the window as large as this.
async fn resize(browser: &Browser, width: u32, height: u32) {
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
    browser.devtools("Emulation.setDeviceMetricsOverride", &size).await;
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
    browser.click("launcher").await;
    browser.shows(&["Are you there?"]).await;
    // A channel that is watched only has nobody in it; now it has.
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
    place(&browser, &system, &ann, &json!({})).await;
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
    place_open(&browser, &system, &ann, &json!({})).await;
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
    place_open(&browser, &system, &ann, &json!({})).await;
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
    place_open(&browser, &system, &ann, &json!({})).await;
    let button = "const again = document.createElement('button');
        again.slot = 'ended';
        again.textContent = 'Open again';
        again.dataset.testid = 'again';
        chat.append(again)";
    browser.widget(button).await;
    browser.type_into("input", "Not sent yet").await;
    let path = |what: &str| format!("/admin/channels/{channel}/{what}");
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
    place_open(&browser, &system, &ann, &json!({})).await;
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
async fn everything_can_be_done_by_keyboard() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = driver.browser().await;
    place(&browser, &system, &ann, &json!({})).await;
    browser.widget_is("return all('launcher').length", 1).await;
    let focus = "return document.activeElement === chat
        ? root.activeElement.getAttribute('part') : document.activeElement.tagName";
    // From the page's own button into the widget.
    browser.press(&[TAB, TAB]).await;
    browser.widget_is(focus, "launcher").await;
    browser.press(&[ENTER]).await;
    browser.widget_is(focus, "input").await;
    browser.is_in_state("online").await;
    browser.press(&["H", "i", "\u{e008}\u{e007}", "!", ENTER]).await;
    browser.shows(&["Hi\n!"]).await;
    browser.widget_is(focus, "input").await;
    // Back to the message, which is edited, then not, then deleted.
    browser.press(&[BACK_TAB]).await;
    browser.widget_is(focus, "delete").await;
    browser.press(&[BACK_TAB]).await;
    browser.widget_is(focus, "edit").await;
    browser.press(&[ENTER]).await;
    browser.widget_is("return all('input')[0].value", "Hi\n!").await;
    browser.press(&[ESCAPE]).await;
    browser.widget_is("return all('input')[0].value", "").await;
    browser.press(&[BACK_TAB, ENTER]).await;
    browser.widget_is(focus, "confirm-delete").await;
    browser.press(&[ESCAPE]).await;
    browser.widget_is(focus, "input").await;
    browser.press(&[BACK_TAB, ENTER]).await;
    browser.widget_is(focus, "confirm-delete").await;
    browser.press(&[ENTER]).await;
    browser.shows(&[]).await;
    browser.widget_is(focus, "input").await;
    browser.press(&[ESCAPE]).await;
    browser.widget_is(focus, "launcher").await;
    browser.widget_is("return chat.isOpen", false).await;

    // Where the panel covers the page, nothing behind it is reached.
    resize(&browser, 320, 640).await;
    browser.widget_is("return all('panel')[0].getAttribute('aria-modal')", "true").await;
    browser.press(&[ENTER]).await;
    browser.widget_is(focus, "input").await;
    for _ in 0..8 {
        browser.press(&[TAB]).await;
        browser.widget_is("return document.activeElement === chat", true).await;
    }
    for _ in 0..8 {
        browser.press(&[BACK_TAB]).await;
        browser.widget_is("return document.activeElement === chat", true).await;
    }
    browser.press(&[ESCAPE]).await;
    browser.widget_is(focus, "launcher").await;
}

#[tokio::test]
async fn arabic_goes_from_right_to_left_on_the_smallest_screen() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    say(&system, &channel, &"مرحبا ".repeat(40)).await;
    say(&system, &channel, &"x".repeat(400)).await;
    let browser = driver.browser().await;
    resize(&browser, 320, 480).await;
    place(&browser, &system, &ann, &json!({"lang": "ar"})).await;
    browser.widget_is("return all('launcher')[0]?.getBoundingClientRect().left < 160", true).await;
    browser.click("launcher").await;
    browser.type_into("input", "شكرا").await;
    browser.click("send").await;
    browser.widget_is("return all('own').length", 1).await;
    let overflow = "const log = all('log')[0];
        return [log.scrollWidth - log.clientWidth, document.documentElement.scrollWidth - innerWidth,
          all('panel')[0].getBoundingClientRect().width, getComputedStyle(all('panel')[0]).direction]";
    assert_eq!(browser.widget(overflow).await, json!([0, 0, 320, "rtl"]));
    let sides = "const side = (node) => node.getBoundingClientRect();
        const avatar = root.querySelector('.avatar');
        const [own] = all('bubble').slice(-1);
        return [side(own).left < 20, side(avatar).left > 160, all('title')[0].textContent]";
    assert_eq!(browser.widget(sides).await, json!([true, true, "المحادثة"]));

    // And German, in a page that says so, with a word of the product's own.
    let words = "chat.removeAttribute('lang'); document.documentElement.lang = 'de-DE'; chat.texts = { title: 'Hilfe' };";
    browser.widget(words).await;
    browser
        .widget_is(
            "return [all('title')[0].textContent, all('send')[0].title]",
            json!(["Hilfe", "Senden"]),
        )
        .await;
    assert_eq!(browser.widget("return getComputedStyle(all('panel')[0]).direction").await, "ltr");
}

#[tokio::test]
async fn the_widget_looks_like_the_product() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = driver.browser().await;
    place_open(&browser, &system, &ann, &json!({"theme": "light"})).await;
    let ground = "return getComputedStyle(all('panel')[0]).backgroundColor";
    browser.widget_is(ground, "rgb(255, 255, 255)").await;
    browser.widget("chat.setAttribute('theme', 'dark')").await;
    browser.widget_is(ground, "rgb(23, 25, 28)").await;
    browser.widget("chat.setAttribute('theme', 'system')").await;
    for (scheme, color) in [("light", "rgb(255, 255, 255)"), ("dark", "rgb(23, 25, 28)")] {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.devtools("Emulation.setEmulatedMedia", &json!({"features": features})).await;
        browser.widget_is(ground, color).await;
    }
    let product = "const sheet = new CSSStyleSheet();
        sheet.replaceSync('goch-chat { --goch-accent-dark: rgb(200, 0, 100); font-size: 50px; }'
          + 'goch-chat::part(title) { letter-spacing: 5px; } * { color: red; }');
        document.adoptedStyleSheets = [sheet];
        const title = getComputedStyle(all('title')[0]);
        return [getComputedStyle(all('launcher')[0]).backgroundColor, title.letterSpacing, title.fontSize, title.color]";
    let expected = json!(["rgb(200, 0, 100)", "5px", "16px", "rgb(236, 238, 240)"]);
    assert_eq!(browser.widget(product).await, expected, "the product's words, and no others");
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
