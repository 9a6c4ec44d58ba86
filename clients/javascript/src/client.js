// The client, as its user sees it.

import { ChatError } from './error.js';
import { randomId } from './id.js';
import { inOrder } from './order.js';
import { Session } from './session.js';
import { realWorld } from './world.js';

/**
 * @import { ChatEvent, EventType } from './events.js'
 * @import {
 *   ChannelEvent, Credentials, Meta, Options, Outgoing, OutgoingChange, State, Stored, Subscribed
 * } from './types.js'
 *
 * @typedef {Parameters<EventTarget['addEventListener']>[2]} ListenerOptions
 */

/**
 * One connection, any number of channels. It connects with the first `subscribe` or `watch` and stays connected until
 * `close`, the last `unsubscribe` or `unwatch`, or the server's last word. Its listeners are given every event of a
 * channel once and in order, over any number of reconnects; what is sent waits in an outbox until the server says
 * that it is stored. `EventDetails` lists its events. Listeners are called after the method or frame that caused the
 * event is done with, and may call any method.
 */
export class ChatClient extends EventTarget {
  #session;

  /**
   * @param {Options} options
   * @param {import('./world.js').World} [world] clocks and chance, which tests hold
   * @throws {ChatError} `bad_request` if the address is none, or if there is no WebSocket here
   */
  constructor(options, world = realWorld()) {
    super();
    this.#session = new Session(options, world, (event) => this.dispatchEvent(event));
  }

  /** @returns {State} */
  get state() {
    return this.#session.connection.state;
  }

