// How many channels may be asked for: so many at once, and so many in each second.

/** @import { Timer, World } from './world.js' */

/**
 * Less than the frames that a server takes of a socket in a second: each channel of a `watch` counts as one, and others
 * are to get through beside them.
 */
const PER_SECOND = 80;

/** How long to wait when as many as may be have been asked for, or the server says that it was too much. */
const PAUSE_MS = 500;
const REFUSED_PAUSE_MS = 1_500;

/** Lets channels through at a steady rate. */
export class Pace {
  #world;
  /** How many may be asked for, as of a moment of the steady clock. */
  #credit = PER_SECOND;
  #at;
  /** @type {Timer | undefined} */
  #timer;

  /** @param {World} world */
  constructor(world) {
    this.#world = world;
    this.#at = world.steadyNow();
  }

  /** Whether nothing may be asked for. */
  get isPausing() {
    return this.#timer !== undefined;
  }

  /** @param {number} wanted @returns {number} how many of them may be asked for now */
  take(wanted) {
    const now = this.#world.steadyNow();
    const gained = (Math.max(0, now - this.#at) * PER_SECOND) / 1_000;
    this.#credit = Math.min(PER_SECOND, this.#credit + gained);
    this.#at = now;
    const taken = Math.min(wanted, Math.floor(this.#credit));
    this.#credit -= taken;
    return taken;
  }

  /** Lets nothing through until there may be more. @param {() => void} act then */
  pause(act) {
    this.#wait(PAUSE_MS, act);
  }

  /** The server has refused what was asked for: it was too much, whatever was counted here. @param {() => void} act */
  refused(act) {
    this.#credit = 0;
    this.cancel();
    this.#wait(REFUSED_PAUSE_MS, act);
  }

  /** Waits no longer. */
  cancel() {
    this.#world.clearTimer(this.#timer);
    this.#timer = undefined;
  }

  /** @param {number} ms @param {() => void} act */
  #wait(ms, act) {
    this.#timer ??= this.#world.setTimer(() => {
      this.#timer = undefined;
      act();
    }, ms);
  }
}
