// A token that has ended: refused once or a few times, not once for each channel.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Desk } from './desk.js';

/** More than a gateway lets a socket guess. @type {string[]} */
const CHANNELS = Array.from({ length: 30 }, (_, index) => `c${index}`);

/** A desk whose server takes one token at a time. */
class TokenDesk extends Desk {
  /** The token that the server takes. */
  good = 'token-1';
  /** Channels that were refused on the socket that is there. */
  refused = 0;
  #answered = 0;

  constructor() {
    let asked = 0;
    super({ getToken: () => `token-${asked += 1}`, idleCheckMs: 1e9 });
  }

  /** Answers everything, until there is nothing more to answer. */
  async serve() {
    for (await this.pass(10); this.#answered < this.written.length; await this.pass(10)) {
      const frame = this.written[this.#answered];
      this.#answered += 1;
      if (frame?.socket !== this.sockets.length - 1) continue;
      if (frame.type === 'watch') await this.#serve(frame.id, frame.channels, 'unread');
      if (frame.type === 'subscribe') await this.#serve(frame.id, [/** @type {any} */ (frame)], 'subscribed');
    }
  }

  /** @param {any} id @param {{ channel: string, token: string }[]} asked @param {string} type */
  async #serve(id, asked, type) {
    for (const { channel, token } of asked) {
      const isGood = token === this.good;
      if (!isGood) this.refused += 1;
      const answer = type === 'unread' ? { count: 1 } : { messages: [], more: false, last_seq: 0 };
      const field = type === 'unread' ? 'channels' : 'token';
      await this.say(isGood
        ? { type, id, channel, ...answer }
        : { type: 'error', id, code: 'unauthorized', message: '', field, ...(type === 'unread' && { channel }) });
    }
  }

  /** The token that the client has ends, and the connection breaks. */
  async expire() {
    this.good = 'token-2';
    this.refused = 0;
    await this.reconnect();
  }
}

test('watches by a token that has ended are refused once, and then all of them are there', async () => {
  const desk = new TokenDesk();
  for (const channel of CHANNELS) desk.client.watch({ channel });
  await desk.serve();
  assert.deepEqual(desk.frames('watch').map(({ channels }) => channels.length), [1, 29]);
  await desk.expire();
  await desk.serve();
  assert.equal(desk.refused, 1);
  assert.deepEqual(desk.frames('watch').map(({ channels }) => channels.length), [1, 1, 29]);
  assert.equal(desk.told('unread').length, 60);
  assert.deepEqual(desk.told('refused'), []);
});

test('what is watched while a token is being tried waits for the outcome', async () => {
  const desk = new TokenDesk();
  desk.client.watch({ channel: 'c' });
  await desk.pass(10);
  for (const channel of CHANNELS) {
    desk.client.watch({ channel });
    await desk.pass(10);
  }
  assert.equal(desk.frames('watch').length, 1);
  await desk.serve();
  assert.deepEqual(desk.frames('watch').map(({ channels }) => channels.length), [1, 30]);
});

test('watches that wait for a token are asked for though a subscribe has proved it first', async () => {
  const desk = new TokenDesk();
  desk.client.subscribe({ channel: 's' });
  for (const channel of CHANNELS) desk.client.watch({ channel });
  await desk.pass(10);
  assert.deepEqual(desk.frames('watch').map(({ channels }) => channels.length), [1]);
  await desk.answer();
  const { id, channels: [{ channel }] } = desk.last('watch');
  await desk.say({ type: 'unread', id, channel, count: 1 });
  await desk.pass(10);
  assert.deepEqual(desk.frames('watch').map(({ channels }) => channels.length), [1, 29]);
});

test('a watch that is given up, fails for a while or is ended holds up none that wait for its token', async () => {
  for (const code of ['unauthorized', 'unavailable', 'left']) {
    const desk = new TokenDesk();
    for (const channel of ['c', 'd', 'e']) desk.client.watch({ channel }).catch(() => {});
    await desk.pass(10);
    for (let attempt = 0; attempt < (code === 'unauthorized' ? 2 : 1); attempt += 1) {
      const { id, channels } = desk.last('watch');
      assert.deepEqual(channels.map((/** @type {any} */ one) => one.channel), ['c']);
      if (code === 'left') desk.client.unwatch('c');
      else await desk.say({ type: 'error', id, code, channel: 'c', message: '', field: 'channels' });
      await desk.pass(10);
    }
    desk.good = code === 'unauthorized' ? 'token-2' : 'token-1';
    const { id, channels } = desk.last('watch');
    assert.deepEqual(channels.map((/** @type {any} */ one) => one.channel), ['d'], code);
    await desk.say({ type: 'unread', id, channel: 'd', count: 1 });
    await desk.pass(10);
    assert.ok(desk.last('watch').channels.some((/** @type {any} */ one) => one.channel === 'e'), code);
  }
});

test('a channel that waited for others is not subscribed with the token that they were refused with', async () => {
  const desk = new TokenDesk();
  for (const channel of CHANNELS) desk.client.subscribe({ channel });
  await desk.serve();
  await desk.expire();
  await desk.serve();
  assert.equal(desk.refused, 4, 'as many as are under way at a time');
  assert.equal(desk.client.state, 'online');
  assert.deepEqual(desk.told('refused'), []);
});
