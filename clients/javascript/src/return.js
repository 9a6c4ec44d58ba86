// The wait before a reconnect: how long, who asked for it, and what may shorten it.

import { backoff } from './backoff.js';
import { Close } from './close.js';
import { momentOf, since } from './world.js';

/**
 * @import { Settings } from './settings.js'
 * @import { Moment, Timer, World } from './world.js'
 */

/** A connection that lived so long starts the back-off afresh when it ends. */
const STEADY_AFTER_MS = 5_000;

/** Upper bound of the first wait that an overloaded server is given. */
const OVERLOADED_BASE_MS = 5_000;

/** No draining server may keep us away for longer. */
const MAX_DRAIN_MS = 60_000;

/** Brings a lost connection back. */
export class Return {
  #world;
  #settings;
  /** Connections in a row that ended early. */
  #attempt = 0;
  /** @type {{ from: Moment, ms: number } | undefined} when a draining server wants us back */
  #drain;
  /** @type {{ timer: Timer, from: Moment, ms: number, isAsked: boolean, act: () => void } | undefined} */
  #wait;

  /** @param {World} world @param {Settings} settings */
  constructor(world, settings) {
    this.#world = world;
    this.#settings = settings;
  }

  /** Whether a reconnect is waited for. */
  get isWaiting() {
    return this.#wait !== undefined;
  }

  /** Whether the server has asked for the wait: no wish of ours shortens it. */
  get isAsked() {
    return this.#wait?.isAsked === true;
  }

  /** Whether the server is about to close. */
  get isDraining() {
    return this.#drain !== undefined;
  }

  /**
   * The server is about to close.
   *
   * @param {number} afterMs when it wants us back
   * @returns {number} how long it may take, in milliseconds
   */
  drain(afterMs) {
    const ms = Math.min(Math.max(Number(afterMs) || 0, 0), MAX_DRAIN_MS);
    this.#drain = { from: momentOf(this.#world), ms };
    return ms;
  }

  /** @param {Moment | undefined} onlineSince of the connection that has ended */
  ended(onlineSince) {
    if (onlineSince && since(this.#world, onlineSince) >= STEADY_AFTER_MS) this.#attempt = 0;
  }

  /** Waits as long as is due after this close code. @param {number} code @param {() => void} act */
  later(code, act) {
    const { ms, isAsked } = this.#due(code);
    this.#drain = undefined;
    this.#attempt += 1;
    this.#start(ms, isAsked, act);
  }

  /** The network is back, or somebody looks: a long wait of our own becomes a short one. */
  hasten() {
    if (!this.#wait || this.#wait.isAsked) return;
    const { from, ms, act } = this.#wait;
    const short = backoff(this.#world, 0, this.#settings.backoffBaseMs, this.#settings.backoffMaxMs);
    if (ms - since(this.#world, from) > short) this.#start(short, false, act);
  }

  /** Waits no longer. */
  cancel() {
    this.#world.clearTimer(this.#wait?.timer);
    this.#wait = undefined;
  }

  /** There is nothing to come back for. */
  forget() {
    this.cancel();
    this.#drain = undefined;
    this.#attempt = 0;
  }

  /** @param {number} code */
  #due(code) {
    const { backoffBaseMs, backoffMaxMs } = this.#settings;
    if (this.#drain) return { ms: Math.max(0, this.#drain.ms - since(this.#world, this.#drain.from)), isAsked: true };
    if (code === Close.TOO_SLOW && this.#attempt === 0) return { ms: 0, isAsked: false };
    const isAsked = code === Close.OVERLOADED;
    const base = isAsked ? Math.max(OVERLOADED_BASE_MS, backoffBaseMs) : backoffBaseMs;
    return { ms: backoff(this.#world, this.#attempt, base, backoffMaxMs), isAsked };
  }

  /** @param {number} ms @param {boolean} isAsked @param {() => void} act */
  #start(ms, isAsked, act) {
    this.cancel();
    const timer = this.#world.setTimer(() => {
      this.#wait = undefined;
      act();
    }, ms);
    this.#wait = { timer, from: momentOf(this.#world), ms, isAsked, act };
  }
}
