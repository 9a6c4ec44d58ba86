// How the parts of a client hang together, and which of them a frame is for.

import { Channels } from './channels.js';
import { Close, isTokenExpired } from './close.js';
import { Connection, errorOf, isEvent } from './connection.js';
import { ChatError } from './error.js';
import { Emitter } from './events.js';
import { Keeper } from './keeper.js';
import { Outbox } from './outbox.js';
import { settingsOf } from './settings.js';
import { Tokens } from './token.js';
import { webSocketTransport } from './transport.js';
import { Watches } from './watch.js';

/**
 * @import { ChatEvent } from './events.js'
 * @import { Options } from './types.js'
 * @import { World } from './world.js'
 */

/** The parts of one client. */
export class Session {
  settings;
  connection;
  tokens;
  channels;
  watches;
  outbox;
  #emitter;

  /**
   * @param {Options} options
   * @param {World} world
   * @param {(event: ChatEvent) => void} dispatch
   */
  constructor(options, world, dispatch) {
    const settings = settingsOf(options);
    const emitter = new Emitter(dispatch);
    const fault = (/** @type {ChatError} */ error) => emitter.emit('fault', { error });
    const isWanted = () => this.#isWanted;
    const connection = new Connection(world, settings, webSocketTransport(options.url, options.WebSocket), {
      isWanted,
      opened: () => this.#opened(),
      received: (frame) => this.#received(frame),
      quiet: () => void (this.channels.check() || this.watches.check()),
      closed: (code, reason) => this.#closed(code, reason),
      detached: () => this.#detached(),
      state: (state, details) => emitter.emit('state', { state, ...details }),
      fault,
    });
    const tokens = new Tokens(world, settings, options.getToken, connection, () => (
      this.channels.hasToken || this.watches.hasToken
    ));
    const parts = { world, settings, connection, tokens, emitter };
    this.channels = new Channels({
      ...parts,
      delivered: (event, credentials) => this.outbox.seen(event, credentials),
      live: () => this.outbox.flush(),
      refused: ({ name }, error) => this.#refused(name, error, () => this.leave(name, error)),
    });
    this.watches = new Watches({
      ...parts,
      isSubscribed: (name) => this.channels.get(name) !== undefined,
      refused: (name, error) => this.#refused(name, error, () => this.unwatch(name, error)),
    });
    this.outbox = new Outbox({
      ...parts,
      keeper: options.storage && new Keeper(world, options.storage, fault),
      isSubscribed: (name) => this.channels.get(name) !== undefined,
      isLive: (name) => this.channels.get(name)?.isLive === true,
      astray: (name) => this.channels.get(name)?.astray(),
    });
    this.settings = settings;
    this.connection = connection;
    this.tokens = tokens;
    this.#emitter = emitter;
  }

  /** Whether there is anything to be connected for. */
  get #isWanted() {
    return this.channels.size + this.watches.size > 0;
  }

  /** Leaves a channel. Its unsent messages fail. @param {string} name @param {ChatError} error */
  leave(name, error) {
    this.channels.remove(name, error);
    this.outbox.leave(name, error);
    this.tokens.left();
  }

  /** @param {string} name @param {ChatError} error */
  unwatch(name, error) {
    this.watches.remove(name, error);
    this.tokens.left();
  }

  /** Closes the connection if nothing wants it any more. */
  closeIfIdle() {
    if (!this.#isWanted) this.close();
  }

  /** Leaves all channels, and stays away. */
  close() {
    const error = new ChatError('closed', 'The connection was closed.');
    this.channels.writeReads();
    // First, so that nobody says goodbye to each channel.
    this.connection.close(error);
    for (const name of this.channels.names) this.leave(name, error);
    for (const name of this.watches.names) this.unwatch(name, error);
  }

  #opened() {
    this.channels.ask();
    this.watches.ask();
  }

  /** The connection has ended. @param {number} code @param {string} reason */
  #closed(code, reason) {
    // Of a page that is put aside, which ends the connection itself.
    this.channels.writeReads();
    if (code === Close.FRAME_TOO_LARGE) this.#tooLarge();
    if (isTokenExpired(code, reason)) this.tokens.forget();
    if (code === Close.REMOVED) this.#removed(reason);
  }

  /** A frame was too large: of those on their way, the longest. */
  #tooLarge() {
    const { connection, outbox } = this;
    const [request, message] = [connection.longestRequest, outbox.longest];
    const error = new ChatError('too_long', 'The message is too large.');
    if (request && request.length > (message?.length ?? 0)) connection.reject(request.id, error);
    else if (message) outbox.reject(message.id, error);
  }

  /** All that belonged to the connection is to be forgotten. */
  #detached() {
    this.tokens.disconnected();
    this.channels.disconnected();
    this.watches.disconnected();
    this.outbox.disconnected();
  }

  /**
   * We were removed from a channel. If the reason does not name it and there are several, the next subscribe of each
   * will tell.
   *
   * @param {string} reason
   */
  #removed(reason) {
    const names = new Set([...this.channels.names, ...this.watches.names]);
    const [only = reason] = names;
    const name = names.size === 1 ? only : reason;
    if (!names.has(name)) return;
    const error = new ChatError('removed', 'You were removed from this channel.');
    this.leave(name, error);
    this.unwatch(name, error);
    this.#emitter.emit('refused', { channel: name, error });
  }

  /** A channel is given up. @param {string} channel @param {ChatError} error @param {() => void} leave */
  #refused(channel, error, leave) {
    leave();
    this.#emitter.emit('refused', { channel, error });
    this.closeIfIdle();
  }

  /** @param {any} frame with a `type`; answers to requests have been given to whoever waits for them */
  #received(frame) {
    const { channels, outbox, watches } = this;
    switch (frame.type) {
      case 'subscribed':
        return channels.subscribed(frame);
      case 'ack':
        return outbox.acked(frame);
      case 'unread':
        return watches.unread(frame);
      case 'token_expiring':
        return this.tokens.renewBefore(frame.expires_at);
      case 'reconnect':
        return this.connection.drain(frame.after_ms);
      case 'presence':
        return channels.get(frame.channel)?.presence(frame);
      case 'read':
        return this.#read(frame);
      case 'typing':
        return this.#typing(frame);
      case 'error':
        return this.#failed(frame);
      default:
        // Other types are of later versions.
        if (isEvent(frame)) channels.live(frame);
    }
  }

  /** @param {{ channel: string, uid: string, seq: number }} frame */
  #read({ channel, uid, seq }) {
    const reader = this.channels.get(channel);
    reader?.wasRead(uid, seq);
    if (reader) this.#emitter.emit('read', { channel, uid, seq });
  }

  /** @param {{ channel: string, uid: string }} frame */
  #typing({ channel, uid }) {
    if (this.channels.get(channel)) this.#emitter.emit('typing', { channel, uid });
  }

  /** @param {{ id?: string, channel?: string, code?: string, message?: string, field?: string }} frame */
  #failed(frame) {
    const { id, channel } = frame;
    const error = errorOf(frame);
    const isOurs = this.outbox.failed(id, error) || this.channels.failed(id, error)
      || this.watches.failed(id, channel, error);
    // One with an id answers what was asked anew, left, or found to be stored meanwhile.
    if (!isOurs && id === undefined) this.#emitter.emit('fault', { error });
  }
}
