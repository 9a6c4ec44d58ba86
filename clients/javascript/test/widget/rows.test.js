// What stands around rows, how far messages have come, which rows are on the page, what is being written.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Conversation } from '../../widget/conversation.js';
import { Draft, TEXT_MAX, lengthOf } from '../../widget/draft.js';
import { Excerpt, ROWS_MAX } from '../../widget/excerpt.js';
import { surroundingsOf } from '../../widget/grouping.js';
import { Receipts } from '../../widget/receipts.js';

const MINUTE = 60_000;
const NOON = new Date(2024, 4, 14, 12).getTime();

/** @param {number} seq @param {object} [what] */
const said = (seq, what = {}) => /** @type {any} */ ({
  type: 'message', channel: 'c', seq, time: NOON + seq * MINUTE, id: `m${seq}`, from_uid: 'ben', from_name: 'Ben',
  from_role: 'agent', text: `${seq}`, ...what,
});

/** @param {object[]} events @param {number} [firstUnread] */
function around(events, firstUnread) {
  const conversation = new Conversation();
  conversation.uid = 'ann';
  conversation.append(/** @type {any} */ (events));
  const rows = conversation.slice(0, conversation.length);
  const looks = { isOwn: (/** @type {any} */ row) => conversation.isOwn(row), firstUnread };
  return rows.map((row, index) => surroundingsOf(row, rows[index - 1], rows[index + 1], looks));
}

test('messages of one author within minutes stand together', () => {
  const found = around([said(1), said(2), said(3, { from_uid: 'ann' }), said(4), said(20)]);
  assert.deepEqual(found.map(({ startsGroup }) => startsGroup), [true, false, true, true, true]);
  assert.deepEqual(found.map(({ endsGroup }) => endsGroup), [false, true, true, true, true]);
});

test('who has another role is somebody else, whatever the uid', () => {
  const found = around([said(1), said(2, { from_role: 'guest' })]);
  assert.deepEqual(found.map(({ startsGroup }) => startsGroup), [true, true]);
});

test('each day begins with its name, and so does what is new', () => {
  const found = around([said(1), said(2), said(3, { time: NOON + 24 * 60 * MINUTE })], 2);
  assert.deepEqual(found.map(({ startsDay }) => startsDay), [true, false, true]);
  assert.deepEqual(found.map(({ startsUnread }) => startsUnread), [false, true, false]);
  assert.deepEqual(found.map(({ startsGroup }) => startsGroup), [true, true, true]);
});

test('a message is sent, then delivered, then seen, and never less', () => {
  const receipts = new Receipts();
  assert.equal(receipts.of(5), 'sent');
  receipts.delivered(5);
  assert.equal(receipts.of(5), 'delivered');
  receipts.seen(6);
  receipts.seen(2);
  assert.equal(receipts.of(5), 'seen');
  assert.equal(receipts.of(7), 'sent');
});

/** @param {number} count */
function rowsOf(count) {
  const conversation = new Conversation();
  conversation.append(Array.from({ length: count }, (_, index) => said(10_000 + index)));
  return conversation;
}

test('however long the conversation, a bounded number of its rows is on the page', () => {
  const conversation = rowsOf(1_000);
  const excerpt = new Excerpt(conversation);
  assert.deepEqual([excerpt.from, excerpt.to], [1_000 - ROWS_MAX, 1_000]);
  let seen = excerpt.from;
  while (excerpt.up()) {
    assert.ok(excerpt.from < seen && excerpt.to - excerpt.from === ROWS_MAX);
    assert.ok(excerpt.to > seen, 'nothing is left out');
    seen = excerpt.from;
  }
  assert.equal(seen, 0);
  assert.equal(excerpt.isAtStart, true);
  let end = excerpt.to;
  while (excerpt.down()) {
    assert.ok(excerpt.to > end && excerpt.from < end);
    end = excerpt.to;
  }
  assert.equal(end, 1_000);
});

test('a reader who is elsewhere keeps the rows that are there, whatever comes above or below', () => {
  const conversation = rowsOf(300);
  const excerpt = new Excerpt(conversation);
  excerpt.hold();
  const [first] = conversation.slice(excerpt.from, excerpt.to);
  conversation.append([said(20_000)]);
  conversation.prepend([said(1), said(2)]);
  assert.equal(conversation.slice(excerpt.from, excerpt.to)[0], first);
  assert.equal(excerpt.isAtEnd, false);
  excerpt.follow();
  assert.equal(excerpt.isAtEnd, true);
});

test('a short conversation is on the page as a whole', () => {
  const excerpt = new Excerpt(rowsOf(3));
  excerpt.hold();
  assert.deepEqual([excerpt.from, excerpt.to, excerpt.up(), excerpt.down()], [0, 3, false, false]);
  assert.deepEqual([new Excerpt(rowsOf(0)).to, new Excerpt(rowsOf(0)).isAtEnd], [0, true]);
});

test('what was being written is back after an edit', () => {
  const draft = new Draft();
  draft.text = 'half a sentence';
  draft.edit(7, 'old');
  draft.edit(8, 'older');
  draft.text = 'new';
  assert.deepEqual(draft.take(), { text: 'new', seq: 8 });
  assert.equal(draft.text, 'half a sentence');
  draft.edit(7, 'old');
  draft.endEdit();
  assert.deepEqual(draft.take(), { text: 'half a sentence', seq: undefined });
  assert.equal(draft.text, '');
});

test('only what the server takes can be sent', () => {
  const draft = new Draft();
  draft.text = ' \n ';
  assert.equal(draft.take(), undefined);
  draft.text = '😀'.repeat(TEXT_MAX);
  assert.equal(lengthOf(draft.text), TEXT_MAX);
  assert.equal(draft.canBeSent, true);
  draft.text += '!';
  assert.equal(draft.take(), undefined);
  assert.ok(draft.text.endsWith('!'), 'and it is not lost');
});