  /**
   * @template {EventType} T
   * @overload
   * @param {T} type
   * @param {((event: ChatEvent<T>) => void) | null} listener
   * @param {ListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @overload
   * @param {string} type
   * @param {Parameters<EventTarget['addEventListener']>[1]} listener
   * @param {ListenerOptions} [options]
   * @returns {void}
   */
  /** @param {string} type @param {any} listener @param {ListenerOptions} [options] */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
  }

  /**
   * Subscribes to a channel and stays subscribed over reconnects. The first page arrives as an `events` event before
   * the promise resolves.
   *
   * @param {Credentials} credentials
   * @returns {Promise<Subscribed>} rejects with a `ChatError` if the server refuses
   */
  subscribe({ channel, uid, secret }) {
    const { channels, connection, tokens } = this.#session;
    const fault = tokens.lacking(secret);
    if (fault) return Promise.reject(fault);
    const known = channels.get(channel);
    if (known && !isSame(known.credentials, { channel, uid, secret })) return Promise.reject(somebodyElse(channel));
    if (known) return known.first;
    const added = channels.add(credentialsOf(channel, uid, secret));
    connection.ensure();
    added.ask();
    return added.first;
  }

  /**
   * Leaves a channel. Its unsent messages fail. The connection is closed with the last channel.
   *
   * @param {string} channel
   */
  unsubscribe(channel) {
    if (!this.#session.channels.get(channel)) return;
    this.#session.leave(channel, new ChatError('closed', 'The channel was left.'));
    this.#session.closeIfIdle();
  }

  /**
   * Counts what a member has not read in a channel, whether or not it is subscribed: an `unread` event tells it now,
   * and at each change, over reconnects.
   *
   * @param {Credentials} credentials
   * @returns {Promise<number>} the count now; rejects with a `ChatError` if the server refuses
   */
  watch({ channel, uid, secret }) {
    const { connection, tokens, watches } = this.#session;
    const fault = tokens.lacking(secret);
    if (fault) return Promise.reject(fault);
    const known = watches.get(channel);
    if (known && !isSame(known.credentials, { channel, uid, secret })) return Promise.reject(somebodyElse(channel));
    if (known) return known.first.promise;
    const added = watches.add(credentialsOf(channel, uid, secret));
    connection.ensure();
    return added.first.promise;
  }

  /**
   * Counts a channel's unread messages no more.
   *
   * @param {string} channel
   */
  unwatch(channel) {
    if (!this.#session.watches.get(channel)) return;
    this.#session.unwatch(channel, new ChatError('closed', 'The channel is not watched any more.'));
    this.#session.closeIfIdle();
  }

  /**
   * Sends a message, now or as soon as there is a connection. Messages of one channel go out one after the other, so
   * that their order is kept. A message that the server may have, and has not acknowledged within its deduplication
   * window, fails: it could be stored twice.
   *
   * @param {string} channel one that is subscribed
   * @param {string} text
   * @param {Meta} [meta]
   * @returns {Outgoing}
   * @throws {ChatError} `not_subscribed` or `outbox_full`
   */
  send(channel, text, meta) {
    this.#require(channel);
    return this.#session.outbox.send(channel, text, meta);
  }

  /**
   * Sends a failed message again: under its own id while the server would recognise it, so that it cannot be stored
   * twice, else as a new message.
   *
   * @param {string} id
   * @returns {Outgoing} whose id may be another one
   * @throws {ChatError} `bad_request` if no failed message has that id
   */
  retry(id) {
    return this.#session.outbox.retry(id);
  }

  /**
   * Drops a message that has failed, or that an earlier page has left for a channel which is not subscribed.
   *
   * @param {string} id
   */
  discard(id) {
    this.#session.outbox.discard(id);
  }

  /**
   * The messages of a channel that are on their way or have failed, oldest first; those that an earlier page has left
   * included, as soon as the storage has told them.
   *
   * @param {string} channel
   * @returns {OutgoingChange[]}
   */
  outgoing(channel) {
    return this.#session.outbox.list(channel);
  }

  /**
   * Changes what a message of one's own says. Its new text comes to everybody as an `edited` event.
   *
   * @param {string} channel one that is subscribed
   * @param {number} seq of the message
   * @param {string} text
   * @param {Meta} [meta] left out: stays as it is
   * @returns {Promise<Stored>} rejects with a `ChatError`
   */
  edit(channel, seq, text, meta) {
    return this.#revise({ type: 'edit', channel, seq, text, meta });
  }

  /**
   * Withdraws a message of one's own: everybody gets a `deleted` event, and its text is erased.
   *
   * @param {string} channel one that is subscribed
   * @param {number} seq of the message
   * @returns {Promise<Stored>} rejects with a `ChatError`
   */
  delete(channel, seq) {
    return this.#revise({ type: 'delete', channel, seq });
  }

  /**
   * Asks for events older than `before`.
   *
   * @param {string} channel
   * @param {number} before a `seq`
   * @param {number} [limit]
   * @returns {Promise<{ events: ChannelEvent[], more: boolean }>} events rise by `seq`; `more`: older ones remain
   */
  async history(channel, before, limit = this.#session.settings.pageSize) {
    const { connection } = this.#session;
    const answer = await connection.request({ type: 'history', id: connection.nextId(), channel, before, limit });
    return { events: inOrder(answer.messages, 0).filter(({ seq }) => seq < before), more: answer.more === true };
  }

  /**
   * Moves the member's read position, as soon as the channel is caught up. Call it as often as you like: of what comes
   * within a tenth of a second the last is written.
   *
   * @param {string} channel
   * @param {number} seq of the last event that was seen
   */
  read(channel, seq) {
    this.#session.channels.get(channel)?.read(seq);
  }

  /**
   * Tells the others that the member is typing. Best effort; call it every few seconds at most.
   *
   * @param {string} channel
   */
  typing(channel) {
    const { channels, connection } = this.#session;
    if (channels.get(channel)?.isLive) connection.write({ type: 'typing', channel });
  }

  /**
   * Connects now, if there are channels to connect for and no connection, without waiting longer, unless the server
   * has asked for the wait. Rarely needed: `subscribe` connects, and a lost connection comes back by itself.
   */
  connect() {
    this.#session.connection.connect();
  }

  /** Finds out soon whether the connection is alive, and reconnects if it is not. */
  check() {
    this.#session.connection.check();
  }

  /** Leaves all channels and stays away. Their unsent messages fail. */
  close() {
    this.#session.close();
  }

  /** @param {{ type: string, [field: string]: unknown }} frame @returns {Promise<Stored>} */
  async #revise(frame) {
    const { seq, time, duplicate } = await this.#session.connection.request({ ...frame, id: randomId() });
    return { seq, time, duplicate: duplicate === true };
  }

  /** @param {string} channel */
  #require(channel) {
    if (!this.#session.channels.get(channel)) throw new ChatError('not_subscribed', `Not subscribed to ${channel}.`);
  }
}

/** @param {Credentials} one @param {{ channel: string, uid: string | undefined, secret: string | undefined }} other */
function isSame(one, other) {
  return one.uid === other.uid && one.secret === other.secret;
}

/** @param {string} channel @param {string | undefined} uid @param {string | undefined} secret @returns {Credentials} */
function credentialsOf(channel, uid, secret) {
  return { channel, ...(uid !== undefined && { uid }), ...(secret !== undefined && { secret }) };
}

/** @param {string} channel */
function somebodyElse(channel) {
  return new ChatError('bad_request', `Already in ${channel} as somebody else.`);
}
