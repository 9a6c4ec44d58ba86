// Chance that a seed decides.

/** A small generator (mulberry32): the same seed, the same run. */
export class Chance {
  #state;

  /** @param {number} seed */
  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** From 0 to 1, without 1. */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Whether something of this probability happens. @param {number} probability */
  is(probability) {
    return this.next() < probability;
  }

  /** A whole number. @param {number} from @param {number} to included */
  between(from, to) {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  /** @template T @param {T[]} from @returns {T} */
  pick(from) {
    return /** @type {T} */ (from[this.between(0, from.length - 1)]);
  }
}
