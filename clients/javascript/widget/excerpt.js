// Which rows of a conversation are on the page: so many at most, wherever the reader is. The others are put there when
// the reader comes near.

/** Rows on the page: more than a tall screen shows, with room above and below. */
export const ROWS_MAX = 150;
/** As many come at one end, and go at the other, at a time. */
const STEP = 50;

/**
 * @import { Conversation } from './conversation.js'
 *
 * @typedef {Pick<Conversation, 'length' | 'indexOf' | 'slice'>} Rows
 */

export class Excerpt {
  #rows;
  /** The `seq` of the first row; undefined: the latest ones, whichever they are. @type {number | undefined} */
  #first;

  /** @param {Rows} rows */
  constructor(rows) {
    this.#rows = rows;
  }

  /** The index of the first row. */
  get from() {
    const latest = Math.max(0, this.#rows.length - ROWS_MAX);
    return this.#first === undefined ? latest : Math.min(latest, this.#rows.indexOf(this.#first));
  }

  /** The index after the last row. */
  get to() {
    return Math.min(this.#rows.length, this.from + ROWS_MAX);
  }

  get isAtStart() {
    return this.from === 0;
  }

  get isAtEnd() {
    return this.to === this.#rows.length;
  }

  /** The latest rows, now and when more come. */
  follow() {
    this.#first = undefined;
  }

  /** These rows, whatever comes. */
  hold() {
    this.#begin(this.from);
  }

  /** @returns {boolean} whether there were older rows to show */
  up() {
    return this.#move(-STEP);
  }

  /** @returns {boolean} whether there were newer rows to show */
  down() {
    return this.#move(STEP);
  }

  /** @param {number} step */
  #move(step) {
    const { from } = this;
    this.#begin(Math.min(Math.max(0, from + step), Math.max(0, this.#rows.length - ROWS_MAX)));
    return this.from !== from;
  }

  /** @param {number} index */
  #begin(index) {
    this.#first = this.#rows.slice(index, index + 1)[0]?.seq ?? 0;
  }
}
