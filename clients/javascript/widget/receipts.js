// How far our messages have come: sent, delivered, seen.

/** @typedef {'sent' | 'delivered' | 'seen'} Receipt */

/** What is known of the others' progress. All of it only ever rises. */
export class Receipts {
  #delivered = 0;
  #seen = 0;

  /** Somebody else has read up to here. @param {number} seq */
  seen(seq) {
    this.#seen = Math.max(this.#seen, seq);
  }

  /** Somebody else is connected, and so is given all up to here. @param {number} seq */
  delivered(seq) {
    this.#delivered = Math.max(this.#delivered, seq);
  }

  /** @param {number} seq of a message of ours that is in the log @returns {Receipt} */
  of(seq) {
    if (seq <= this.#seen) return 'seen';
    return seq <= this.#delivered ? 'delivered' : 'sent';
  }
}
