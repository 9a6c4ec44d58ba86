// Order and gaps of one channel, without any I/O.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Order } from '../src/order.js';
import { message } from './desk.js';

/** @param {import('../src/order.js').Outcome} outcome */
function seqs({ deliveries }) {
  return deliveries.map((one) => ('gap' in one ? one.gap : one.events.map(({ seq }) => seq)));
}

/** An order that has events up to a seq. @param {number} last */
function caughtUp(last) {
  const order = new Order();
  order.ask();
  order.page({ messages: [message(last, 0)], more: false, lastSeq: last });
  return order;
}

test('a hole is closed by what is asked for, and the event after it waits', () => {
  const order = caughtUp(5);
  assert.deepEqual(order.live(/** @type {any} */ (message(9, 7))), { deliveries: [], next: 'ask' });
  assert.equal(order.ask(), 5);
  const outcome = order.page({ messages: [message(7, 5)], more: false, lastSeq: 9 });
  assert.deepEqual(seqs(outcome), [[7, 9]]);
  assert.equal(outcome.next, 'nothing');
});

test('a hole that nothing fills is a gap only if it was there when the log was asked', () => {
  const order = caughtUp(5);
  order.live(/** @type {any} */ (message(9, 7)));
  order.ask();
  // The log was perhaps read before 11 was stored, and so says nothing about 11.
  order.live(/** @type {any} */ (message(13, 11)));
  const outcome = order.page({ messages: [], more: false, lastSeq: 5 });
  assert.deepEqual(seqs(outcome), [{ after: 5, before: 9 }, [9]]);
  assert.equal(outcome.next, 'ask');
  assert.equal(order.ask(), 9);
  assert.deepEqual(seqs(order.page({ messages: [message(11, 9)], more: false, lastSeq: 13 })), [[11, 13]]);
});

test('a page of which all was deleted is not the end', () => {
  const order = caughtUp(5);
  order.disconnected();
  order.ask();
  assert.equal(order.page({ messages: [], more: true, lastSeq: 9 }).next, 'ask');
  assert.equal(order.ask(), 9);
});

test('a page that leads nowhere is tried again later instead of for ever', () => {
  const order = caughtUp(5);
  order.disconnected();
  order.ask();
  assert.equal(order.page({ messages: [], more: true, lastSeq: 5 }).next, 'astray');
  assert.equal(order.isLive, false);
});

test('more events than are kept while a page is on its way are asked for again', () => {
  const order = caughtUp(1);
  order.disconnected();
  order.ask();
  // The first of them is unknown to be missing: the last ones say nothing of those before them.
  for (let seq = 2; seq <= 1_200; seq += 1) order.live(/** @type {any} */ (message(seq, 0)));
  assert.equal(order.page({ messages: [], more: false, lastSeq: 1_200 }).next, 'ask');
  assert.equal(order.ask(), 1);
});

test('what steps back or comes twice is left out', () => {
  const order = caughtUp(5);
  order.disconnected();
  order.ask();
  const messages = [message(4, 3), message(6, 5), message(6, 5), { nonsense: true }, message(7, 6)];
  assert.deepEqual(seqs(order.page({ messages, more: false, lastSeq: 7 })), [[6, 7]]);
  assert.deepEqual(seqs(order.live(/** @type {any} */ (message(7, 6)))), []);
});
