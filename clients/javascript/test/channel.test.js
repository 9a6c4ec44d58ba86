// Channels that are subscribed and watched, listeners that meddle, tokens.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Desk, message } from './desk.js';

/** Subscribes to a channel and leaves it before the answer: the id of what is to be answered. @param {Desk} desk */
async function leaveOnTheWay(desk) {
  desk.client.subscribe({ channel: 'c', uid: 'me', secret: 's' }).catch(() => {});
  await desk.pass(0);
  const { id } = desk.last('subscribe');
  desk.client.unsubscribe('c');
  return id;
}

test('a listener may leave the channel whose event it is told', async () => {
  const desk = new Desk();
  await desk.enter();
  desk.client.addEventListener('events', () => desk.client.unsubscribe('c'), { once: true });
  await desk.say(message(1, 0));
  await desk.say(message(2, 1));
  assert.deepEqual(desk.told('events').map(({ events }) => events[0].seq), [1]);
  assert.equal(desk.client.state, 'closed');
});

test('a listener that closes the client ends it, whatever else was to be told', async () => {
  const desk = new Desk();
  await desk.enter();
  // The hole has two events wait; both are let out by one answer.
  await desk.say(message(5, 3));
  await desk.say(message(9, 7));
  desk.client.addEventListener('gap', () => desk.client.close());
  await desk.answer();
  assert.deepEqual(desk.told('gap'), [{ channel: 'c', after: 0, before: 5 }]);
  assert.deepEqual(desk.told('events'), []);
  assert.equal(desk.client.state, 'closed');
  await desk.pass(100_000);
  assert.equal(desk.sockets.length, 1);
});

test('a listener that closes at the first sign of trouble is obeyed', async () => {
  const desk = new Desk();
  await desk.enter();
  desk.client.addEventListener('state', ({ detail }) => {
    if (detail.state === 'reconnecting') desk.client.close();
  });
  await desk.end(1006);
  await desk.pass(100_000);
  assert.equal(desk.client.state, 'closed');
  assert.equal(desk.sockets.length, 1);
});

test('a channel is left though a repeated subscribe waits for others', async () => {
  const desk = new Desk();
  const channels = ['a', 'b', 'd', 'e', 'c'];
  for (const channel of channels) await desk.enter(channel);
  for (const channel of channels) await desk.say({ ...message(9, 7), channel });
  assert.equal(desk.frames('subscribe').length, 9, 'four at a time, so the fifth waits');
  desk.client.unsubscribe('c');
  await desk.pass(0);
  assert.equal(desk.last('unsubscribe')?.channel, 'c');
});

test('a read position waits until the channel is caught up, and is told again if it may be lost', async () => {
  const desk = new Desk();
  desk.client.subscribe({ channel: 'c', uid: 'me', secret: 's' });
  await desk.pass(10);
  desk.client.read('c', 7);
  assert.deepEqual(desk.frames('read'), []);
  await desk.answer();
  assert.equal(desk.last('read').seq, 7);
  await desk.reconnect();
  desk.client.read('c', 6);
  desk.client.read('c', 9);
  await desk.answer();
  assert.deepEqual(desk.frames('read').map(({ seq }) => seq), [9]);
  await desk.reconnect();
  await desk.answer();
  assert.deepEqual(desk.frames('read').map(({ seq }) => seq), [9], 'nobody has said that it is stored');
  await desk.say({ type: 'read', channel: 'c', uid: 'me', seq: 9 });
  await desk.reconnect();
  await desk.answer();
  assert.deepEqual(desk.frames('read'), [], 'it is known to be stored');
});

test('signals are events of their own', async () => {
  const desk = new Desk();
  await desk.enter();
  await desk.say({ type: 'typing', channel: 'c', uid: 'ben' });
  await desk.say({ type: 'read', channel: 'c', uid: 'ben', seq: 3 });
  await desk.say({ type: 'presence', channel: 'c', uid: 'ben', role: 'agent', online: true });
  await desk.say({ type: 'of a later version', channel: 'c' });
  assert.deepEqual(desk.told('typing'), [{ channel: 'c', uid: 'ben' }]);
  assert.deepEqual(desk.told('read'), [{ channel: 'c', uid: 'ben', seq: 3 }]);
  assert.deepEqual(desk.told('presence').at(-1), { channel: 'c', members: [{ uid: 'ben', role: 'agent' }] });
  assert.deepEqual(desk.told('fault'), []);
});

