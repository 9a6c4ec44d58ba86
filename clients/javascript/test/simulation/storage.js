// A storage for outboxes that outlives its pages; slow, and broken at times.

/**
 * @import { OutboxStorage, StoredMessage } from '../../src/types.js'
 * @import { Chance } from './chance.js'
 * @import { Computer, Time } from './time.js'
 */

/** What one browser keeps. */
export class Disk {
  #time;
  #chance;
  /** @type {Map<string, StoredMessage>} */
  messages = new Map();
  /** Probability that a step fails or never ends. */
  broken = 0;

  /** @param {Time} time @param {Chance} chance */
  constructor(time, chance) {
    this.#time = time;
    this.#chance = chance;
  }

  /** A page's hold on it. What a page has begun may end with it. @param {Computer} computer @returns {OutboxStorage} */
  storage(computer) {
    let free = 0;
    const step = (/** @type {() => any} */ act) => new Promise((resolve, reject) => {
      if (this.#chance.is(this.broken)) return this.#chance.is(0.5) && reject(new Error('broken'));
      // One after the other.
      free = Math.max(free, this.#time.now + this.#chance.between(0, 20));
      this.#time.after(free - this.#time.now, () => computer.isGone || resolve(act()));
    });
    return {
      load: () => step(() => structuredClone([...this.messages.values()])),
      put: (message) => step(() => void this.messages.set(message.id, structuredClone(message))),
      remove: (id) => step(() => void this.messages.delete(id)),
    };
  }
}
