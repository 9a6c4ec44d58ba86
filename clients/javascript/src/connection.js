// One connection at a time, for as long as it is wanted: opened, watched over, lost, opened again.

import { Close, isFinal } from './close.js';
import { ChatError } from './error.js';
import { Requests } from './requests.js';
import { Return } from './return.js';
import { Silence } from './silence.js';
import { watchSurroundings } from './surroundings.js';
import { momentOf } from './world.js';

/**
 * @import { Settings } from './settings.js'
 * @import { OpenTransport, Transport } from './transport.js'
 * @import { State } from './types.js'
 * @import { Moment, Timer, World } from './world.js'
 *
 * @typedef {{ type: string, id: string, [field: string]: unknown }} Question a frame that is answered
 *
 * @typedef {object} Handlers
 * @property {() => boolean} isWanted whether there is anything to be connected for
 * @property {() => void} opened
 * @property {(frame: any) => void} received a frame, with a `type`
 * @property {() => void} quiet somebody should ask for something
 * @property {(code: number, reason: string) => void} closed the connection has ended; before `detached`
 * @property {(error: ChatError) => void} detached forget all that belonged to it
 * @property {(state: State, details?: { code: number, reason: string }) => void} state
 * @property {(error: ChatError) => void} fault
 */

/** The connection of a client. */
export class Connection {
  #world;
  #settings;
  #openTransport;
  #handlers;
  #requests = new Requests();
  #silence;
  #return;
  /** @type {State} */
  #state = 'closed';
  /** @type {Transport | undefined} */
  #transport;
  /** @type {Moment | undefined} when the server first knew us on this connection */
  #onlineSince;
  /** @type {Timer | undefined} connecting, or leaving a draining server */
  #deadline;
  /** @type {(() => void) | undefined} */
  #unwatch;
  /** Whether the page is put aside. */
  #isHidden = false;
  #lastId = 0;

  /** @param {World} world @param {Settings} settings @param {OpenTransport} openTransport @param {Handlers} handlers */
  constructor(world, settings, openTransport, handlers) {
    this.#world = world;
    this.#settings = settings;
    this.#openTransport = openTransport;
    this.#handlers = handlers;
    this.#silence = new Silence(world, settings, () => this.#drop(), () => this.check());
    this.#return = new Return(world, settings);
  }

  get state() {
    return this.#state;
  }

  /** Whether something new may be begun: open, and not about to close. */
  get isReady() {
    return this.#isOpen && !this.#return.isDraining;
  }

