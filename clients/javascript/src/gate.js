// Lets a few through at a time, the others in their order.

/** @template T whoever wants through */
export class Gate {
  #size;
  /** @type {Set<T>} */
  #inside = new Set();
  /** @type {Map<T, () => void>} those who wait, and what they do then */
  #waiting = new Map();

  /** @param {number} size how many at a time */
  constructor(size) {
    this.#size = size;
  }

  /** @param {T} who once more is as good as once @param {() => void} act now, or when there is room */
  enter(who, act) {
    if (!this.#inside.has(who) && this.#inside.size >= this.#size) return void this.#waiting.set(who, act);
    this.#inside.add(who);
    act();
  }

  /** @param {T} who is done, or waits no longer */
  leave(who) {
    this.#waiting.delete(who);
    this.#inside.delete(who);
    const [next] = this.#waiting;
    if (!next || this.#inside.size >= this.#size) return;
    this.#waiting.delete(next[0]);
    this.enter(...next);
  }

  /** Sends all away. */
  clear() {
    this.#inside.clear();
    this.#waiting.clear();
  }
}
