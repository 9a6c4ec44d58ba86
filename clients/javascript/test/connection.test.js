// Connecting, waiting, coming back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ChatClient } from '../src/index.js';
import { Desk } from './desk.js';
import { SimulatedSocket } from './simulation/socket.js';

test('the close code 1008 means "later" when nobody was authorised in time', async () => {
  const desk = new Desk();
  desk.client.subscribe({ channel: 'c', uid: 'me', secret: 's' });
  await desk.pass(10);
  await desk.end(1008, 'not authorised in time');
  assert.equal(desk.client.state, 'reconnecting');
  await desk.pass(2_000);
  await desk.answer();
  assert.equal(desk.client.state, 'online');
});

test('the close code 1008 is final when too many frames were refused', async () => {
  const desk = new Desk();
  await desk.enter();
  await desk.end(1008, 'too many frames were refused');
  await desk.pass(100_000);
  assert.deepEqual(desk.told('state').at(-1), {
    state: 'closed', code: 1008, reason: 'too many frames were refused',
  });
  assert.equal(desk.sockets.length, 1);
});

test('a socket that cannot be made is tried again', async () => {
  const desk = new Desk();
  desk.throws = true;
  desk.client.subscribe({ channel: 'c', uid: 'me', secret: 's' });
  await desk.pass(20_000);
  assert.equal(desk.client.state, 'reconnecting');
  assert.ok(desk.told('fault').length > 2);
  assert.match(desk.told('fault')[0].error.message, /policy/);
  desk.throws = false;
  desk.answers = true;
  await desk.pass(60_000);
  assert.equal(desk.client.state, 'online');
});

test('a wait that the server has asked for is shortened by nothing', async () => {
  const desk = new Desk();
  await desk.enter();
  await desk.say({ type: 'reconnect', after_ms: 30_000 });
  await desk.end(1001);
  for (let second = 0; second < 29; second += 1) {
    desk.client.check();
    await desk.browser('offline');
    await desk.browser('online');
    desk.client.connect();
    desk.client.subscribe({ channel: `c${second}`, uid: 'me', secret: 's' });
    await desk.pass(1_000);
  }
  assert.equal(desk.sockets.length, 1, 'the server has asked for 30 seconds');
  await desk.pass(2_000);
  assert.equal(desk.sockets.length, 2);
});

test('a wait of our own is kept by check, offline and further channels, and shortened when the network is back', async () => {
  const desk = new Desk({ backoffBaseMs: 1_000_000, backoffMaxMs: 1_000_000 });
  desk.chance.next = () => 0.5;
  await desk.enter();
  await desk.end(1006);
  desk.client.check();
  await desk.browser('offline');
  desk.client.subscribe({ channel: 'd', uid: 'me', secret: 's' });
  desk.client.watch({ channel: 'd', uid: 'me', secret: 's' });
  await desk.pass(400_000);
  assert.equal(desk.sockets.length, 1);

  const another = new Desk({ backoffBaseMs: 500, backoffMaxMs: 1_000_000 });
  another.chance.next = () => 0.9;
  await another.enter();
  another.opens = false;
  await another.end(1006);
  for (let lost = 0; lost < 10; lost += 1) {
    another.client.connect();
    another.socket.end(1006, '');
  }
  const before = another.sockets.length;
  await another.pass(5_000);
  assert.equal(another.sockets.length, before, 'by now the waits are long');
  await another.browser('online');
  await another.pass(500);
  assert.equal(another.sockets.length, before + 1);
});

test('an overloaded server is given its time', async () => {
  const desk = new Desk();
  desk.chance.next = () => 0.9;
  await desk.enter();
  await desk.end(1013);
  desk.client.connect();
  await desk.browser('online');
  await desk.pass(4_000);
  assert.equal(desk.sockets.length, 1);
  await desk.pass(1_000);
  assert.equal(desk.sockets.length, 2);
});

test('a page that is put aside holds no socket, and resumes when it is back', async () => {
  const desk = new Desk();
  await desk.enter();
  const [socket] = desk.sockets;
  await desk.browser('pagehide', { persisted: true });
  assert.equal(socket?.readyState, 2);
  assert.equal(desk.client.state, 'reconnecting');
  await desk.pass(600_000);
  assert.equal(desk.sockets.length, 1, 'nothing is tried meanwhile');
  await desk.browser('pageshow', { persisted: true });
  await desk.pass(10);
  assert.equal(desk.last('subscribe').after, 0);
  await desk.answer();
  assert.equal(desk.client.state, 'online');
});

test('a clock that is set back delays neither an ack nor a return', async () => {
  const desk = new Desk();
  await desk.enter();
  const sending = desk.client.send('c', 'Hello');
  desk.computer.skew.wall -= 1e10;
  await desk.pass(1_000);
  await desk.say({ type: 'ack', id: sending.id, channel: 'c', seq: 1, time: 1, duplicate: false });
  assert.equal((await sending.stored).seq, 1);
  // With the clock ahead of its end, or long before it, a drain is waited for as long as was asked.
  await desk.say({ type: 'reconnect', after_ms: 5_000 });
  desk.computer.skew.wall -= 1e10;
  await desk.end(1001);
  await desk.pass(5_100);
  assert.equal(desk.sockets.length, 2);
});

test('an answer that never comes ends the connection, though other frames do come', async () => {
  const desk = new Desk();
  await desk.enter();
  const waiting = desk.client.history('c', 10);
  waiting.catch(() => {});
  for (let second = 0; second < 130; second += 5) {
    await desk.say({ type: 'typing', channel: 'c', uid: 'other' });
    await desk.pass(5_000);
  }
  await assert.rejects(waiting, { code: 'unavailable' });
  assert.equal(desk.sockets.length, 2);
});

test('silence ends a connection only while an answer is awaited', async () => {
  const desk = new Desk({ idleCheckMs: 60_000 });
  await desk.enter();
  await desk.pass(44_000);
  assert.equal(desk.frames('subscribe').length, 1);
  for (let waited = 0; desk.frames('subscribe').length === 1 && waited < 31; waited += 1) await desk.pass(1_000);
  assert.equal(desk.last('subscribe').after, 0, 'the client has asked');
  await desk.pass(8_000);
  assert.equal(desk.client.state, 'online');
  await desk.pass(2_000);
  assert.equal(desk.client.state, 'reconnecting');
});

test('every socket offers the version of the protocol that the client speaks', async () => {
  /** @type {unknown[][]} */
  const offered = [];
  const desk = new Desk({
    WebSocket: class extends SimulatedSocket {
      /** @param {unknown[]} given */
      constructor(...given) {
        super(() => ({ sent: () => {}, closed: () => {} }));
        offered.push(given);
      }
    },
  });
  desk.client.subscribe({ channel: 'c', uid: 'me', secret: 's' }).catch(() => {});
  await desk.pass(10);
  assert.deepEqual(offered, [['wss://chat.example.org/connect', 'goch.v1']]);
  desk.client.close();
});

test('a client needs an address and a WebSocket', () => {
  const { WebSocket } = globalThis;
  // @ts-expect-error: Node from 22 on has one.
  delete globalThis.WebSocket;
  try {
    assert.throws(() => new ChatClient({ url: 'https://chat.example.org/connect' }), { code: 'bad_request' });
  } finally {
    if (WebSocket) globalThis.WebSocket = WebSocket;
  }
  const OneOfItsOwn = /** @type {any} */ (class {});
  assert.throws(() => new ChatClient({ url: '::', WebSocket: OneOfItsOwn }), { code: 'bad_request' });
});
