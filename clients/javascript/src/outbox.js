// Messages on their way: kept until the server has stored them, each stored once, those of a channel in order.

import { Entry } from './entry.js';
import { ChatError, isTemporary } from './error.js';

/**
 * @import { Connection } from './connection.js'
 * @import { Emitter } from './events.js'
 * @import { Keeper } from './keeper.js'
 * @import { Settings } from './settings.js'
 * @import { ChannelEvent, Credentials, Meta, Outgoing, OutgoingChange, StoredMessage } from './types.js'
 * @import { Moment, World } from './world.js'
 *
 * @typedef {object} Parts what an outbox works with
 * @property {World} world
 * @property {Settings} settings
 * @property {Connection} connection
 * @property {Emitter} emitter
 * @property {Keeper | undefined} keeper
 * @property {(channel: string) => boolean} isSubscribed
 * @property {(channel: string) => boolean} isLive whether it is caught up: by then a message whose ack was lost has
 *   shown up in the log
 * @property {(channel: string) => void} astray the server says that it is not subscribed
 *
 * @typedef {{ id: string, seq: number, time: number, duplicate?: boolean }} Ack
 */

/** Answers after which it is certain that the message was not stored. */
const NOT_STORED = new Set(['rate_limited', 'not_subscribed']);

/** The outbox of a client. */
export class Outbox {
  #parts;
  /** @type {Map<string, Entry>} oldest first */
  #entries = new Map();
  /** Whether what an earlier page has left is known: it goes first. */
  #isLoaded;

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#isLoaded = parts.keeper === undefined;
    if (parts.keeper) this.#load(parts.keeper);
  }

  /** @param {string} channel @param {string} text @param {Meta | undefined} meta @returns {Outgoing} */
  send(channel, text, meta) {
    const { isSubscribed, settings, world } = this.#parts;
    // What an earlier page has left for channels that this one does not open is nobody's fault here.
    const counted = [...this.#entries.values()].filter((entry) => isSubscribed(entry.channel));
    if (counted.length >= settings.outboxSize) throw new ChatError('outbox_full', 'Too many messages wait to be sent.');
    const createdAt = world.wallNow();
    return this.#enqueue({
      id: world.randomId(), channel, text, meta, createdAt, writtenAt: undefined, failure: undefined,
    });
  }

  /** @param {string} id @returns {Outgoing} */
  retry(id) {
    const { keeper, world } = this.#parts;
    const entry = this.#entries.get(id);
    if (entry?.status !== 'failed') throw new ChatError('bad_request', 'No failed message has this id.');
    this.#entries.delete(id);
    const message = { ...entry.message, failure: undefined };
    if (entry.resendableMs > 0) return this.#enqueue(message, entry.written);
    keeper?.forget(id);
    const createdAt = world.wallNow();
    return this.#enqueue({ ...message, id: world.randomId(), createdAt, writtenAt: undefined });
  }

  /** @param {string} id */
  discard(id) {
    const entry = this.#entries.get(id);
    if (!entry || (entry.status === 'pending' && this.#parts.isSubscribed(entry.channel))) return;
    entry.settle();
    this.#remove(id);
  }

  /** What is on its way or has failed, oldest first. @param {string} channel @returns {OutgoingChange[]} */
  list(channel) {
    const entries = [...this.#entries.values()].filter((entry) => entry.channel === channel);
    return entries.map((entry) => changeOf(entry, entry.status));
  }

  /** A channel is left or given up: its messages fail, and cannot be tried again. @param {string} channel @param {ChatError} error */
  leave(channel, error) {
    for (const entry of [...this.#entries.values()]) {
      if (entry.channel !== channel) continue;
      this.#remove(entry.id);
      this.#fail(entry, error);
    }
  }

  /** Writes the oldest pending message of each channel that has none in flight. */
  flush() {
    const { connection, isLive } = this.#parts;
    if (!connection.isReady || !this.#isLoaded) return;
    const busy = new Set();
    for (const entry of [...this.#entries.values()]) {
      if (entry.status !== 'pending' || busy.has(entry.channel)) continue;
      busy.add(entry.channel);
      if (!entry.flight && !entry.repeater.isWaiting && isLive(entry.channel)) this.#begin(entry);
    }
  }

  /** @param {Ack} ack */
  acked({ id, seq, time, duplicate }) {
    const entry = this.#entries.get(id);
    if (entry) this.#stored(entry, { seq, time, duplicate: duplicate === true });
  }

  /** A message of ours in the log is stored, even if its ack was lost. @param {ChannelEvent} event @param {Credentials} credentials */
  seen(event, { uid }) {
    if (event.type !== 'message') return;
    const entry = this.#entries.get(event.id);
    // With a token the uid is not known here; ids are random, so one's own are enough.
    if (!entry || entry.channel !== event.channel || (uid !== undefined && event.from_uid !== uid)) return;
    this.#stored(entry, { seq: event.seq, time: event.time, duplicate: false });
  }

  /** @param {string | undefined} id @param {ChatError} error @returns {boolean} whether it is about a message */
  failed(id, error) {
    const entry = this.#entries.get(id ?? '');
    if (!entry) return false;
    if (entry.status !== 'pending') return true;
    this.#end(entry, NOT_STORED.has(error.code));
    if (error.code === 'not_subscribed' && !entry.wasAstray) {
      entry.wasAstray = true;
      this.#parts.astray(entry.channel);
    } else if (isTemporary(error)) {
      entry.repeater.later(() => this.flush());
    } else {
      this.#fail(entry, error);
      this.flush();
    }
    return true;
  }

  /** The longest frame that is on its way. @returns {{ id: string, length: number } | undefined} */
  get longest() {
    const flying = [...this.#entries.values()].filter(({ flight }) => flight?.isWritten);
    const frames = flying.map((entry) => ({ id: entry.id, length: JSON.stringify(frameOf(entry)).length }));
    return frames.sort((one, other) => other.length - one.length)[0];
  }

  /** The server does not take this one. @param {string} id @param {ChatError} error */
  reject(id, error) {
    const entry = this.#entries.get(id);
    if (entry) this.#fail(entry, error);
  }

  /** The connection has ended. */
  disconnected() {
    for (const entry of this.#entries.values()) {
      entry.repeater.cancel();
      entry.wasAstray = false;
      if (entry.flight) this.#end(entry, false);
    }
  }

  /** @param {Keeper} keeper */
  async #load(keeper) {
    const messages = await keeper.load();
    const { settings, world } = this.#parts;
    const loaded = messages.slice(0, settings.outboxSize).map((message) => new Entry(world, settings, message));
    const entries = loaded.map((entry) => /** @type {[string, Entry]} */ ([entry.id, entry]));
    this.#entries = new Map([...entries, ...this.#entries]);
    this.#isLoaded = true;
    for (const entry of loaded) {
      this.#tell(entry, entry.status);
      if (entry.status === 'pending') entry.startExpiry(() => this.#expire(entry));
    }
    this.flush();
  }

  /** @param {StoredMessage} message @param {Moment} [written] @returns {Outgoing} */
  #enqueue(message, written) {
    const { keeper, settings, world } = this.#parts;
    const entry = new Entry(world, settings, message, written);
    this.#entries.set(entry.id, entry);
    keeper?.keep(message);
    entry.startExpiry(() => this.#expire(entry));
    this.#tell(entry, 'pending');
    this.flush();
    return { id: entry.id, stored: entry.stored.promise };
  }

  /** @param {Entry} entry */
  async #begin(entry) {
    const { keeper } = this.#parts;
    const flight = entry.begin();
    if (flight.isFirst && keeper) {
      const mayWrite = await keeper.update(entry.message);
      if (entry.flight !== flight) return;
      if (!mayWrite) {
        this.#end(entry, true);
        return entry.repeater.later(() => this.flush());
      }
    }
    this.#write(entry, flight);
  }

  /** @param {Entry} entry @param {import('./entry.js').Flight} flight */
  #write(entry, flight) {
    const { connection, isLive } = this.#parts;
    // While it was noted, the channel may have fallen behind or the server begun to close; and a computer that slept
    // may be here before its timers.
    const isDue = connection.isReady && isLive(entry.channel) && entry.resendableMs > 0;
    if (!isDue || !connection.ask(frameOf(entry))) return this.#end(entry, true);
    flight.isWritten = true;
    if (flight.isFirst) entry.startExpiry(() => this.#expire(entry));
  }

  /** An attempt is over, and the message is still to be sent. @param {Entry} entry @param {boolean} isKnown see `Entry.end` */
  #end(entry, isKnown) {
    this.#parts.connection.giveUp(entry.id);
    if (entry.end(isKnown)) this.#parts.keeper?.keep(entry.message);
  }

  /** @param {Entry} entry @param {import('./types.js').Stored} stored */
  #stored(entry, stored) {
    this.#settle(entry);
    this.#remove(entry.id);
    entry.stored.resolve(stored);
    this.#tell(entry, 'sent');
    this.flush();
  }

  /** @param {Entry} entry */
  #expire(entry) {
    this.#fail(entry, new ChatError('expired', 'The message could not be sent in time.'));
    this.flush();
  }

  /** @param {Entry} entry @param {ChatError} error */
  #fail(entry, error) {
    if (entry.status === 'failed') return;
    this.#settle(entry);
    entry.error = error;
    this.#parts.keeper?.update(entry.message);
    entry.stored.reject(error);
    this.#tell(entry, 'failed');
  }

  /** @param {Entry} entry */
  #settle(entry) {
    entry.settle();
    this.#parts.connection.giveUp(entry.id);
  }

  /** @param {string} id */
  #remove(id) {
    this.#entries.delete(id);
    this.#parts.keeper?.forget(id);
  }

  /** @param {Entry} entry @param {OutgoingChange['status']} status */
  #tell(entry, status) {
    this.#parts.emitter.emit('outgoing', changeOf(entry, status));
  }
}

/** @param {Entry} entry */
function frameOf({ id, channel, text, meta }) {
  return { type: 'send', id, channel, text, meta };
}

/** @param {Entry} entry @param {OutgoingChange['status']} status @returns {OutgoingChange} */
function changeOf({ id, channel, text, meta, createdAt, error }, status) {
  return { id, channel, text, meta, createdAt, status, error: status === 'failed' ? error : undefined };
}
