// A chat between the client and whoever shows it: what is counted, read, told, and kept when something fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Chat } from '../../widget/chat.js';
import { Desk, message } from '../desk.js';

/** A chat at a desk. @param {{ uid?: string, secret?: string }} [member] */
function start(member = { uid: 'me', secret: 's' }) {
  const desk = new Desk({ getToken: () => 'a.b.c' });
  /** @type {{ [what: string]: any[] }} */
  const told = { changed: [], heard: [], unread: [], ended: [], failed: [] };
  const tell = (/** @type {string} */ what) => (/** @type {any} */ detail) => { told[what]?.push(detail); };
  const chat = new Chat(desk.client, { channel: 'c', ...member }, desk.computer.world, {
    changed: () => tell('changed')(undefined), heard: tell('heard'), unread: tell('unread'), ended: tell('ended'), failed: tell('failed'),
  });
  const texts = () => chat.conversation.slice(0, chat.conversation.length).map((row) => (row.kind === 'message' ? row.text : row.type));
  return { desk, chat, told, texts };
}

/** A chat that is open. @param {object} [page] @param {{ uid?: string, secret?: string }} [member] */
async function open(page = {}, member = undefined) {
  const started = start(member);
  started.chat.subscribe();
  await started.desk.pass(10);
  await started.desk.answer(page);
  return started;
}

test('until it is opened a chat counts, and subscribes to nothing', async () => {
  const { desk, chat, told } = start();
  chat.watch();
  await desk.pass(10);
  assert.deepEqual(desk.written.map(({ type }) => type), ['watch']);
  const { id } = desk.last('watch');
  await desk.say({ type: 'unread', id, channel: 'c', count: 3 });
  assert.deepEqual([chat.unread, told['unread']], [3, [3]]);
  assert.deepEqual(desk.frames('subscribe'), []);
  chat.subscribe();
  chat.subscribe();
  await desk.pass(10);
  assert.equal(desk.frames('subscribe').length, 1);
});

test('the first page is no news, and what comes after it is', async () => {
  const { desk, told, texts } = await open({ messages: [message(1, 0), message(2, 1)], last_seq: 2, unread: 1 });
  assert.deepEqual([texts(), told['heard']], [['1', '2'], []]);
  await desk.say(message(3, 2));
  await desk.say(message(4, 3, { from_uid: 'me' }));
  assert.deepEqual(told['heard']?.flat().map(({ seq }) => seq), [3]);
});

test('only who sees the end has read it', async () => {
  const { desk, chat } = await open({ messages: [message(1, 0)], last_seq: 1 });
  await desk.pass(5_000);
  assert.deepEqual(desk.frames('read'), [], 'nobody looks');
  chat.attend(true, false);
  await desk.pass(5_000);
  assert.deepEqual(desk.frames('read'), [], 'the reader is further up');
  chat.attend(true, true);
  await desk.pass(5_000);
  assert.deepEqual(desk.frames('read').map(({ seq }) => seq), [1]);
  await desk.say(message(2, 1));
  await desk.pass(5_000);
  assert.deepEqual(desk.frames('read').map(({ seq }) => seq), [1, 2]);
});

test('messages of ours are sent, delivered to who is there, and seen by who has read', async () => {
  const own = message(1, 0, { from_uid: 'me' });
  const { desk, chat } = await open({ messages: [own], last_seq: 1, online: [] });
  const receipt = () => chat.receiptOf(/** @type {any} */ (chat.conversation.lastOwn));
  assert.equal(receipt(), 'sent');
  await desk.say({ type: 'presence', channel: 'c', uid: 'ben', role: 'agent', online: true });
  assert.equal(receipt(), 'delivered');
  await desk.say({ type: 'read', channel: 'c', uid: 'me', seq: 1 });
  assert.equal(receipt(), 'delivered', 'by ourselves does not count');
  await desk.say({ type: 'read', channel: 'c', uid: 'ben', seq: 1 });
  assert.equal(receipt(), 'seen');
});

test('whoever answers has seen what stands above, unless it is a program', async () => {
  const own = message(1, 0, { from_uid: 'me' });
  const robot = message(2, 1, { from_uid: 'robot', from_role: 'system' });
  const { desk, chat } = await open({ messages: [own, robot], last_seq: 2 });
  const receipt = () => chat.receiptOf(/** @type {any} */ (chat.conversation.lastOwn));
  assert.equal(receipt(), 'sent');
  await desk.say(message(3, 2));
  assert.equal(receipt(), 'seen');
});

test('with a token alone, one learns from the server who one is', async () => {
  const { chat } = await open({ uid: 'bea', messages: [message(1, 0, { from_uid: 'bea' })], last_seq: 1 }, {});
  assert.equal(chat.conversation.uid, 'bea');
  assert.equal(chat.conversation.lastOwn?.seq, 1);
});

