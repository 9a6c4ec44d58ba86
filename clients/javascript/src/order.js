// One channel's events in order, each once, nothing left out: what to deliver and when to ask, without any I/O.

/**
 * @import { ChannelEvent } from './types.js'
 *
 * @typedef {{ events: ChannelEvent[] } | { gap: { after: number, before: number } }} Delivery
 *
 * @typedef {object} Page what answers a subscribe
 * @property {unknown} messages
 * @property {boolean} more with `after`: newer ones remain; without: older ones do, which can wait
 * @property {number} lastSeq with `after` and `more`, the page's end, of which everything may have been deleted
 *
 * @typedef {object} Outcome
 * @property {Delivery[]} deliveries in order
 * @property {'nothing' | 'ask' | 'astray'} next `ask`: there is a hole, or there is more; `astray`: the page leads
 *   nowhere, and the same is worth another try later
 */

/** Live events kept while a page is on its way; beyond it they are asked for again. */
const MAX_HELD = 500;

/** The order of one channel. */
export class Order {
  /** @type {number | undefined} of the last event delivered; undefined before the first page */
  #last;
  #isLive = false;
  /** @type {number | undefined} the `after` of the last ask */
  #after;
  /** @type {{ event: ChannelEvent, isBeforeAsk: boolean }[]} live events that wait for a page */
  #held = [];
  #isOverflown = false;

  /** Whether everything so far has been delivered, as far as anybody knows. */
  get isLive() {
    return this.#isLive;
  }

  /** A page is to be asked for: what is not yet delivered waits for it. */
  distrust() {
    this.#isLive = false;
  }

  /** The connection has ended. What was held is in the log. */
  disconnected() {
    this.#isLive = false;
    this.#held = [];
    this.#isOverflown = false;
  }

  /**
   * A subscribe is being written.
   *
   * @returns {number | undefined} its `after`
   */
  ask() {
    // The page must have those, or tell by its silence that the log has not got what is before them.
    for (const one of this.#held) one.isBeforeAsk = true;
    this.#isOverflown = false;
    this.#after = this.#last;
    return this.#last;
  }

  /**
   * The answer to the last ask.
   *
   * @param {Page} page
   * @returns {Outcome}
   */
  page({ messages, more, lastSeq }) {
    /** @type {Delivery[]} */
    const deliveries = [];
    const after = this.#after;
    const events = inOrder(messages, this.#last ?? 0);
    this.#deliver(deliveries, events);
    if (after !== undefined && more) {
      this.#last = Math.max(this.#last ?? 0, Number(lastSeq) || 0);
      this.#isLive = false;
      return { deliveries, next: this.#last > after ? 'ask' : 'astray' };
    }
    // Not `lastSeq`: it may count an event that overtook this page and is held.
    this.#last ??= 0;
    this.#isLive = true;
    return this.#release(deliveries, this.#last === after);
  }

  /**
   * A live event.
   *
   * @param {ChannelEvent} event
   * @returns {Outcome}
   */
  live(event) {
    /** @type {Delivery[]} */
    const deliveries = [];
    if (this.#last !== undefined && event.seq <= this.#last) return { deliveries, next: 'nothing' };
    if (this.#isLive && !this.#isHole(event)) {
      this.#deliver(deliveries, [event]);
      return { deliveries, next: 'nothing' };
    }
    this.#hold(event);
    const next = this.#isLive ? 'ask' : 'nothing';
    this.#isLive = false;
    return { deliveries, next };
  }

  /**
   * Lets out the live events that waited.
   *
   * @param {Delivery[]} deliveries
   * @param {boolean} isComplete whether the log had nothing more to give when it was asked
   * @returns {Outcome}
   */
  #release(deliveries, isComplete) {
    const held = this.#held.sort((one, other) => one.event.seq - other.event.seq);
    this.#held = [];
    if (this.#isOverflown) this.#isLive = false;
    for (const { event, isBeforeAsk } of held) {
      if (event.seq <= (this.#last ?? 0)) continue;
      const isHole = this.#isHole(event);
      if (!this.#isLive || (isHole && !(isComplete && isBeforeAsk))) {
        this.#isLive = false;
        this.#hold(event);
        continue;
      }
      if (isHole) deliveries.push({ gap: { after: this.#last ?? 0, before: event.seq } });
      this.#deliver(deliveries, [event]);
    }
    return { deliveries, next: this.#isLive ? 'nothing' : 'ask' };
  }

  /** @param {ChannelEvent} event */
  #hold(event) {
    if (this.#held.length >= MAX_HELD) {
      this.#held = [];
      this.#isOverflown = true;
    }
    this.#held.push({ event, isBeforeAsk: false });
  }

  /** @param {ChannelEvent} event */
  #isHole(event) {
    return (event.prev ?? 0) > (this.#last ?? 0);
  }

  /** @param {Delivery[]} deliveries @param {ChannelEvent[]} events */
  #deliver(deliveries, events) {
    const last = events.at(-1);
    if (!last) return;
    this.#last = last.seq;
    const before = deliveries.at(-1);
    if (before && 'events' in before) before.events.push(...events);
    else deliveries.push({ events: [...events] });
  }
}

/**
 * The events after `after`, without any that would step back.
 *
 * @param {unknown} messages
 * @param {number} after
 * @returns {ChannelEvent[]}
 */
export function inOrder(messages, after) {
  let last = after;
  return (Array.isArray(messages) ? messages : []).filter((event) => {
    if (!Number.isInteger(event?.seq) || event.seq <= last) return false;
    last = event.seq;
    return true;
  });
}
