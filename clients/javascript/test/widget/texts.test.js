// Links, languages, tokens, the title: what is made of words.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Format } from '../../widget/format.js';
import { partsOf } from '../../widget/links.js';
import { LANGUAGES } from '../../widget/texts/index.js';
import { TitleBadge } from '../../widget/title.js';
import { fetchToken } from '../../widget/token.js';

/** @param {string} text */
const links = (text) => partsOf(text).flatMap(({ href }) => href ?? []);

test('http, https and mailto become links, and nothing else', () => {
  assert.deepEqual(links('see https://example.org/a?b=c#d and http://example.org'), ['https://example.org/a?b=c#d', 'http://example.org/']);
  assert.deepEqual(links('mailto:ann@example.org'), ['mailto:ann@example.org']);
  for (const text of [
    'javascript:alert(1)', 'JAVASCRIPT:alert(1)', 'data:text/html,hi', 'vbscript:x', 'file:///etc/passwd', 'ftp://example.org',
    'example.org', 'mailto:nobody', 'https://', 'http://[', 'xhttps://example.org', 'blob:https://example.org/x',
  ]) assert.deepEqual(links(text).filter((href) => !/^https?:\/\/example\.org/u.test(href)), [], text);
  assert.deepEqual(links('javascript:alert(1)//https://example.org'), ['https://example.org/']);
});

test('a link that pretends to lead elsewhere is none', () => {
  assert.deepEqual(links('https://bank.example@evil.example/'), []);
  assert.deepEqual(links('https://example.org/\u202egpj.exe'), ['https://example.org/']);
});

test('the end of a sentence is not part of a link', () => {
  assert.deepEqual(links('(see https://example.org/a_(b)).'), ['https://example.org/a_(b)']);
  assert.deepEqual(links('https://example.org/a, https://example.org/b!'), ['https://example.org/a', 'https://example.org/b']);
  assert.deepEqual(links('"https://example.org/"'), ['https://example.org/']);
});

test('no part of a text is lost, whatever it is', () => {
  for (const text of ['', 'https://', ' https://example.org. ', '<b>&</b>', 'a https://x@y b http://z)))', '\u0000https://a.b\u2066c']) {
    assert.equal(partsOf(text).map((part) => part.text).join(''), text);
  }
  const long = 'https://('.repeat(400) + 'https://a.b/'.repeat(50);
  assert.equal(partsOf(long).map((part) => part.text).join(''), long);
});

test('every language has every text, with every form of the plural that it needs', () => {
  const keys = Object.keys(LANGUAGES.en).sort();
  for (const [language, texts] of Object.entries(LANGUAGES)) {
    assert.deepEqual(Object.keys(texts).sort(), keys, language);
    const format = new Format(language, {});
    for (const key of /** @type {(keyof typeof LANGUAGES.en)[]} */ (keys)) {
      for (const count of [0, 1, 2, 3, 11, 100]) {
        const shown = format.text(key, { count, max: 9, name: 'Ann', names: 'Ann' });
        assert.ok(shown.length > 0 && !/[{}]/u.test(shown), `${language} ${key}: ${shown}`);
      }
      const braces = (/** @type {unknown} */ text) => JSON.stringify(text).match(/\{\w+\}/gu)?.sort().filter((one, index, all) => one !== all[index - 1]);
      assert.deepEqual(braces(texts[key]), braces(LANGUAGES.en[key]), `${language} ${key}`);
    }
  }
});

test('numbers, days and plurals are those of the language', () => {
  const now = new Date(2024, 4, 14, 12).getTime();
  const before = (/** @type {number} */ days) => now - days * 24 * 60 * 60_000;
  const german = new Format('de-DE', {});
  assert.equal(german.text('unread', { count: 1 }), '1 ungelesene Nachricht');
  assert.equal(german.text('unread', { count: 2_000 }), '2.000 ungelesene Nachrichten');
  assert.equal(german.day(before(0), now), 'Heute');
  assert.equal(german.day(before(1), now), 'Gestern');
  assert.match(german.day(before(3), now), /Samstag/u);
  assert.match(german.day(before(600), now), /2022/u);
  assert.equal(new Format('fr', {}).text('unread', { count: 0 }), '0 message non lu');
  const arabic = new Format('ar', {});
  assert.equal(arabic.text('unread', { count: 2 }), 'رسالتان غير مقروءتين');
  assert.match(arabic.text('unread', { count: 5 }), /رسائل/u);
  assert.equal(arabic.direction, 'rtl');
});

test('a day begins at midnight, also where clocks were changed', () => {
  const format = new Format('en', {});
  const midnight = new Date(2024, 4, 14).getTime();
  assert.equal(format.day(midnight - 1, midnight), 'Yesterday');
  assert.equal(format.day(midnight, midnight + 1), 'Today');
});

test('a language that there is none of is English, unless the product has its words', () => {
  assert.equal(new Format('xx-YY', {}).text('send'), 'Send');
  assert.equal(new Format('not a language', {}).text('send'), 'Send');
  const hebrew = new Format('he', { send: 'שלח' });
  assert.deepEqual([hebrew.text('send'), hebrew.text('edit'), hebrew.direction], ['שלח', 'Edit', 'rtl']);
  assert.equal(new Format('pt-PT', { send: 'Mandar' }).text('edit'), 'Editar');
});

test('a role without a word is shown as it is, and a name turns no direction', () => {
  const format = new Format('en', {});
  assert.equal(format.role('agent'), 'Agent');
  assert.equal(format.role('supervisor'), 'supervisor');
  assert.equal(format.text('joined', { name: 'Eve\u202e' }), '\u2068Eve\u2069 joined');
  assert.equal(format.text('joined', { name: '{names}' }), '\u2068{names}\u2069 joined');
});

test('a token comes as text or as JSON', async () => {
  /** @param {string} body @param {number} [status] */
  const answer = (body, status = 200) => fetchToken('/token', async () => new Response(body, { status }));
  assert.equal(await answer('a.b.c\n'), 'a.b.c');
  assert.equal(await answer('{"token":"a.b.c"}'), 'a.b.c');
  assert.equal(await answer('"a.b.c"'), 'a.b.c');
  await assert.rejects(answer('log in', 401), /401/u);
});

test('the title has the count, and is the page’s own again', () => {
  const page = { title: 'Shop' };
  const badge = new TitleBadge(page);
  badge.show(2);
  assert.equal(page.title, '(2) Shop');
  badge.show(3);
  assert.equal(page.title, '(3) Shop');
  page.title = 'Basket';
  badge.show(4);
  assert.equal(page.title, '(4) Basket');
  badge.show(0);
  assert.equal(page.title, 'Basket');
});
