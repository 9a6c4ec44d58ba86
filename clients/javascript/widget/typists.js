// Who is typing: whoever said so within the last seconds and has sent nothing since.

/** @import { Timer, World } from '../src/world.js' */

const SHOWN_MS = 5_000;

export class Typists {
  #world;
  #changed;
  /** @type {Map<string, Timer>} by uid */
  #timers = new Map();

  /** @param {Pick<World, 'setTimer' | 'clearTimer'>} world @param {() => void} changed */
  constructor(world, changed) {
    this.#world = world;
    this.#changed = changed;
  }

  /** @returns {string[]} */
  get uids() {
    return [...this.#timers.keys()];
  }

  /** @param {string} uid */
  typing(uid) {
    this.#world.clearTimer(this.#timers.get(uid));
    this.#timers.set(uid, this.#world.setTimer(() => this.stopped(uid), SHOWN_MS));
    this.#changed();
  }

  /** @param {string | undefined} uid */
  stopped(uid) {
    if (uid === undefined || !this.#timers.has(uid)) return;
    this.#world.clearTimer(this.#timers.get(uid));
    this.#timers.delete(uid);
    this.#changed();
  }

  clear() {
    for (const timer of this.#timers.values()) this.#world.clearTimer(timer);
    this.#timers.clear();
  }
}
