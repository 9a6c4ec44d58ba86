//! Who can use the widget, and how it looks: by keyboard, by axe-core's rules, from right to left, on small screens, in
//! the product's colours. Skipped where there is no browser, unless `BROWSER_TESTS=required`.

use goch_tests::{Browser, Member, Node, System, WebDriver};
use serde_json::json;

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const BACK_TAB: &str = "\u{e008}\u{e004}";
const ESCAPE: &str = "\u{e00c}";

async fn say(system: &System, channel: &str, text: &str) {
    let path = format!("/v1/admin/channels/{channel}/messages");
    let body = json!({"text": text, "from_uid": "agent-7", "from_name": "Ben"});
    system.admin().post(&path, &body).await.expect(201);
}

/// What axe-core finds against WCAG 2.2 AA and its own best practices, in the light theme and in the dark one.
async fn has_no_barrier(browser: &Browser, state: &str) {
    for theme in ["light", "dark"] {
        browser.widget(&format!("chat.setAttribute('theme', '{theme}')")).await;
        let found = browser
            .widget(
                "await frame();
                const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
                const { violations, passes } = await axe.run(document, { runOnly: tags });
                const nodes = (one) => one.nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`);
                return [passes.length, violations.map((one) => [one.id, nodes(one)])]",
            )
            .await;
        assert_eq!(found[1], json!([]), "{state}, {theme}");
        assert!(found[0].as_u64().unwrap_or_default() > 10, "it looked at nothing: {found}");
    }
}

#[tokio::test]
async fn nobody_is_kept_out_in_any_state() {
    let Some(driver) = WebDriver::start().await else { return };
    if Node::find().is_none() {
        return;
    }
    let axe = Node::client().join("node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(axe)
        .expect("axe-core is installed by clients/javascript/prepare.sh");
    let mut system = System::builder().start().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = driver.browser().await;
    // What fades in has no contrast yet.
    let still = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    browser.devtools("Emulation.setEmulatedMedia", &still).await;
    let gateway = system.gateway().address();
    browser.place_widget(&gateway, &ann, &json!({})).await;
    browser.evaluate(&axe).await;
    browser.widget_is("return all('launcher').length", 1).await;
    has_no_barrier(&browser, "closed").await;
    browser.click("launcher").await;
    browser.is_in_state("online").await;
    has_no_barrier(&browser, "empty").await;
    browser.type_into("input", &format!("Hello, see https://example.org{ENTER}")).await;
    browser.widget_is("return all('own').length", 1).await;
    for number in 0..120 {
        say(&system, &channel, &format!("number {number}")).await;
    }
    let ben = Member::join(system.gateway(), &channel, "ben").await;
    let (mut socket, _) = ben.enter(system.gateway()).await;
    socket.say(&channel, "I am a guest").await;
    socket.send(&json!({"type": "typing", "channel": channel})).await;
    browser.widget_is("return all('presence')[0].checkVisibility()", true).await;
    has_no_barrier(&browser, "a conversation").await;
    browser.widget("all('log')[0].scrollTop = 0").await;
    browser.widget_is("return all('jump')[0].hidden", false).await;
    socket.say(&channel, "Something new").await;
    has_no_barrier(&browser, "further up").await;
    browser.click("jump").await;
    browser.widget_is("return all('jump')[0].hidden", true).await;
    browser.type_into("input", &format!("Mine{ENTER}")).await;
    browser.widget_is("return all('status').length > 0 && all('edit').length > 0", true).await;
    browser.widget("all('own').at(-1).querySelector('[part=edit]').click()").await;
    has_no_barrier(&browser, "editing").await;
    browser.type_into("input", &"x".repeat(4_100)).await;
    browser.widget_is("return all('count')[0].textContent !== ''", true).await;
    has_no_barrier(&browser, "a text that is too long").await;
    browser.click("cancel-edit").await;
    browser.widget("all('own').at(-1).querySelector('[part=delete]').click()").await;
    has_no_barrier(&browser, "about to delete").await;
    system.gateways[0].kill();
    browser.is_in_state("reconnecting").await;
    browser.click("confirm-delete").await;
    browser.widget_is("return all('failure').length", 1).await;
    browser.type_into("input", &format!("Not yet{ENTER}")).await;
    has_no_barrier(&browser, "offline, with what has failed").await;
    system.gateways[0].start().await;
    browser.is_in_state("online").await;
    browser.widget("chat.setAttribute('lang', 'ar')").await;
    browser.resize(320, 640).await;
    has_no_barrier(&browser, "in Arabic, on a telephone").await;
    system
        .admin()
        .post(&format!("/v1/admin/channels/{channel}/close"), &json!({}))
        .await
        .expect(200);
    browser.widget_is("return chat.ended", true).await;
    has_no_barrier(&browser, "ended").await;
    let removed = format!("/v1/admin/channels/{channel}/members/ann");
    let removed = system.admin().request(reqwest::Method::DELETE, &removed);
    system.admin().send(removed).await.expect(204);
    browser.widget_is("return all('refused')[0].textContent !== ''", true).await;
    has_no_barrier(&browser, "refused").await;
    // And the page of a gateway itself, which is a form and the widget as a full page.
    browser.resize(1_000, 700).await;
    browser.open(&format!("http://{gateway}/?channel={channel}")).await;
    browser.evaluate(&axe).await;
    let form = "return (async () => (await axe.run()).violations.map(({ id, nodes }) => [id, nodes.map(({ target }) => target)]))()";
    assert_eq!(browser.evaluate(form).await, json!([]), "the form");
    for (field, value) in [("name", "Bea"), ("uid", "bea"), ("email", "bea@example.org")] {
        browser.type_into(&format!("join-{field}"), value).await;
    }
    let reopened = format!("/v1/admin/channels/{channel}/reopen");
    system.admin().post(&reopened, &json!({})).await.expect(200);
    browser.click("join-submit").await;
    browser.is_in_state("online").await;
    has_no_barrier(&browser, "a full page").await;
}

#[tokio::test]
async fn what_is_new_is_read_out_and_history_is_not() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    for number in 0..130 {
        say(&system, &channel, &format!("number {number}")).await;
    }
    let browser = driver.browser().await;
    let still = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    browser.devtools("Emulation.setEmulatedMedia", &still).await;
    browser.open_widget(&system.gateway().address(), &ann, &json!({})).await;
    let moves = "return getComputedStyle(all('panel')[0]).animationName";
    assert_eq!(browser.widget(moves).await, "none");
    browser.widget("all('log')[0].scrollTop = 0").await;
    browser.widget_is("return all('text')[0].textContent", "number 0").await;
    let read_out = "return [...root.querySelector('[aria-live=polite]').children].map((node) => node.textContent)";
    assert_eq!(browser.widget(read_out).await, json!([]));
    say(&system, &channel, "Something new").await;
    browser.widget_is(read_out, json!(["Ben: Something new"])).await;
    browser.type_into("input", &format!("Mine{ENTER}")).await;
    browser.widget_is("return all('own').length", 1).await;
    assert_eq!(browser.widget(read_out).await, json!(["Ben: Something new"]));
    let log =
        "const [log] = all('log'); return [log.role, log.getAttribute('aria-live'), log.tabIndex]";
    assert_eq!(
        browser.widget(log).await,
        json!(["log", "off", 0]),
        "it changes as the reader scrolls"
    );
}

#[tokio::test]
async fn everything_can_be_done_by_keyboard() {
    let Some(driver) = WebDriver::start().await else { return };
    let system = System::shared().await;
    let channel = system.channel().await;
    let ann = Member::join(system.gateway(), &channel, "ann").await;
    let browser = driver.browser().await;
    browser.place_widget(&system.gateway().address(), &ann, &json!({})).await;
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
    browser.resize(320, 640).await;
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
    browser.resize(320, 480).await;
    browser.place_widget(&system.gateway().address(), &ann, &json!({"lang": "ar"})).await;
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
    browser.open_widget(&system.gateway().address(), &ann, &json!({"theme": "light"})).await;
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
