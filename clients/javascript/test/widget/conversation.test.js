// Events become rows, and our own unsent messages stand below them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ChatError } from '../../src/error.js';
import { Conversation } from '../../widget/conversation.js';

/** @import { ChannelEvent, OutgoingChange } from '../../src/types.js' */

/** @param {number} seq @param {object} [what] @returns {ChannelEvent} */
const said = (seq, what = {}) => /** @type {ChannelEvent} */ ({
  type: 'message', channel: 'c', seq, prev: seq - 1, time: seq * 1_000, id: `m${seq}`, from_uid: 'ben', from_name: 'Ben',
  from_role: 'agent', text: `${seq}`, ...what,
});

/** @param {number} seq @param {object} what @returns {ChannelEvent} */
const happened = (seq, what) => /** @type {ChannelEvent} */ ({ channel: 'c', seq, prev: seq - 1, time: seq * 1_000, ...what });

/** @param {OutgoingChange['status']} status @param {object} [what] @returns {OutgoingChange} */
const outgoing = (status, what = {}) => ({
  id: 'mine', channel: 'c', text: 'Mine', meta: undefined, createdAt: 1, status, error: undefined, ...what,
});

/** @param {Conversation} conversation */
const shown = (conversation) => conversation.slice(0, conversation.length)
  .map((row) => (row.kind === 'message' ? row.text : row.type));

function entered() {
  const conversation = new Conversation();
  conversation.uid = 'ann';
  return conversation;
}

test('messages, edits and deletions make what everybody shows', () => {
  const conversation = entered();
  const heard = conversation.append([
    said(1), said(2), said(3, { from_uid: 'ann' }), happened(4, { type: 'edited', message: 1, text: 'one' }),
    happened(5, { type: 'deleted', message: 2 }), happened(6, { type: 'of-a-later-server' }),
  ]);
  assert.deepEqual(shown(conversation), ['one', '3']);
  assert.deepEqual(heard.map(({ seq }) => seq), [1, 2], 'of others, as they came');
  assert.equal(conversation.message(1)?.isEdited, true);
  assert.equal(conversation.newest, 6);
});

test('a message of ours that was stored is shown once', () => {
  const conversation = entered();
  conversation.outgoing(outgoing('pending'));
  conversation.outgoing(outgoing('sent'));
  assert.deepEqual(shown(conversation), ['Mine'], 'acknowledged, and not yet in the log');
  conversation.append([said(1, { from_uid: 'ann', id: 'mine', text: 'Mine' })]);
  conversation.outgoing(outgoing('sent'));
  assert.deepEqual(shown(conversation), ['Mine']);
  assert.equal(conversation.slice(0, 1)[0]?.seq, 1);
});

test('somebody else may use the id of a message of ours', () => {
  const conversation = entered();
  conversation.outgoing(outgoing('pending'));
  conversation.append([said(1, { id: 'mine', text: 'Not yours' })]);
  assert.deepEqual(shown(conversation), ['Not yours', 'Mine']);
});

test('who has only a token knows its own messages once it is told who it is', () => {
  const conversation = new Conversation();
  conversation.append([said(1, { from_uid: 'ann' }), said(2)]);
  const isOwn = () => conversation.slice(0, 2).map((row) => conversation.isOwn(row));
  assert.deepEqual(isOwn(), [false, false]);
  conversation.uid = 'ann';
  assert.deepEqual(isOwn(), [true, false]);
});

test('a page of history goes above what is there', () => {
  const conversation = entered();
  conversation.append([said(5), said(6)]);
  assert.equal(conversation.oldest, 5);
  conversation.prepend([happened(1, { type: 'created' }), said(3)]);
  assert.deepEqual(shown(conversation), ['3', '5', '6']);
  assert.equal(conversation.oldest, 1);
});

test('what was edited or deleted while its page was on its way is not shown as it was', () => {
  const conversation = entered();
  conversation.append([said(5)]);
  conversation.append([happened(6, { type: 'edited', message: 2, text: 'two' }), happened(7, { type: 'deleted', message: 3 })]);
  conversation.prepend([said(2), said(3), said(4)]);
  assert.deepEqual(shown(conversation), ['two', '4', '5']);
});

test('rows far above the end are forgotten, and can be had again', () => {
  const conversation = entered();
  conversation.append(Array.from({ length: 30 }, (_, index) => said(index + 1)));
  assert.equal(conversation.trim(30), false);
  assert.equal(conversation.trim(10), true);
  assert.equal(conversation.oldest, 21);
  conversation.prepend(Array.from({ length: 20 }, (_, index) => said(index + 1)));
  assert.equal(conversation.length, 30);
});

test('the text of a failed edit is kept, and gone when the edit is in the log', () => {
  const conversation = entered();
  conversation.append([said(1, { from_uid: 'ann' })]);
  const error = new ChatError('unavailable', '');
  conversation.revise(1, { kind: 'edit', text: 'better', error });
  assert.deepEqual(conversation.message(1)?.revision, { kind: 'edit', text: 'better', error });
  assert.equal(conversation.message(1)?.text, '1');
  conversation.append([happened(2, { type: 'edited', message: 1, text: 'better' })]);
  assert.equal(conversation.message(1)?.revision, undefined);
  assert.equal(conversation.message(1)?.text, 'better');
});

test('a channel that is closed takes nothing until it is reopened', () => {
  const conversation = entered();
  conversation.append([happened(1, { type: 'closed' })]);
  assert.equal(conversation.isEnded, true);
  conversation.append([happened(2, { type: 'reopened' })]);
  assert.equal(conversation.isEnded, false);
  conversation.outgoing(outgoing('failed', { error: new ChatError('channel_closed', '') }));
  assert.equal(conversation.isEnded, true, 'the event that said so is not among those at hand');
  assert.deepEqual(shown(conversation), ['closed', 'reopened', 'Mine']);
});

test('a gap stands where events are missing', () => {
  const conversation = entered();
  conversation.gap({ after: 0, before: 1 });
  assert.equal(conversation.length, 0, 'above the first row nothing is missed');
  conversation.append([said(1)]);
  conversation.gap({ after: 1, before: 9 });
  conversation.append([said(9)]);
  assert.deepEqual(shown(conversation), ['1', 'gap', '9']);
  assert.equal(conversation.message(9)?.text, '9');
});

test('what is new begins with the first unread message of somebody else', () => {
  const conversation = entered();
  conversation.append([said(1), said(2), said(3, { from_uid: 'ann' }), said(4)]);
  conversation.markUnread(2);
  assert.equal(conversation.firstUnread, 2);
  conversation.markUnread(0);
  assert.equal(conversation.firstUnread, undefined);
  conversation.markUnread(9);
  assert.equal(conversation.firstUnread, undefined, 'it is older than all at hand');
});

test('people are called as they were called last', () => {
  const conversation = entered();
  conversation.append([said(5), happened(6, { type: 'updated', uid: 'ben', display_name: 'Benjamin', role: 'agent' })]);
  conversation.prepend([said(1, { from_name: 'Benny' })]);
  assert.equal(conversation.nameOf('ben'), 'Benjamin');
  assert.equal(conversation.nameOf('eve'), 'eve');
});
