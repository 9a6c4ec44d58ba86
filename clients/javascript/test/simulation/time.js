// Simulated time: timers in their order, clocks that can be set, a computer that can sleep.

/**
 * @import { World } from '../../src/world.js'
 *
 * @typedef {{ at: number, order: number, act: () => void }} Due
 */

/** The time of one simulation. */
export class Time {
  /** Milliseconds since the beginning, of which nobody in the simulation knows. */
  now = 0;
  /** @type {Due[]} a heap, the next one first */
  #heap = [];
  /** @type {Set<Due>} */
  #cancelled = new Set();
  #order = 0;

  /** @param {() => void} act @param {number} ms @returns {Due} */
  after(ms, act) {
    const due = { at: this.now + Math.max(0, ms), order: this.#order++, act };
    this.#push(due);
    return due;
  }

  /** @param {unknown} due */
  cancel(due) {
    if (due) this.#cancelled.add(/** @type {Due} */ (due));
  }

  /** Runs until the time has come; promises are settled after each step. @param {number} end */
  async until(end) {
    await settled();
    for (let next = this.#heap[0]; next && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      if (this.#cancelled.delete(next)) continue;
      this.now = Math.max(this.now, next.at);
      next.act();
      await settled();
    }
    this.now = Math.max(this.now, end);
    await settled();
  }

  /** @param {Due} due */
  #push(due) {
    const heap = this.#heap;
    let index = heap.push(due) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(due, heap[parent])) break;
      heap[index] = /** @type {Due} */ (heap[parent]);
      index = parent;
    }
    heap[index] = due;
  }

  #pop() {
    const heap = this.#heap;
    const last = /** @type {Due} */ (heap.pop());
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(/** @type {Due} */ (heap[child + 1]), heap[child])) child += 1;
      if (!isBefore(/** @type {Due} */ (heap[child]), last)) break;
      heap[index] = /** @type {Due} */ (heap[child]);
      index = child;
    }
    heap[index] = last;
  }
}

/** @param {Due} one @param {Due | undefined} other */
function isBefore(one, other) {
  return other !== undefined && (one.at < other.at || (one.at === other.at && one.order < other.order));
}

/** Lets all promises settle that can. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What one client sees of the time; ends with its page. */
export class Computer {
  #time;
  #chance;
  #isGone = false;
  /** What the clocks differ from the real time. */
  skew = { steady: 0, wall: 1_700_000_000_000 };
  page = new EventTarget();

  /** @param {Time} time @param {import('./chance.js').Chance} chance */
  constructor(time, chance) {
    this.#time = time;
    this.#chance = chance;
  }

  /** @returns {World} */
  get world() {
    const id = () => `${this.#chance.between(1e9, 9e9)}-${this.#chance.between(1e9, 9e9)}`;
    return {
      steadyNow: () => this.#time.now + this.skew.steady,
      wallNow: () => Math.round(this.#time.now + this.skew.wall),
      setTimer: (act, ms) => this.#time.after(ms, () => this.#isGone || act()),
      clearTimer: (timer) => this.#time.cancel(timer),
      random: () => this.#chance.next(),
      randomId: id,
      page: this.page,
      document: undefined,
    };
  }

  get isGone() {
    return this.#isGone;
  }

  /** The page ends: nothing of it runs any more. */
  end() {
    this.#isGone = true;
  }
}
