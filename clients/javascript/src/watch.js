// The channels whose unread messages are counted.

import { Repeater } from './backoff.js';
import { leaveChannel } from './channel.js';
import { deferred } from './deferred.js';
import { isTemporary } from './error.js';
import { Pace } from './pace.js';

/**
 * @import { Connection } from './connection.js'
 * @import { Deferred } from './deferred.js'
 * @import { ChatError } from './error.js'
 * @import { Emitter } from './events.js'
 * @import { Settings } from './settings.js'
 * @import { Tokens } from './token.js'
 * @import { Credentials } from './types.js'
 * @import { World } from './world.js'
 *
 * @typedef {object} Watch
 * @property {Credentials} credentials
 * @property {boolean} isLive counted on this connection
 * @property {{ id?: string, token?: string | undefined } | undefined} asked the `watch` on its way; without an id while
 *   it waits for a token
 * @property {boolean} hasRetriedToken whether the token at hand was refused, and another one is tried
 * @property {Repeater} repeater
 * @property {Deferred<number>} first settles with the first count
 *
 * @typedef {object} Parts what watches work with
 * @property {World} world
 * @property {Settings} settings
 * @property {Connection} connection
 * @property {Tokens} tokens
 * @property {Emitter} emitter
 * @property {(channel: string) => boolean} isSubscribed
 * @property {(channel: string, error: ChatError) => void} refused it is given up
 */

/**
 * Channels of one `watch` frame, and about how many characters of it. A frame is taken whole or not at all, so it is
 * to cost no more than half of what a server takes in a second.
 */
const WATCH_CHANNELS = 50;
const WATCH_LENGTH = 16_000;

