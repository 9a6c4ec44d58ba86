// What a server has stored: the truth that clients are held against.

/**
 * @typedef {{ type: string, channel: string, seq: number, prev: number, time: number, id?: string, from_uid?: string,
 *   text?: string, isGone: boolean }} Logged
 */

/** The log of all channels. */
export class Log {
  #time;
  #windowMs;
  #last = 0;
  /** @type {Map<string, Logged[]>} */
  #channels = new Map();
  /** @type {Map<string, { event: Logged, at: number }>} ids that are recognised, with when they were first stored */
  #ids = new Map();

  /** @param {import('./time.js').Time} time @param {number} windowMs */
  constructor(time, windowMs) {
    this.#time = time;
    this.#windowMs = windowMs;
  }

  /** All that was ever stored. @param {string} channel @returns {Logged[]} */
  of(channel) {
    const events = this.#channels.get(channel) ?? [];
    this.#channels.set(channel, events);
    return events;
  }

  /** What is still there. @param {string} channel */
  shown(channel) {
    return this.of(channel).filter(({ isGone }) => !isGone);
  }

  /** @param {string} channel */
  lastSeq(channel) {
    return this.of(channel).at(-1)?.seq ?? 0;
  }

  /**
   * Stores an event, unless one with its id was stored within the window.
   *
   * @param {string} channel
   * @param {{ type: string, id?: string, from_uid?: string, text?: string }} what
   * @returns {{ event: Logged, isDuplicate: boolean }}
   */
  store(channel, what) {
    const key = `${channel} ${what.id}`;
    const known = what.id === undefined ? undefined : this.#ids.get(key);
    if (known && this.#time.now - known.at < this.#windowMs) return { event: known.event, isDuplicate: true };
    const events = this.of(channel);
    const before = events.at(-1);
    // Channels share one log. What was erased is nobody's `prev` any more.
    this.#last += 1 + (this.#last % 3);
    const prev = before && !before.isGone ? before.seq : 0;
    const event = { ...what, channel, seq: this.#last, prev, time: Math.round(this.#time.now), isGone: false };
    events.push(event);
    if (what.id !== undefined) this.#ids.set(key, { event, at: this.#time.now });
    return { event, isDuplicate: false };
  }

  /** Erases an event. @param {Logged} event */
  erase(event) {
    event.isGone = true;
  }
}

/** An event as it is sent. @param {Logged} event */
export function sent({ isGone: _isGone, ...event }) {
  return event;
}
