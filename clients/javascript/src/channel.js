// One subscribed channel: asked for, caught up, left; over any number of connections.

import { deferred } from './deferred.js';
import { Order } from './order.js';
import { Repeater } from './backoff.js';
import { isTemporary } from './error.js';

/**
 * @import { Connection } from './connection.js'
 * @import { ChatError } from './error.js'
 * @import { Emitter } from './events.js'
 * @import { Gate } from './gate.js'
 * @import { Deferred } from './deferred.js'
 * @import { Outcome } from './order.js'
 * @import { Settings } from './settings.js'
 * @import { Tokens } from './token.js'
 * @import { ChannelEvent, Credentials, Online, Subscribed } from './types.js'
 * @import { Timer, World } from './world.js'
 *
 * @typedef {object} Parts what a channel works with
 * @property {World} world
 * @property {Settings} settings
 * @property {Connection} connection
 * @property {Tokens} tokens
 * @property {Emitter} emitter
 * @property {Gate<Channel>} gate of the subscribes on their way
 * @property {(event: ChannelEvent, credentials: Credentials) => void} delivered an event was handed out
 * @property {(channel: Channel) => void} live it is caught up
 * @property {(channel: Channel, error: ChatError) => void} refused it is given up
 *
 * @typedef {{ id: string, channel: string, uid: string, messages: unknown, more?: boolean, last_seq: number, unread?: number,
 *   online?: Online[] }} SubscribedFrame
 */

/** The least time between two read positions of a channel: each counts against the server's limit of frames. */
const READ_INTERVAL_MS = 100;

/** A channel that the user of the client wants, and how far it has been read. */
export class Channel {
  credentials;
  #parts;
  #order = new Order();
  /** @type {{ id: string, isCheck: boolean, isWritten?: boolean, isFirst?: boolean, token?: string | undefined }
   *   | undefined} the subscribe on its way, or waiting for those that are; `isFirst` if it asks for the first page */
  #asked;
  /** Whether there are events older than the first page. */
  #hasOlder = false;
  /** Whether the server has us subscribed, on this connection. */
  #isThere = false;
  #isLeft = false;
  /** Whether the token at hand was refused, and another one is tried. */
  #hasRetriedToken = false;
  #repeater;
  /** @type {Map<string, string> | undefined} the others who are there, with their roles, if the server tells */
  #online;
  /** @type {Deferred<Subscribed>} settles with the first page */
  #first = deferred();
  /** The read position: wanted, written on this connection, known to be stored. */
  #read = { wanted: 0, written: 0, stored: 0 };
  /** @type {Timer | undefined} until the read position may be written again */
  #readTimer;

  /** @param {Credentials} credentials @param {Parts} parts */
  constructor(credentials, parts) {
    this.credentials = credentials;
    this.#parts = parts;
    this.#repeater = new Repeater(parts.world, parts.settings.backoffMaxMs);
  }

  /** The channel's name. */
  get name() {
    return this.credentials.channel;
  }

  /** Caught up on this connection. */
  get isLive() {
    return this.#order.isLive;
  }

  /** Whether a subscribe is on its way, or waits to be. */
  get isAsking() {
    return this.#asked !== undefined;
  }

  /** Rejects with a `ChatError` if the server refuses. */
  get first() {
    return this.#first.promise;
  }

  /** @param {string | undefined} id */
  hasAsked(id) {
    return id !== undefined && this.#asked?.id === id;
  }

  /**
   * Asks for the first page, or for what came after the last event that we have. A repeated subscribe is how a hole
   * is closed and how a further page is asked for. As a mere check it holds nothing up.
   *
   * @param {{ isCheck?: boolean }} [how]
   */
  ask({ isCheck = false } = {}) {
    const { connection, gate, tokens } = this.#parts;
    this.#repeater.cancel();
    if (!isCheck) this.#order.distrust();
    if (!connection.isReady) return;
    const { channel, secret } = this.credentials;
    const id = connection.nextId();
    this.#asked = { id, isCheck };
    gate.enter(this, () => {
      if (secret !== undefined) return this.#write(id, this.credentials);
      tokens.use(
        (token) => this.hasAsked(id) && this.#write(id, { channel, token }),
        (error) => this.hasAsked(id) && this.failed(error),
      );
    });
  }

  /** @param {string} id @param {Credentials & { token?: string }} who */
  #write(id, who) {
    const { connection, settings } = this.#parts;
    // The server may have asked us to leave while a token was on its way.
    if (!this.#asked || !connection.isReady) return;
    this.#asked.token = who.token;
    this.#asked.isWritten = true;
    const after = this.#order.ask();
    this.#asked.isFirst = after === undefined;
    connection.ask({ type: 'subscribe', id, ...who, after, limit: settings.pageSize });
  }

