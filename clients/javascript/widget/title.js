// The count of what is unread, before the title of the page.

export class TitleBadge {
  #document;
  #prefix = '';

  /** @param {{ title: string }} document */
  constructor(document) {
    this.#document = document;
  }

  /** @param {number} count none: the title is the page's own again */
  show(count) {
    const { title } = this.#document;
    const prefix = count > 0 ? `(${count}) ` : '';
    // The page may have changed its title meanwhile.
    const own = this.#prefix && title.startsWith(this.#prefix) ? title.slice(this.#prefix.length) : title;
    this.#prefix = prefix;
    if (title !== prefix + own) this.#document.title = prefix + own;
  }
}
