// A server that keeps the protocol's word and is hostile in all that the protocol leaves open: it loses, repeats,
// delays, reorders, closes, fails, deletes, drains.

import { Log, sent } from './log.js';
import { SimulatedSocket } from './socket.js';

/**
 * @import { Chance } from './chance.js'
 * @import { Logged } from './log.js'
 * @import { Time } from './time.js'
 *
 * @typedef {object} Hostility probabilities, from 0 to 1
 * @property {number} refuse a connection never opens
 * @property {number} throw the constructor of a socket throws
 * @property {number} cut a socket is closed at a frame
 * @property {number} hole a socket swallows everything from a frame on, and says nothing
 * @property {number} drain a socket is told to come back later
 * @property {number} lose a live copy is lost
 * @property {number} repeat a frame comes twice
 * @property {number} jitter a frame is overtaken
 * @property {number} late a frame takes long
 * @property {number} mute an answer is lost
 * @property {number} fail a request is answered with an error that passes
 *
 * @typedef {{ prevKnown: boolean }} Subscription
 */

/** @type {Hostility} */
export const KIND = {
  refuse: 0, throw: 0, cut: 0, hole: 0, drain: 0, lose: 0, repeat: 0, jitter: 0, late: 0, mute: 0, fail: 0,
};

/** Close codes and reasons that ask for another try. */
const CLOSES = [
  [1001, 'draining: connect again'], [1006, ''], [1008, 'not authorised in time'], [1008, 'token expired'],
  [1011, ''], [1012, ''], [1013, 'overloaded'], [4000, 'too slow: connect again and resume'],
];

/** All gateways at once. */
export class Server {
  #time;
  #chance;
  /** @type {Set<Peer>} */
  #peers = new Set();
  /** @type {Hostility} */
  hostility = KIND;
  /** What sockets ask of it. @type {{ type: string, [field: string]: any }[]} */
  heard = [];
  opened = 0;

  /** @param {Time} time @param {Chance} chance @param {number} windowMs */
  constructor(time, chance, windowMs) {
    this.#time = time;
    this.#chance = chance;
    this.log = new Log(time, windowMs);
  }