/** All watches of a client. */
export class Watches {
  #parts;
  /** @type {Map<string, Watch>} */
  #watches = new Map();
  #pace;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#pace = new Pace(parts.world);
  }

  get size() {
    return this.#watches.size;
  }

  /** Whether any is by token. */
  get hasToken() {
    return [...this.#watches.values()].some((watch) => !hasSecret(watch));
  }

  /** The names of the channels. */
  get names() {
    return [...this.#watches.keys()];
  }

  /** @param {string} channel */
  get(channel) {
    return this.#watches.get(channel);
  }

  /** @param {Credentials} credentials @returns {Watch} */
  add(credentials) {
    const repeater = new Repeater(this.#parts.world, this.#parts.settings.backoffMaxMs);
    /** @type {Watch} */
    const watch = {
      credentials,
      isLive: false,
      asked: undefined,
      hasRetriedToken: false,
      repeater,
      first: deferred(),
    };
    this.#watches.set(credentials.channel, watch);
    // A list of chats becomes one frame.
    queueMicrotask(() => this.ask());
    return watch;
  }

  /** Nobody wants it any more. @param {string} channel @param {ChatError} error for whoever waits for a count */
  remove(channel, error) {
    const watch = this.#watches.get(channel);
    if (!watch) return;
    this.#watches.delete(channel);
    watch.repeater.cancel();
    watch.first.reject(error);
    // Others may have waited to hear what becomes of its token.
    this.ask();
    // Of a channel that is subscribed too this would end the subscription: see `unread`.
    if (watch.isLive && !this.#parts.isSubscribed(channel)) leaveChannel(this.#parts.connection, channel);
  }

  /** Asks for the counts of all channels that have none on this connection. */
  ask() {
    if (!this.#parts.connection.isReady || this.#pace.isPausing) return;
    const waiting = [...this.#watches.values()].filter(
      ({ isLive, asked, repeater }) => !isLive && !asked && !repeater.isWaiting,
    );
    this.#write(waiting.filter(hasSecret));
    const others = waiting.filter((watch) => !hasSecret(watch));
    if (others.length === 0 || this.#isProving) return;
    for (const watch of others) watch.asked = {};
    // By then there may be others: one frame for all of them.
    const undecided = () => [...this.#watches.values()].filter(({ asked }) => asked && asked.id === undefined);
    this.#parts.tokens.use(
      (token) => this.#writeByToken(undecided(), token),
      (error) => undecided().forEach((watch) => this.#failed(watch, error)),
    );
  }

  /** Whether a token has been written that the server may not take. */
  get #isProving() {
    const { tokens } = this.#parts;
    return [...this.#watches.values()].some(({ asked }) => (
      asked?.token !== undefined && !tokens.isAccepted(asked.token)
    ));
  }

  /**
   * One channel goes first: a token that has ended is refused for each channel that is asked for with it, and who is
   * refused so often is closed for good.
   *
   * @param {Watch[]} watches
   * @param {string} token
   */
  #writeByToken(watches, token) {
    if (this.#parts.tokens.isAccepted(token)) return this.#write(watches, token);
    for (const watch of watches.slice(1)) watch.asked = undefined;
    this.#write(watches.slice(0, 1), token);
  }

  /** Asks for one count again. @returns {boolean} whether there is one to ask for */
  check() {
    const watch = [...this.#watches.values()].find(({ isLive }) => isLive);
    if (!watch) return false;
    watch.isLive = false;
    this.ask();
    return true;
  }

  /** A count was told. @param {{ id?: string, channel: string, count: number }} frame */
  unread({ id, channel, count }) {
    const { connection, emitter, isSubscribed } = this.#parts;
    const watch = this.#watches.get(channel);
    // It was watched beside a subscription, which has ended since.
    if (!watch && !isSubscribed(channel)) leaveChannel(connection, channel);
    if (!watch) return;
    if (id !== undefined && watch.asked?.id === id) this.#counted(id, watch);
    watch.first.resolve(count);
    emitter.emit('unread', { channel, count }, () => this.#watches.get(channel) === watch);
  }

  /** It is counted from now on. @param {string} id of the `watch` @param {Watch} watch */
  #counted(id, watch) {
    const { connection, tokens } = this.#parts;
    const token = watch.asked?.token;
    Object.assign(watch, { isLive: true, asked: undefined, hasRetriedToken: false });
    watch.repeater.succeeded();
    connection.welcomed();
    this.#expectRest(id);
    if (token === undefined) return;
    tokens.accepted(token);
    // Also if a subscribe has shown meanwhile that the token is good: those who waited do not know.
    this.ask();
  }

  /**
   * @param {string | undefined} id
   * @param {string | undefined} channel the one at fault, of those that were asked for with the id
   * @param {ChatError} error
   * @returns {boolean} whether it is about a watch
   */
  failed(id, channel, error) {
    const failed = [...this.#watches.values()].filter(({ asked, credentials }) => (
      id !== undefined && asked?.id === id && credentials.channel === (channel ?? credentials.channel)
    ));
    if (failed.length === 0) return false;
    // The frame as a whole was too much: what it asked for comes later, and nothing else before.
    if (error.code === 'rate_limited' && channel === undefined) {
      for (const watch of failed) watch.asked = undefined;
      this.#pace.refused(() => this.ask());
      return true;
    }
    for (const watch of failed) this.#failed(watch, error);
    this.#expectRest(id);
    return true;
  }

  /** The connection has ended. */
  disconnected() {
    this.#pace.cancel();
    for (const watch of this.#watches.values()) {
      watch.repeater.cancel();
      Object.assign(watch, { isLive: false, asked: undefined });
    }
  }

  /**
   * Writes as many frames as it takes; of a long list some now and the others by and by.
   *
   * @param {Watch[]} wanted
   * @param {string} [token]
   */
  #write(wanted, token) {
    const { connection } = this.#parts;
    if (!connection.isReady) return;
    const watches = wanted.slice(0, this.#pace.isPausing ? 0 : this.#pace.take(wanted.length));
    const later = wanted.slice(watches.length);
    for (const watch of later) watch.asked = undefined;
    if (later.length > 0) this.#pace.pause(() => this.ask());
    let [id, channels, length] = [connection.nextId(), /** @type {object[]} */ ([]), 0];
    const write = () => {
      connection.ask({ type: 'watch', id, channels });
      [id, channels, length] = [connection.nextId(), [], 0];
    };
    for (const watch of watches) {
      const { credentials } = watch;
      const who = token === undefined ? credentials : { channel: credentials.channel, token };
      watch.asked = { id, token };
      channels.push(who);
      length += JSON.stringify(who).length;
      if (channels.length === WATCH_CHANNELS || length >= WATCH_LENGTH) write();
    }
    if (channels.length > 0) write();
  }

  /** Each channel of a frame is answered by itself. @param {string | undefined} id */
  #expectRest(id) {
    if (id === undefined) return;
    const isWaiting = [...this.#watches.values()].some(({ asked }) => asked?.id === id);
    if (isWaiting) this.#parts.connection.expectMore(id);
  }

  /** @param {Watch} watch @param {ChatError} error */
  #failed(watch, error) {
    const token = watch.asked?.token;
    watch.asked = undefined;
    if (error.code === 'unauthorized' && token !== undefined && !watch.hasRetriedToken) {
      watch.hasRetriedToken = true;
      this.#parts.tokens.refused(token);
      return this.ask();
    }
    if (!isTemporary(error)) return this.#parts.refused(watch.credentials.channel, error);
    watch.repeater.later(() => this.ask());
    // Others may have waited to hear what becomes of its token.
    if (token !== undefined) this.ask();
  }
}

/** @param {Watch} watch */
function hasSecret({ credentials }) {
  return credentials.secret !== undefined;
}
