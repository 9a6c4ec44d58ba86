// All subscribed channels of a client.

import { Channel, leaveChannel } from './channel.js';
import { Gate } from './gate.js';

/**
 * @import { Parts } from './channel.js'
 * @import { ChatError } from './error.js'
 * @import { ChannelEvent, Credentials } from './types.js'
 */

/** Subscribes on their way at a time. The server answers them one after the other, and other frames only then. */
const MAX_ASKS = 4;

/** The channels by name. */
export class Channels {
  #parts;
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  /** @type {Map<string, string>} channels that were left while a subscribe was on its way, with its id */
  #left = new Map();

  /** @param {Omit<Parts, 'gate'>} parts */
  constructor(parts) {
    /** @type {Parts} */
    this.#parts = { ...parts, gate: new Gate(MAX_ASKS) };
  }

  get size() {
    return this.#channels.size;
  }

  /** Whether any is by token. */
  get hasToken() {
    return [...this.#channels.values()].some(({ credentials }) => credentials.secret === undefined);
  }

  get names() {
    return [...this.#channels.keys()];
  }

  /** @param {string} name */
  get(name) {
    return this.#channels.get(name);
  }

  /** @param {Credentials} credentials */
  add(credentials) {
    const channel = new Channel(credentials, this.#parts);
    this.#channels.set(credentials.channel, channel);
    this.#left.delete(credentials.channel);
    return channel;
  }

  /** Nobody wants it any more. @param {string} name @param {ChatError} error for whoever waits */
  remove(name, error) {
    const channel = this.#channels.get(name);
    this.#channels.delete(name);
    const id = channel?.leave(error);
    if (id !== undefined) this.#left.set(name, id);
  }

  /** There is a new connection. */
  ask() {
    for (const channel of this.#channels.values()) channel.ask();
  }

  /** Asks for what one of them may have missed. @returns {boolean} whether there is one to ask for */
  check() {
    const live = [...this.#channels.values()].find((channel) => channel.isLive && !channel.isAsking);
    if (!live) return false;
    // Each in its turn: what it missed last may be told by nothing else.
    this.#channels.delete(live.name);
    this.#channels.set(live.name, live);
    live.ask({ isCheck: true });
    return true;
  }

  /** @param {import('./channel.js').SubscribedFrame} frame */
  subscribed(frame) {
    const channel = this.#channels.get(frame.channel);
    if (channel?.hasAsked(frame.id)) return channel.subscribed(frame);
    if (this.#left.get(frame.channel) !== frame.id) return;
    this.#left.delete(frame.channel);
    leaveChannel(this.#parts.connection, frame.channel);
  }

  /** @param {ChannelEvent} event */
  live(event) {
    this.#channels.get(event.channel)?.live(event);
  }

  /** @param {string | undefined} id @param {ChatError} error @returns {boolean} whether it is about a subscribe */
  failed(id, error) {
    const channel = [...this.#channels.values()].find((one) => one.hasAsked(id));
    channel?.failed(error);
    for (const [name, left] of this.#left) if (left === id) this.#left.delete(name);
    return channel !== undefined;
  }

  /** Writes the read positions that wait for their turn: there may be no later one. */
  writeReads() {
    for (const channel of this.#channels.values()) channel.writeRead();
  }

  /** The connection has ended. */
  disconnected() {
    this.#left.clear();
    this.#parts.gate.clear();
    for (const channel of this.#channels.values()) channel.disconnected();
  }
}