  /** The answer. @param {SubscribedFrame} frame */
  subscribed(frame) {
    const { connection, tokens } = this.#parts;
    const { isFirst, token } = this.#asked ?? {};
    this.#answered();
    if (token !== undefined) tokens.accepted(token);
    this.#isThere = true;
    this.#hasRetriedToken = false;
    const online = Array.isArray(frame.online) ? frame.online : undefined;
    this.#showPresence(online && new Map(online.map(({ uid, role }) => [uid, role])));
    const more = frame.more === true;
    if (isFirst) this.#hasOlder = more;
    const outcome = this.#order.page({ messages: frame.messages, more, lastSeq: frame.last_seq });
    if (outcome.next === 'astray') {
      this.#deliver(outcome);
      return this.#repeater.later(() => this.ask());
    }
    this.#repeater.succeeded();
    this.#follow(outcome);
    if (!this.#order.isLive) return;
    connection.welcomed();
    this.#first.resolve({ channel: this.name, uid: frame.uid, more: this.#hasOlder, unread: frame.unread });
    if (this.#readTimer === undefined) this.writeRead();
    this.#parts.live(this);
  }

  /** The subscribe has failed. @param {ChatError} error */
  failed(error) {
    const { tokens } = this.#parts;
    const { isCheck = false, token } = this.#asked ?? {};
    // It has ended, or was signed before the user was let in: another one may do what this one did not.
    const mayRetry = error.code === 'unauthorized' && token !== undefined && !this.#hasRetriedToken;
    // Before the next channel is let through the gate with it.
    if (mayRetry) tokens.refused(token);
    this.#answered();
    if (mayRetry) {
      this.#hasRetriedToken = true;
      return this.ask({ isCheck });
    }
    if (!isTemporary(error)) return this.#parts.refused(this, error);
    if (!isCheck) this.#repeater.later(() => this.ask());
  }

  /** The server says that we are not subscribed. */
  astray() {
    if (!this.#asked) return this.ask();
    // A mere check would not be repeated if it failed.
    this.#asked.isCheck = false;
    this.#order.distrust();
  }

  /** A live event. @param {ChannelEvent} event */
  live(event) {
    this.#follow(this.#order.live(event));
  }

  /** @param {{ uid: string, role: string, online: boolean }} frame */
  presence({ uid, role, online }) {
    const members = new Map(this.#online);
    if (online) members.set(uid, role);
    else members.delete(uid);
    this.#showPresence(members);
  }

  /** Moves the read position, soon or as soon as we are caught up. @param {number} seq */
  read(seq) {
    if (!(seq > this.#read.wanted)) return;
    this.#read.wanted = seq;
    if (this.#readTimer === undefined) this.writeRead();
  }

  /** Writes the read position if it has moved, and then no other for a while. */
  writeRead() {
    const { connection, world } = this.#parts;
    const { wanted, written, stored } = this.#read;
    if (!this.isLive || wanted <= Math.max(written, stored)) return;
    if (!connection.write({ type: 'read', channel: this.name, seq: wanted })) return;
    this.#read.written = wanted;
    this.#stopReadTimer();
    this.#readTimer = world.setTimer(() => {
      this.#readTimer = undefined;
      this.writeRead();
    }, READ_INTERVAL_MS);
  }

  /** A position was stored. @param {string} uid @param {number} seq */
  wasRead(uid, seq) {
    if (uid === this.credentials.uid) this.#read.stored = Math.max(this.#read.stored, seq);
  }

  /** The connection has ended. */
  disconnected() {
    this.#asked = undefined;
    this.#isThere = false;
    this.#read.written = 0;
    this.#stopReadTimer();
    this.#repeater.cancel();
    this.#order.disconnected();
  }

  /**
   * Nobody wants it any more.
   *
   * @param {ChatError} error for whoever waits for the first page
   * @returns {string | undefined} the subscribe on its way, if its answer will say whether there is anything to leave:
   *   an `unsubscribe` would end a watch of the channel if that subscribe were refused
   */
  leave(error) {
    const { connection } = this.#parts;
    const asked = this.#asked;
    this.#isLeft = true;
    this.#repeater.cancel();
    this.writeRead();
    this.#stopReadTimer();
    if (asked) connection.giveUp(asked.id);
    this.#answered();
    this.#first.reject(error);
    if (!this.#isThere) return asked?.isWritten ? asked.id : undefined;
    leaveChannel(connection, this.name);
    return undefined;
  }

  #answered() {
    this.#asked = undefined;
    this.#parts.gate.leave(this);
  }

  /** @param {Outcome} outcome */
  #follow(outcome) {
    this.#deliver(outcome);
    if (outcome.next === 'ask') this.ask();
  }

  /** @param {Outcome} outcome */
  #deliver({ deliveries }) {
    const { emitter, delivered } = this.#parts;
    const isWanted = () => !this.#isLeft;
    for (const delivery of deliveries) {
      if ('gap' in delivery) emitter.emit('gap', { channel: this.name, ...delivery.gap }, isWanted);
      else emitter.emit('events', { channel: this.name, events: delivery.events }, isWanted);
    }
    for (const delivery of deliveries) {
      if ('events' in delivery) delivery.events.forEach((event) => delivered(event, this.credentials));
    }
  }

  /** @param {Map<string, string> | undefined} online */
  #showPresence(online) {
    this.#online = online;
    const members = online && Array.from(online, ([uid, role]) => ({ uid, role }));
    this.#parts.emitter.emit('presence', { channel: this.name, members }, () => !this.#isLeft);
  }

  #stopReadTimer() {
    this.#parts.world.clearTimer(this.#readTimer);
    this.#readTimer = undefined;
  }
}

/**
 * Tells the server, whose answer does not matter: it may have ended the channel already.
 *
 * @param {Connection} connection
 * @param {string} channel
 */
export function leaveChannel(connection, channel) {
  connection.request({ type: 'unsubscribe', id: connection.nextId(), channel }).catch(() => {});
}