test('no token is asked for once the last channel that needs one is left', async () => {
  let asked = 0;
  const desk = new Desk({ getToken: () => `token-${asked += 1}` });
  await desk.enter('secret');
  await desk.enter('c', {});
  assert.equal(asked, 1);
  await desk.say({ type: 'token_expiring', expires_at: desk.time.now + desk.computer.skew.wall + 20_000 });
  desk.client.unsubscribe('c');
  await desk.pass(60_000);
  assert.equal(asked, 1);
  // Even if the server still speaks of it.
  await desk.say({ type: 'token_expiring', expires_at: desk.time.now + desk.computer.skew.wall + 20_000 });
  await desk.pass(60_000);
  assert.equal(asked, 1);
});

test('a token is not renewed for a server that knows of no channel by token', async () => {
  let asked = 0;
  const desk = new Desk({ getToken: () => `token-${asked += 1}` });
  await desk.enter('c', {});
  await desk.say({ type: 'token_expiring', expires_at: desk.time.now + desk.computer.skew.wall + 20_000 });
  await desk.pass(6_000);
  const { id, token } = desk.last('authenticate');
  assert.equal(token, 'token-2');
  await desk.say({ type: 'error', id, code: 'not_subscribed', message: '', field: 'token' });
  await desk.pass(60_000);
  assert.equal(asked, 2);
});

test('a token is renewed before it ends, and again if the next one ends no later', async () => {
  let asked = 0;
  const desk = new Desk({ getToken: () => `token-${asked += 1}` });
  await desk.enter('c', {});
  const expiresAt = desk.time.now + desk.computer.skew.wall + 20_000;
  await desk.say({ type: 'token_expiring', expires_at: expiresAt });
  await desk.pass(6_000);
  await desk.say({ type: 'authenticated', id: desk.last('authenticate').id, expires_at: expiresAt });
  await desk.pass(6_000);
  assert.equal(desk.last('authenticate').token, 'token-3');
  await desk.say({ type: 'authenticated', id: desk.last('authenticate').id, expires_at: expiresAt + 1 });
  await desk.pass(6_000);
  assert.equal(asked, 3);
});

test('a channel that a token is not for is tried once more with a new one, and then given up', async () => {
  let asked = 0;
  const desk = new Desk({ getToken: () => `token-${asked += 1}` });
  const subscribed = desk.client.subscribe({ channel: 'c' });
  await desk.pass(10);
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    assert.equal(desk.last('subscribe').token, `token-${attempt}`);
    await desk.say({ type: 'error', id: desk.last('subscribe').id, code: 'unauthorized', message: '', field: 'token' });
    await desk.pass(10);
  }
  await assert.rejects(subscribed, { code: 'unauthorized' });
  assert.deepEqual(desk.told('refused').map(({ channel }) => channel), ['c']);
  assert.equal(desk.client.state, 'closed');
});

test('who is removed from one of several channels keeps the others', async () => {
  const desk = new Desk();
  await desk.enter('c');
  await desk.enter('d');
  await desk.end(4001, 'd');
  assert.deepEqual(desk.told('refused').map(({ channel, error }) => [channel, error.code]), [['d', 'removed']]);
  await desk.pass(2_000);
  assert.deepEqual(desk.frames('subscribe').map(({ channel }) => channel), ['c']);
});

test('channels that are watched in one go are answered one by one, and none of them is forgotten', async () => {
  for (const first of ['unread', 'error']) {
    const desk = new Desk({ idleCheckMs: 1e9 });
    desk.client.watch({ channel: 'c', uid: 'me', secret: 's' });
    desk.client.watch({ channel: 'd', uid: 'me', secret: 's' });
    await desk.pass(10);
    const { id, channels } = desk.last('watch');
    assert.equal(channels.length, 2);
    await desk.say({ type: first, id, channel: 'c', count: 1, code: 'rate_limited', message: '', field: 'channels' });
    await desk.pass(130_000);
    assert.ok(desk.sockets.length > 1, 'the answer for the other one is lost');
  }
});

