// A long list of channels that are watched, and a server that takes so many in a second.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Desk } from './desk.js';

const CHANNELS = 1_000;

/** How often a server refuses something within a minute before it closes the socket for good. */
const REFUSALS_MAX = 100;

/** A desk whose server counts each channel of a `watch` as a frame, and takes a frame whole or not at all. */
class BusyDesk extends Desk {
  counted = new Set();
  refused = 0;
  #perSecond;
  #credit;
  #at = 0;
  #answered = 0;

  /** @param {number} perSecond */
  constructor(perSecond) {
    super({ idleCheckMs: 1e9 });
    this.#perSecond = perSecond;
    this.#credit = perSecond;
  }

  /** @param {number} ms */
  async serve(ms) {
    const end = this.time.now + ms;
    while (this.time.now < end) {
      await this.pass(100);
      for (; this.#answered < this.written.length; this.#answered += 1) await this.#take(this.written[this.#answered]);
    }
  }

  /** @param {any} frame */
  async #take({ type, id, channels, socket }) {
    if (type !== 'watch' || socket !== this.sockets.length - 1) return;
    const gained = ((this.time.now - this.#at) * this.#perSecond) / 1_000;
    this.#credit = Math.min(this.#perSecond, this.#credit + gained);
    this.#at = this.time.now;
    if (channels.length > this.#credit) {
      this.refused += 1;
      return this.say({ type: 'error', id, code: 'rate_limited', message: 'too many frames from this socket' });
    }
    this.#credit -= channels.length;
    for (const { channel } of channels) {
      this.counted.add(channel);
      await this.say({ type: 'unread', id, channel, count: 1 });
    }
  }
}

/** @param {BusyDesk} desk */
function watchAll(desk) {
  for (let index = 0; index < CHANNELS; index += 1) {
    desk.client.watch({ channel: `c${index}`, uid: 'me', secret: 's' }).catch(() => {});
  }
}

test('a thousand channels are counted within seconds, at first and after each reconnect, and none is refused', async () => {
  const desk = new BusyDesk(100);
  watchAll(desk);
  for (let round = 0; round < 2; round += 1) {
    await desk.serve(15_000);
    assert.equal(desk.counted.size, CHANNELS);
    assert.equal(desk.refused, 0);
    desk.counted.clear();
    await desk.end(1006);
  }
});

test('a server that takes fewer is asked more slowly, and has no reason to close the socket', async () => {
  const desk = new BusyDesk(60);
  watchAll(desk);
  await desk.serve(60_000);
  assert.equal(desk.counted.size, CHANNELS);
  assert.ok(desk.refused > 0 && desk.refused < REFUSALS_MAX, `refused ${desk.refused} times`);
});

test('a list that is short is asked for at once', async () => {
  const desk = new BusyDesk(100);
  for (let index = 0; index < 60; index += 1) {
    desk.client.watch({ channel: `c${index}`, uid: 'me', secret: 's' }).catch(() => {});
  }
  await desk.serve(300);
  assert.equal(desk.counted.size, 60);
  assert.deepEqual(desk.frames('watch').map(({ channels }) => channels.length), [50, 10]);
});