test('older pages are asked for one at a time, and again after a failure', async () => {
  const { desk, chat, texts } = await open({ messages: [message(5, 4)], last_seq: 5, more: true });
  chat.loadOlder();
  chat.loadOlder();
  await desk.pass(0);
  assert.deepEqual(desk.frames('history').map(({ before }) => before), [5]);
  await desk.say({ type: 'error', id: desk.last('history').id, code: 'unavailable', message: '' });
  assert.equal(chat.loading, 'failed');
  chat.loadOlder();
  await desk.pass(0);
  await desk.say({ type: 'history', id: desk.last('history').id, channel: 'c', more: false, messages: [message(1, 0)] });
  assert.deepEqual([texts(), chat.loading, chat.hasOlder], [['1', '5'], 'idle', false]);
  chat.loadOlder();
  await desk.pass(0);
  assert.equal(desk.frames('history').length, 2);
});

test('a message that cannot be sent stands there until it is tried again or discarded', async () => {
  const { desk, chat, texts } = await open();
  chat.write('Hello');
  chat.send();
  await desk.pass(0);
  assert.equal(chat.draft.text, '');
  await desk.say({ type: 'error', id: desk.last('send').id, code: 'too_long', message: 'too long' });
  const failed = /** @type {any} */ (chat.conversation.lastOwn);
  assert.deepEqual([failed.status, failed.error.code, texts()], ['failed', 'too_long', ['Hello']]);
  chat.retry(failed.id);
  await desk.pass(0);
  assert.deepEqual([chat.conversation.length, desk.frames('send').length], [1, 2]);
  await desk.say({ type: 'error', id: desk.last('send').id, code: 'too_long', message: 'too long' });
  chat.discard(/** @type {any} */ (chat.conversation.lastOwn).id);
  assert.deepEqual(texts(), []);
});

test('the text of an edit that fails is kept, and tried again', async () => {
  const { desk, chat } = await open({ messages: [message(1, 0, { from_uid: 'me' })], last_seq: 1 });
  chat.draft.text = 'the next message';
  chat.draft.edit(1, '1');
  chat.write('one');
  chat.send();
  await desk.pass(0);
  assert.equal(chat.draft.text, 'the next message');
  await desk.end(1006);
  const revision = () => chat.conversation.message(1)?.revision;
  await desk.pass(20_000);
  assert.equal(revision()?.text, 'one');
  assert.ok(revision()?.error, 'the connection broke');
  await desk.answer();
  chat.revise(1, 'edit', 'one');
  await desk.pass(0);
  assert.equal(desk.last('edit').text, 'one');
  await desk.say({ type: 'edited', channel: 'c', seq: 2, prev: 1, time: 2, id: 'e', message: 1, uid: 'me', text: 'one' });
  assert.deepEqual([chat.conversation.message(1)?.text, revision()], ['one', undefined]);
});

test('an edit that changes nothing is not sent', async () => {
  const { desk, chat } = await open({ messages: [message(1, 0, { from_uid: 'me' })], last_seq: 1 });
  chat.draft.edit(1, '1');
  chat.send();
  await desk.pass(0);
  assert.deepEqual(desk.frames('edit'), []);
});

test('the end and the reopening are told once each', async () => {
  const { desk, told } = await open({ messages: [{ type: 'closed', channel: 'c', seq: 1, prev: 0, time: 1 }], last_seq: 1 });
  assert.deepEqual(told['ended'], [true]);
  await desk.say(message(2, 1));
  await desk.say({ type: 'reopened', channel: 'c', seq: 3, prev: 2, time: 1 });
  assert.deepEqual(told['ended'], [true, false]);
});

test('who is refused is told once, though there are a watch and a subscription', async () => {
  const { desk, chat, told } = start();
  chat.watch();
  chat.subscribe();
  await desk.pass(10);
  await desk.say({ type: 'error', id: desk.last('subscribe').id, code: 'unauthorized', message: '' });
  await desk.say({ type: 'error', id: desk.last('watch').id, channel: 'c', code: 'unauthorized', message: '', field: 'channels' });
  assert.deepEqual([told['failed']?.map(({ code }) => code), chat.refusal?.code], [['unauthorized'], 'unauthorized']);
});

test('somebody types until they send, or for some seconds', async () => {
  const { desk, chat } = await open();
  const types = (/** @type {string} */ uid) => desk.say({ type: 'typing', channel: 'c', uid });
  await types('other');
  await types('eve');
  assert.deepEqual(chat.typing, ['other', 'eve']);
  await desk.say(message(1, 0));
  assert.deepEqual(chat.typing, ['eve']);
  await desk.pass(4_000);
  await types('eve');
  await desk.pass(4_000);
  assert.deepEqual(chat.typing, ['eve']);
  await desk.pass(1_500);
  assert.deepEqual(chat.typing, []);
});

test('that we are typing is told every few seconds at most', async () => {
  const { desk, chat } = await open();
  for (const text of ['', ' ', 'H', 'He', 'Hel']) chat.write(text);
  await desk.pass(0);
  assert.equal(desk.frames('typing').length, 1);
  await desk.pass(3_500);
  chat.write('Hell');
  assert.equal(desk.frames('typing').length, 2);
});

test('nothing is told after the chat was left', async () => {
  const { desk, chat, told } = await open();
  await desk.say(message(1, 0));
  chat.close();
  const count = told['changed']?.length;
  await desk.pass(10_000);
  assert.equal(told['changed']?.length, count);
  assert.equal(desk.client.state, 'closed');
});