  /** A `WebSocket` constructor for a client. */
  get WebSocket() {
    const server = this;
    return class extends SimulatedSocket {
      constructor() {
        if (server.#chance.is(server.hostility.throw)) throw new Error('refused by a policy');
        super((socket) => server.#connect(socket));
      }
    };
  }

  /** Somebody else says something, or a client's message has arrived. @param {string} channel @param {object} what */
  publish(channel, what) {
    const stored = this.log.store(channel, /** @type {any} */ ({ type: 'message', ...what }));
    if (!stored.isDuplicate) for (const peer of this.#peers) peer.live(stored.event);
    return stored;
  }

  /** @param {string} channel @param {Logged} event */
  delete(channel, event) {
    this.log.erase(event);
    this.publish(channel, { type: 'deleted', message: event.seq });
  }

  /** The oldest events have reached the end of their age: nothing tells of it. @param {string} channel @param {number} count */
  expire(channel, count) {
    for (const event of this.log.shown(channel).slice(0, count)) this.log.erase(event);
    for (const peer of this.#peers) peer.recount(channel);
  }

  /** How many messages others have said. @param {string} channel */
  count(channel) {
    return this.log.shown(channel).filter(({ type }) => type === 'message').length;
  }

  /** Every socket ends. @param {number} code @param {string} reason */
  closeAll(code, reason) {
    for (const peer of this.#peers) peer.close(code, reason);
  }

  get sockets() {
    return this.#peers.size;
  }

  /** @param {SimulatedSocket} socket */
  #connect(socket) {
    this.opened += 1;
    const peer = new Peer(this, socket, this.#time, this.#chance);
    if (!this.#chance.is(this.hostility.refuse)) {
      this.#peers.add(peer);
      this.#time.after(this.#chance.between(1, 300), () => socket.open());
    } else if (this.#chance.is(0.5)) {
      this.#time.after(this.#chance.between(1, 3_000), () => socket.end(1006, ''));
    }
    return {
      sent: (/** @type {string} */ data) => peer.heard(data),
      closed: () => {
        this.#peers.delete(peer);
        this.#time.after(this.#chance.between(1, 60_000), () => socket.end(1006, ''));
      },
    };
  }

  /** @param {Peer} peer */
  forget(peer) {
    this.#peers.delete(peer);
  }

  /** @returns {[number, string]} */
  aClose() {
    return /** @type {[number, string]} */ (this.#chance.pick(CLOSES));
  }
}

/** One socket, at the server's end. */
class Peer {
  #server;
  #socket;
  #time;
  #chance;
  /** @type {Map<string, { isLossy: boolean }>} */
  #subscribed = new Map();
  /** @type {Set<string>} */
  #watched = new Set();
  #isHole = false;
  /** When the last frame on its way up or down arrives. */
  #up = 0;
  #down = 0;

  /** @param {Server} server @param {SimulatedSocket} socket @param {Time} time @param {Chance} chance */
  constructor(server, socket, time, chance) {
    this.#server = server;
    this.#socket = socket;
    this.#time = time;
    this.#chance = chance;
  }

  /** @param {number} code @param {string} reason */
  close(code, reason) {
    this.#server.forget(this);
    this.#socket.end(code, reason);
  }

  /** A frame of the client, which arrives in order. @param {string} data */
  heard(data) {
    const { hostility } = this.#server;
    // Less than the margin that a client keeps to the end of the window.
    const delay = this.#chance.is(hostility.late) ? this.#chance.between(0, 4_000) : this.#chance.between(0, 50);
    this.#up = Math.max(this.#up, Math.min(this.#time.now + delay, this.#time.now + 8_000));
    this.#time.after(this.#up - this.#time.now, () => this.#take(JSON.parse(data)));
  }

  /** @param {{ type: string, [field: string]: any }} frame */
  #take(frame) {
    const { hostility } = this.#server;
    this.#server.heard.push(frame);
    // What was in flight when the client gave up may still arrive: then it counts.
    const isOver = this.#socket.readyState !== 1 || this.#isHole;
    if (isOver && this.#chance.is(0.5)) return;
    if (this.#chance.is(hostility.hole)) this.#isHole = true;
    if (this.#chance.is(hostility.drain)) this.#drain();
    this.#act(frame);
    if (this.#chance.is(hostility.cut)) this.close(...this.#server.aClose());
  }

  #drain() {
    const wait = this.#chance.between(0, 10_000);
    this.#tell({ type: 'reconnect', after_ms: wait });
    this.#time.after(this.#chance.between(100, 15_000), () => this.close(1001, 'draining: connect again'));
  }

  /** @param {{ type: string, [field: string]: any }} frame */
  #act(frame) {
    const { id, channel } = frame;
    const { hostility } = this.#server;
    if (this.#chance.is(hostility.fail) && frame.type !== 'unsubscribe') return this.#fail(frame);
    switch (frame.type) {
      case 'subscribe':
        return this.#subscribe(frame);
      case 'unsubscribe':
        this.#subscribed.delete(channel);
        return this.#answer({ type: 'unsubscribed', id, channel });
      case 'send':
        return this.#send(frame);
      case 'watch':
        for (const one of frame.channels) {
          this.#watched.add(one.channel);
          this.#count(one.channel, id);
        }
        return;
      default:
    }
  }

  /** @param {{ type: string, [field: string]: any }} frame */
  #fail(frame) {
    const code = this.#chance.pick(['unavailable', 'internal', 'rate_limited']);
    // Whether it was stored is not known to whoever gets such an error.
    if (frame.type === 'send' && code !== 'rate_limited' && this.#chance.is(0.5)) {
      this.#server.publish(frame.channel, { id: frame.id, from_uid: 'me', text: frame.text });
    }
    for (const one of frame.channels ?? [frame]) {
      this.#answer({ type: 'error', id: frame.id, code, message: 'hostile', channel: one.channel });
    }
  }

  /** @param {{ type: string, [field: string]: any }} frame */
  #send({ id, channel, text }) {
    if (!this.#subscribed.has(channel)) {
      return this.#answer({ type: 'error', id, code: 'not_subscribed', message: 'hostile' });
    }
    const { event, isDuplicate } = this.#server.publish(channel, { id, from_uid: 'me', text });
    this.#answer({ type: 'ack', id, channel, seq: event.seq, time: event.time, duplicate: isDuplicate });
  }

  /** @param {{ type: string, [field: string]: any }} frame */
  #subscribe({ id, channel, after, limit }) {
    if (!this.#subscribed.has(channel)) this.#subscribed.set(channel, { isLossy: false });
    const all = this.#server.log.of(channel);
    const rest = after === undefined ? all.slice(-limit) : all.filter(({ seq }) => seq > after);
    // A page may end early, and all of it may have been deleted.
    const size = this.#chance.is(0.3) ? this.#chance.between(1, limit) : limit;
    const page = after === undefined ? rest : rest.slice(0, size);
    const more = after === undefined ? all.length > rest.length : rest.length > page.length;
    const last = more && after !== undefined ? page.at(-1) : all.at(-1);
    const messages = page.filter(({ isGone }) => !isGone).map(sent);
    this.#answer({ type: 'subscribed', id, channel, uid: 'me', messages, more, last_seq: last?.seq ?? 0, online: [] });
  }

  /** @param {Logged} event */
  live(event) {
    this.recount(event.channel);
    const subscription = this.#subscribed.get(event.channel);
    if (!subscription) return;
    if (this.#chance.is(this.#server.hostility.lose)) return void (subscription.isLossy = true);
    // Where nothing reveals what was lost, a gateway resyncs or closes.
    if (event.prev === 0 && subscription.isLossy) return this.close(4000, 'too slow: connect again and resume');
    this.#tell(sent(event), event.prev !== 0);
  }

  /** How much is unread has changed. @param {string} channel */
  recount(channel) {
    if (this.#watched.has(channel)) this.#count(channel);
  }

  /** @param {string} channel @param {string} [id] */
  #count(channel, id) {
    // Each count is right when it is told, so they come in order.
    const frame = { type: 'unread', channel, count: this.#server.count(channel) };
    this.#tell(id === undefined ? frame : { ...frame, id });
  }

  /** @param {object} frame */
  #answer(frame) {
    if (!this.#chance.is(this.#server.hostility.mute)) this.#tell(frame, true);
  }

  /** @param {object} frame @param {boolean} [mayOvertake] */
  #tell(frame, mayOvertake = false) {
    const { hostility } = this.#server;
    const { now } = this.#time;
    const delay = this.#chance.is(hostility.late) ? this.#chance.between(0, 20_000) : this.#chance.between(0, 80);
    const overtakes = mayOvertake && this.#chance.is(hostility.jitter);
    const at = overtakes ? now + this.#chance.between(0, 500) : Math.max(this.#down, now + delay);
    this.#down = Math.max(this.#down, at);
    this.#at(at, frame);
    if (mayOvertake && this.#chance.is(hostility.repeat)) this.#at(this.#down + this.#chance.between(0, 3_000), frame);
  }

  /** @param {number} at @param {object} frame */
  #at(at, frame) {
    this.#time.after(at - this.#time.now, () => {
      if (!this.#isHole) this.#socket.receive(JSON.stringify(frame));
    });
  }
}
