// A client under a test's own hand: what it writes is looked at, what it hears is said, time goes as the test likes.

import { ChatClient } from '../src/index.js';
import { Chance } from './simulation/chance.js';
import { SimulatedSocket } from './simulation/socket.js';
import { Disk } from './simulation/storage.js';
import { Computer, Time } from './simulation/time.js';

/** @import { EventDetails, Options } from '../src/types.js' */

/** One client, and the server that the test plays. */
export class Desk {
  time = new Time();
  chance = new Chance(1);
  computer = new Computer(this.time, this.chance);
  /** @type {SimulatedSocket[]} */
  sockets = [];
  /** Frames of the client, with the number of their socket. @type {{ type: string, socket: number, [field: string]: any }[]} */
  written = [];
  /** @type {{ type: string, detail: any }[]} */
  events = [];
  /** Whether the next sockets cannot be made. */
  throws = false;
  /** Whether sockets open by themselves. */
  opens = true;
  /** Whether subscribes are answered by themselves, with nothing. */
  answers = false;

  /** What pages share. @type {Disk | undefined} */
  disk;
  #options;

  /** @param {Partial<Options> & { hasDisk?: boolean }} [options] */
  constructor({ hasDisk = false, ...options } = {}) {
    this.#options = options;
    if (hasDisk) this.disk = new Disk(this.time, this.chance);
    this.client = this.#newClient();
  }

  /** The page is loaded again: another client, with the same storage. */
  reload() {
    this.computer.end();
    const { wall } = this.computer.skew;
    this.computer = new Computer(this.time, this.chance);
    this.computer.skew = { steady: -this.time.now, wall };
    this.client = this.#newClient();
  }

  #newClient() {
    const desk = this;
    const client = new ChatClient({
      url: 'https://chat.example.org/connect',
      WebSocket: class extends SimulatedSocket {
        constructor() {
          if (desk.throws) throw new Error('Refused by the policy of the page');
          const socket = desk.sockets.length;
          super(() => ({
            sent: (data) => desk.#heard({ ...JSON.parse(data), socket }),
            closed: () => {},
          }));
          desk.sockets.push(this);
          if (desk.opens) desk.time.after(1, () => this.open());
        }
      },
      ...(this.disk && { storage: this.disk.storage(this.computer) }),
      ...this.#options,
    }, this.computer.world);
    const types = /** @type {(keyof EventDetails)[]} */ ([
      'state', 'events', 'gap', 'unread', 'presence', 'typing', 'read', 'outgoing', 'refused', 'fault',
    ]);
    for (const type of types) client.addEventListener(type, ({ detail }) => this.events.push({ type, detail }));
    return client;
  }

  /** @param {{ type: string, socket: number, [field: string]: any }} frame */
  #heard(frame) {
    this.written.push(frame);
    if (!this.answers || frame.type !== 'subscribe') return;
    const { id, channel, socket } = frame;
    const answer = { type: 'subscribed', id, channel, uid: 'me', messages: [], more: false, last_seq: 0, online: [] };
    this.time.after(1, () => this.sockets[socket]?.receive(JSON.stringify(answer)));
  }

  /** The socket that is there. */
  get socket() {
    return /** @type {SimulatedSocket} */ (this.sockets.at(-1));
  }

  /** Lets time pass. @param {number} ms */
  async pass(ms) {
    await this.time.until(this.time.now + ms);
  }

  /** The server says something. @param {object} frame */
  async say(frame) {
    this.socket.receive(JSON.stringify(frame));
    await this.pass(0);
  }

  /** The server closes. @param {number} code @param {string} [reason] */
  async end(code, reason = '') {
    this.socket.end(code, reason);
    await this.pass(0);
  }

  /** What the client has written of a type, on the socket that is there. @param {string} type */
  frames(type) {
    return this.written.filter((frame) => frame.type === type && frame.socket === this.sockets.length - 1);
  }

  /** The last of these. @param {string} type @returns {any} */
  last(type) {
    return this.frames(type).at(-1);
  }

  /** What listeners were told of a type. @param {keyof EventDetails} type @returns {any[]} */
  told(type) {
    return this.events.filter((event) => event.type === type).map(({ detail }) => detail);
  }

  /** Answers the last subscribe. @param {object} [page] */
  async answer(page = {}) {
    const { id, channel } = this.last('subscribe');
    await this.say({ type: 'subscribed', id, channel, uid: 'me', messages: [], more: false, last_seq: 0, online: [], ...page });
  }

  /** A client that is in a channel. @param {string} [channel] @param {object} [credentials] */
  async enter(channel = 'c', credentials = { uid: 'me', secret: 's' }) {
    this.client.subscribe({ channel, ...credentials }).catch(() => {});
    await this.pass(10);
    await this.answer();
  }

  /** The connection breaks, and comes back. */
  async reconnect() {
    await this.end(1006);
    await this.pass(2_000);
  }

  /** An event that the browser tells. @param {string} type @param {object} [fields] */
  async browser(type, fields = {}) {
    this.computer.page.dispatchEvent(Object.assign(new Event(type), fields));
    await this.pass(0);
  }
}

/** A message of the log. @param {number} seq @param {number} prev @param {object} [fields] */
export function message(seq, prev, fields = {}) {
  return {
    type: 'message', channel: 'c', seq, prev, time: 1, id: `m${seq}`, from_uid: 'other', from_name: 'Other',
    from_role: 'guest', text: String(seq), ...fields,
  };
}