test('each channel is looked into in its turn when nothing is heard', async () => {
  const desk = new Desk();
  await desk.enter('c');
  await desk.enter('d');
  desk.answers = true;
  const before = desk.frames('subscribe').length;
  await desk.pass(400_000);
  const asked = desk.frames('subscribe').slice(before).map(({ channel }) => channel);
  assert.deepEqual(asked.slice(0, 4), ['c', 'd', 'c', 'd']);
  assert.equal(desk.sockets.length, 1);
});

test('read positions of a channel are written ten times a second at most, the last one in any case', async () => {
  const desk = new Desk();
  await desk.enter();
  for (let seq = 1; seq <= 500; seq += 1) {
    desk.client.read('c', seq);
    await desk.pass(1);
  }
  assert.equal(desk.frames('read')[0]?.seq, 1, 'the first one does not wait');
  assert.ok(desk.frames('read').length <= 6, `${desk.frames('read').length} frames in half a second`);
  await desk.pass(100);
  assert.equal(desk.last('read').seq, 500);
  desk.client.read('c', 501);
  desk.client.read('c', 502);
  await desk.browser('pagehide', { persisted: true });
  assert.equal(desk.last('read').seq, 502, 'a page that is put aside may not come back');
});

test('a read position does not stay behind when its channel is left or the client closed', async () => {
  for (const end of [(/** @type {Desk} */ desk) => desk.client.unsubscribe('c'), (/** @type {Desk} */ desk) => desk.client.close()]) {
    const desk = new Desk();
    await desk.enter('d');
    await desk.enter('c');
    desk.client.read('c', 1);
    desk.client.read('c', 2);
    end(desk);
    assert.equal(desk.last('read').seq, 2);
  }
});

test('a channel that is left while its subscribe is on its way is left once that is answered, not before', async () => {
  const desk = new Desk();
  await desk.enter('d');
  const id = await leaveOnTheWay(desk);
  await desk.pass(0);
  assert.equal(desk.last('unsubscribe'), undefined, 'the subscribe may be refused: then this would end a watch');
  await desk.say({ type: 'subscribed', id, channel: 'c', messages: [], more: false, last_seq: 0, online: [] });
  assert.equal(desk.last('unsubscribe').channel, 'c');
});

test('a channel that is left and subscribed again at once is not left when the first answer comes', async () => {
  const desk = new Desk();
  await desk.enter('d');
  const id = await leaveOnTheWay(desk);
  const subscribed = desk.client.subscribe({ channel: 'c', uid: 'me', secret: 's' });
  await desk.pass(0);
  await desk.say({ type: 'subscribed', id, channel: 'c', messages: [], more: false, last_seq: 0, online: [] });
  await desk.answer();
  await subscribed;
  assert.equal(desk.last('unsubscribe'), undefined);
});

test('that there are older events is told of the first page, whatever comes to light after it', async () => {
  const desk = new Desk();
  const subscribed = desk.client.subscribe({ channel: 'c', uid: 'me', secret: 's' });
  await desk.pass(10);
  await desk.say(message(9, 7));
  await desk.answer({ messages: [message(5, 3)], more: true, last_seq: 5 });
  assert.equal(desk.last('subscribe').after, 5);
  await desk.answer({ messages: [message(7, 5)], last_seq: 9 });
  assert.equal((await subscribed).more, true);
});

test('what fails after nobody waits for it any more is no fault', async () => {
  const desk = new Desk();
  await desk.enter('d');
  const id = await leaveOnTheWay(desk);
  await desk.say({ type: 'error', id, code: 'unavailable', message: '' });
  // Sent twice: the first was stored, as an ack tells before the second is refused.
  const { id: message } = desk.client.send('d', 'Hello');
  await desk.pass(0);
  await desk.say({ type: 'ack', id: message, seq: 9, time: 9, duplicate: false });
  await desk.say({ type: 'error', id: message, code: 'unavailable', message: '' });
  assert.deepEqual(desk.told('fault'), []);
  await desk.say({ type: 'error', code: 'rate_limited', message: '' });
  assert.deepEqual(desk.told('fault').map(({ error }) => error.code), ['rate_limited']);
});
