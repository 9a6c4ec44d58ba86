// The button in the corner of a page, with the count of what is unread.

import { PATHS, button, h, icon } from './dom.js';

/** @import { Format } from '../format.js' */

export class Launcher {
  #format;
  #badge = h('span', { part: 'badge', attributes: { 'aria-hidden': 'true' } });
  #unread = -1;
  #isOpen = true;

  /** @param {Format} format @param {() => void} click */
  constructor(format, click) {
    this.#format = format;
    this.node = button({ part: 'launcher', attributes: { 'aria-expanded': 'false' }, click });
  }

  /** @param {boolean} isOpen @param {number} unread */
  render(isOpen, unread) {
    if (isOpen === this.#isOpen && unread === this.#unread) return;
    const isTurned = isOpen !== this.#isOpen;
    [this.#isOpen, this.#unread] = [isOpen, unread];
    const name = this.#format.text(isOpen ? 'close' : 'open');
    const count = unread > 0 && !isOpen;
    this.node.setAttribute('aria-expanded', String(isOpen));
    this.node.setAttribute('aria-label', count ? `${name}, ${this.#format.text('unread', { count: unread })}` : name);
    this.#badge.hidden = !count;
    this.#badge.textContent = unread > 99 ? `${this.#format.number(99)}+` : this.#format.number(unread);
    if (isTurned || !this.node.firstChild) this.node.replaceChildren(icon(isOpen ? PATHS.down : PATHS.chat), this.#badge);
  }
}