  get #isOpen() {
    return this.#transport?.isOpen === true;
  }

  /** Connects if it is wanted. A wait goes on. */
  ensure() {
    if (this.#transport || this.#isHidden || this.#return.isWaiting || !this.#handlers.isWanted()) return;
    this.#open();
  }

  /** Connects now, unless the server has asked us to wait. */
  connect() {
    if (!this.#return.isAsked) this.#return.cancel();
    this.ensure();
  }

  /** Finds out soon whether the connection is alive. */
  check() {
    if (this.isReady) this.#handlers.quiet();
  }

  /** Ends it for good. @param {ChatError} error for those who wait for an answer */
  close(error) {
    const transport = this.#transport;
    this.#detach(error);
    transport?.close();
    this.#end();
  }

  /** Distinct from message ids, which are UUIDs. */
  nextId() {
    this.#lastId += 1;
    return `r${this.#lastId}`;
  }

  /** @param {object} frame @returns {boolean} whether there was a connection to write it to */
  write(frame) {
    if (!this.#transport || !this.#isOpen) return false;
    this.#transport.send(JSON.stringify(frame));
    return true;
  }

  /** Writes a frame that will be answered. @param {Question} frame @returns {boolean} likewise */
  ask(frame) {
    if (!this.write(frame)) return false;
    this.#silence.expect(frame.id);
    return true;
  }

  /** A frame has been answered in part: more will come. @param {string} id */
  expectMore(id) {
    this.#silence.expect(id);
  }

  /** Nobody waits for this answer any more. @param {string} id */
  giveUp(id) {
    this.#silence.answered(id);
  }

  /** Writes a frame and waits for its answer. @param {Question} frame @returns {Promise<any>} */
  async request(frame) {
    if (!this.ask(frame)) throw new ChatError('unavailable', 'Not connected.');
    return this.#requests.wait(frame.id, JSON.stringify(frame).length);
  }

  /** The longest request that is not answered yet. @returns {{ id: string, length: number } | undefined} */
  get longestRequest() {
    return this.#requests.longest;
  }

  /** Whoever waits for this answer is told that there will be none. @param {string} id @param {ChatError} error */
  reject(id, error) {
    this.#requests.reject(id, error);
  }

  /** The server knows us: from here on the connection counts as one. */
  welcomed() {
    this.#onlineSince ??= momentOf(this.#world);
    this.#setState('online');
  }

  /**
   * The server is about to close: finish what is in flight, start nothing, come back when it says.
   *
   * @param {number} afterMs
   */
  drain(afterMs) {
    const wait = this.#return.drain(afterMs);
    this.#setDeadline(Math.max(wait, this.#settings.answerTimeoutMs));
  }

  #open() {
    this.#watchSurroundings();
    if (this.#state === 'closed') this.#setState('connecting');
    this.#onlineSince = undefined;
    this.#setDeadline(this.#settings.answerTimeoutMs);
    /** @type {Transport | undefined} */
    let transport;
    // One that was dropped may speak up late: only the current one counts.
    const current = (/** @type {() => void} */ act) => transport !== undefined && transport === this.#transport && act();
    try {
      transport = this.#openTransport({
        opened: () => current(() => this.#opened()),
        received: (text) => current(() => this.#received(text)),
        closed: (code, reason) => current(() => this.#lost(code, reason)),
      });
    } catch (error) {
      // A policy of the page forbids it, for one. Another page may not, and this one may be told to.
      this.#handlers.fault(new ChatError('network', `No connection can be tried: ${error}`));
      return this.#lost(Close.BROKEN, '');
    }
    this.#transport = transport;
  }

  #opened() {
    this.#world.clearTimer(this.#deadline);
    this.#silence.heard();
    this.#handlers.opened();
  }

  /** @param {string} text */
  #received(text) {
    this.#silence.heard();
    const frame = parse(text);
    if (typeof frame?.type !== 'string') {
      return this.#handlers.fault(new ChatError('bad_frame', 'The server sent something unreadable.'));
    }
    // Events, which have a `prev`, can have an id too.
    const isAnswer = typeof frame.id === 'string' && !isEvent(frame);
    if (isAnswer) {
      this.#silence.answered(frame.id);
      if (frame.type !== 'error') this.#requests.resolve(frame);
      else if (this.#requests.reject(frame.id, errorOf(frame))) return;
    }
    this.#handlers.received(frame);
  }

  /** Gives up a connection that does not answer; its own close event could take minutes. */
  #drop() {
    const transport = this.#transport;
    this.#lost(Close.BROKEN, '');
    transport?.close();
  }

  /** The connection has ended. @param {number} code @param {string} reason */
  #lost(code, reason) {
    this.#return.ended(this.#onlineSince);
    this.#handlers.closed(code, reason);
    this.#detach(new ChatError('unavailable', 'The connection was lost.'));
    if (isFinal(code, reason) || !this.#handlers.isWanted()) return this.#end({ code, reason });
    this.#setState('reconnecting');
    this.#return.later(code, () => this.ensure());
  }

  /** Forgets all that belonged to the connection. @param {ChatError} error for those who wait for an answer */
  #detach(error) {
    this.#transport = undefined;
    this.#world.clearTimer(this.#deadline);
    this.#silence.stop();
    this.#requests.rejectAll(error);
    this.#handlers.detached(error);
  }

  /** @param {{ code: number, reason: string }} [details] */
  #end(details) {
    this.#return.forget();
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#isHidden = false;
    this.#setState('closed', details);
  }

  /** @param {number} ms for the transport to do what it should */
  #setDeadline(ms) {
    this.#world.clearTimer(this.#deadline);
    this.#deadline = this.#world.setTimer(() => this.#drop(), ms);
  }

  /** @param {State} state @param {{ code: number, reason: string }} [details] */
  #setState(state, details) {
    if (this.#state === state) return;
    this.#state = state;
    this.#handlers.state(state, details);
  }

  #watchSurroundings() {
    const ask = () => this.#silence.isLong && this.check();
    this.#unwatch ??= watchSurroundings(this.#world, {
      online: () => (this.#transport ? this.check() : this.#return.hasten()),
      offline: () => this.check(),
      visible: () => (this.#transport ? ask() : this.#return.hasten()),
      hidden: () => this.#hide(),
      shown: () => this.#show(),
    });
  }

  /** A page with an open socket cannot be kept, and one that is kept must not hold one. */
  #hide() {
    this.#isHidden = true;
    const transport = this.#transport;
    if (!transport) return;
    this.#lost(Close.BROKEN, '');
    transport.close();
  }

  #show() {
    this.#isHidden = false;
    if (this.#return.isWaiting) this.connect();
    else this.ensure();
  }
}

/** @param {any} frame */
export function isEvent(frame) {
  return Number.isInteger(frame.seq) && Number.isInteger(frame.prev);
}

/** @param {{ code?: string, message?: string, field?: string }} frame */
export function errorOf({ code = 'internal', message = 'Something went wrong.', field }) {
  return new ChatError(code, message, { field });
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
