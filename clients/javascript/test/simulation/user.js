// Somebody who uses a client, and what he was told: held against the truth in the end.

import { ChatClient } from '../../src/index.js';
import { Computer } from './time.js';

/**
 * @import { ChannelEvent } from '../../src/types.js'
 * @import { Chance } from './chance.js'
 * @import { Server } from './server.js'
 * @import { Disk } from './storage.js'
 * @import { Time } from './time.js'
 *
 * @typedef {object} Life a channel from its subscribe on
 * @property {string} channel
 * @property {ChannelEvent[]} events
 * @property {{ after: number, before: number }[]} gaps
 * @property {boolean} isOver
 *
 * @typedef {object} Sent
 * @property {string} channel
 * @property {string} text
 * @property {string} id
 * @property {'pending' | 'stored' | 'failed'} outcome
 * @property {number} seq
 */

/** One browser, whose page may be loaded again. */
export class User {
  #time;
  #chance;
  #server;
  #disk;
  #options;
  /** @type {Life[]} */
  lives = [];
  /** @type {Sent[]} by page */
  sent = [];
  /** @type {Map<string, Sent['outcome'] | 'sent'>} the last that `outgoing` said of each id */
  outgoing = new Map();
  /** @type {Map<string, number>} */
  unread = new Map();
  /** @type {Set<string>} */
  watched = new Set();
  /** @type {string[]} what should not have happened */
  surprises = [];
  /** Whether listeners call methods. */
  meddles = true;

  /** @param {Time} time @param {Chance} chance @param {Server} server @param {Disk | undefined} disk @param {object} options */
  constructor(time, chance, server, disk, options) {
    this.#time = time;
    this.#chance = chance;
    this.#server = server;
    this.#disk = disk;
    this.#options = options;
    this.computer = new Computer(time, chance);
    this.client = this.#newClient();
  }

  /** The page is loaded again. */
  load() {
    this.computer.end();
    const { wall } = this.computer.skew;
    this.computer = new Computer(this.#time, this.#chance);
    this.computer.skew = { steady: this.#chance.between(-1e6, 1e6), wall };
    for (const life of this.lives) life.isOver = true;
    // Whoever waited for those has gone with the page.
    for (const one of this.sent) if (one.outcome === 'pending') one.outcome = 'failed';
    this.watched.clear();
    this.unread.clear();
    this.client = this.#newClient();
  }

  #newClient() {
    const client = new ChatClient({
      url: 'https://chat.example.org/connect',
      WebSocket: this.#server.WebSocket,
      getToken: () => this.#getToken(),
      ...(this.#disk && { storage: this.#disk.storage(this.computer) }),
      ...this.#options,
    }, this.computer.world);
    this.#listen(client);
    return client;
  }

  /** @param {string} channel */
  subscribe(channel) {
    if (this.life(channel)) return;
    this.lives.push({ channel, events: [], gaps: [], isOver: false });
    this.client.subscribe(this.#credentials(channel)).catch(() => {});
  }

  /** By token or by secret. @param {string} channel */
  #credentials(channel) {
    return this.#chance.is(0.5) ? { channel } : { channel, uid: 'me', secret: 's' };
  }

  /** @param {string} channel */
  unsubscribe(channel) {
    const life = this.life(channel);
    if (life) life.isOver = true;
    this.client.unsubscribe(channel);
  }

  /** @param {string} channel */
  watch(channel) {
    this.watched.add(channel);
    this.client.watch(this.#credentials(channel)).catch(() => {});
  }

  /** @param {string} channel */
  unwatch(channel) {
    this.watched.delete(channel);
    this.unread.delete(channel);
    this.client.unwatch(channel);
  }

  close() {
    for (const life of this.lives) life.isOver = true;
    this.watched.clear();
    this.unread.clear();
    this.client.close();
  }

  /** @param {string} channel @param {string} text */
  send(channel, text) {
    if (!this.life(channel)) return;
    try {
      this.#note(channel, text, this.client.send(channel, text));
    } catch (error) {
      if (/** @type {any} */ (error).code !== 'outbox_full') this.surprises.push(String(error));
    }
  }

  /** @param {string} channel */
  retry(channel) {
    const failed = this.client.outgoing(channel).filter(({ status }) => status === 'failed');
    if (failed.length === 0) return;
    const { id, text } = this.#chance.pick(failed);
    if (this.#chance.is(0.3)) return this.client.discard(id);
    this.#note(channel, text, this.client.retry(id));
  }

  /** @param {string} channel */
  life(channel) {
    return this.lives.find((life) => life.channel === channel && !life.isOver);
  }

  /** @param {string} channel @param {string} text @param {import('../../src/types.js').Outgoing} outgoing */
  #note(channel, text, { id, stored }) {
    const computer = this.computer;
    /** @type {Sent} */
    const sent = { channel, text, id, outcome: 'pending', seq: 0 };
    this.sent.push(sent);
    const settle = (/** @type {Sent['outcome']} */ outcome, seq = 0) => {
      if (computer !== this.computer) return;
      if (sent.outcome !== 'pending') this.surprises.push(`${id} was settled twice`);
      Object.assign(sent, { outcome, seq });
    };
    stored.then(({ seq }) => settle('stored', seq), () => settle('failed'));
  }

  async #getToken() {
    if (this.#chance.is(this.#server.hostility.fail)) throw new Error('nobody is logged in');
    if (this.#chance.is(this.#server.hostility.mute)) return new Promise(() => {});
    return `token-${this.#chance.between(1, 1e6)}`;
  }

  /** @param {ChatClient} client */
  #listen(client) {
    const isCurrent = () => client === this.client;
    client.addEventListener('events', ({ detail }) => {
      if (!isCurrent()) return;
      const life = this.life(detail.channel);
      if (!life) return void this.surprises.push(`events of ${detail.channel}, which was left`);
      life.events.push(...detail.events);
      this.#meddle(detail.channel);
    });
    client.addEventListener('gap', ({ detail: { channel, after, before } }) => {
      if (!isCurrent()) return;
      this.life(channel)?.gaps.push({ after, before });
      this.#meddle(channel);
    });
    client.addEventListener('unread', ({ detail: { channel, count } }) => {
      if (isCurrent()) this.unread.set(channel, count);
    });
    client.addEventListener('outgoing', ({ detail }) => {
      if (isCurrent()) this.outgoing.set(detail.id, detail.status);
    });
    client.addEventListener('refused', ({ detail }) => this.surprises.push(`refused: ${detail.error.code}`));
    client.addEventListener('state', ({ detail }) => {
      if (detail.code !== undefined) this.surprises.push(`closed for good by ${detail.code} ${detail.reason}`);
      if (isCurrent() && detail.state === 'reconnecting') this.#meddle('a');
    });
  }

  /** A listener that calls methods. @param {string} channel */
  #meddle(channel) {
    if (!this.meddles || !this.#chance.is(0.02)) return;
    const act = this.#chance.pick([
      () => this.unsubscribe(channel),
      () => this.close(),
      () => this.client.check(),
      () => this.client.connect(),
      () => this.send(channel, `meddled ${this.#chance.between(1, 1e9)}`),
      () => {
        this.unsubscribe(channel);
        this.subscribe(channel);
      },
    ]);
    act();
  }
}
