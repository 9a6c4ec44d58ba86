// What is being written: a new message, or a new text of an old one, which does not cost the new one.

/** The server's default; it has the last word. */
export const TEXT_MAX = 4_096;

/** In characters as the server counts them, not in UTF-16 units. @param {string} text */
export function lengthOf(text) {
  return [...text].length;
}

export class Draft {
  text = '';
  /** The `seq` of the message that is being edited. @type {number | undefined} */
  editing;
  #aside = '';

  /** In characters. */
  get length() {
    return lengthOf(this.text.trimEnd());
  }

  get canBeSent() {
    return this.text.trim() !== '' && this.length <= TEXT_MAX;
  }

  /** Begins to edit a message; what was being written waits. @param {number} seq @param {string} text */
  edit(seq, text) {
    if (this.editing === undefined) this.#aside = this.text;
    this.editing = seq;
    this.text = text;
  }

  /** Ends editing; what was being written before is back. */
  endEdit() {
    if (this.editing === undefined) return;
    this.editing = undefined;
    this.text = this.#aside;
    this.#aside = '';
  }

  /**
   * Takes what is to be sent, if it can be.
   *
   * @returns {{ text: string, seq: number | undefined } | undefined} `seq`: of the edited message
   */
  take() {
    if (!this.canBeSent) return undefined;
    const taken = { text: this.text.trimEnd(), seq: this.editing };
    if (this.editing === undefined) this.text = '';
    else this.endEdit();
    return taken;
  }
}
