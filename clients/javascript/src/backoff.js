// How long to wait before another attempt, and waiting for it.

/** @import { Timer, World } from './world.js' */

/** The first wait before a request is repeated on a connection that is there. */
const REPEAT_BASE_MS = 2_000;

/**
 * Exponential back-off with full jitter.
 *
 * @param {World} world
 * @param {number} attempt failed attempts before, in a row
 * @param {number} baseMs upper bound of the first wait
 * @param {number} maxMs upper bound of any
 * @returns {number} milliseconds
 */
export function backoff(world, attempt, baseMs, maxMs) {
  return world.random() * Math.min(maxMs, baseMs * 2 ** attempt);
}

/** Repeats a request that failed for a reason that passes, each time after a longer wait. */
export class Repeater {
  #world;
  #maxMs;
  #attempt = 0;
  /** @type {Timer | undefined} */
  #timer;

  /** @param {World} world @param {number} maxMs upper bound of a wait */
  constructor(world, maxMs) {
    this.#world = world;
    this.#maxMs = maxMs;
  }

  /** Whether another attempt is waited for. */
  get isWaiting() {
    return this.#timer !== undefined;
  }

  /** Failed attempts in a row. */
  get attempt() {
    return this.#attempt;
  }

  /** @param {() => void} act */
  later(act) {
    this.cancel();
    this.#timer = this.#world.setTimer(() => {
      this.#timer = undefined;
      act();
    }, backoff(this.#world, this.#attempt, REPEAT_BASE_MS, this.#maxMs));
    this.#attempt += 1;
  }

  /** Waits no longer. */
  cancel() {
    this.#world.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  /** An attempt has succeeded. */
  succeeded() {
    this.cancel();
    this.#attempt = 0;
  }
}
