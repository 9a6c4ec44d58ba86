// The conversation on the page: a bounded number of rows, which stay where the reader has them.

import { Excerpt } from '../excerpt.js';
import { surroundingsOf } from '../grouping.js';
import { PATHS, button, h, icon } from './dom.js';
import { rowNode } from './message.js';

/**
 * @import { Chat } from '../chat.js'
 * @import { Row } from '../conversation.js'
 * @import { Format } from '../format.js'
 * @import { Actions, Looks } from './message.js'
 */

/** How near to the end counts as being there, in CSS pixels. */
const NEAR_END = 48;
/** Rows come when the reader is so many heights of the window away from where they end. */
const AHEAD = 1.5;

export class Log {
  #chat;
  #format;
  #actions;
  #excerpt;
  /** @type {Map<string, { row: Row, looks: string, node: HTMLElement }>} what is on the page, by key */
  #shown = new Map();
  #list;
  #older;
  #jump;
  #scroller;
  #isFollowing = true;
  /** Where the reader was last, and which way they went: rows that come move the page, too. */
  #position = 0;
  #isGoingUp = true;
  /** Messages of others that came while the reader was elsewhere. */
  #missed = 0;
  /** @type {number | undefined} the `seq` of the message that the member is asked about */
  #confirming;
  #sizes;

  /**
   * @param {Chat} chat
   * @param {Format} format
   * @param {Pick<Actions, 'edit'>} actions
   * @param {{ followed: () => void, welcome: Node, left: () => void }} around `followed`: whether the reader sees the end has
   *   changed; `left`: what had the focus is gone
   */
  constructor(chat, format, { edit }, { followed, welcome, left }) {
    this.#chat = chat;
    this.#format = format;
    this.#excerpt = new Excerpt(chat.conversation);
    this.followed = followed;
    this.left = left;
    /** @type {Actions} */
    this.#actions = {
      edit,
      askToDelete: ({ seq }) => this.#confirm(seq),
      delete: ({ seq }, isSure) => {
        this.#confirming = undefined;
        if (isSure) chat.revise(seq, 'delete');
        this.render();
        left();
      },
      retry: ({ id, seq, revision }) => {
        if (revision) chat.revise(seq, revision.kind, revision.text);
        else chat.retry(id);
        left();
      },
      discard: ({ id, seq, revision }) => {
        if (revision) chat.forgetRevision(seq);
        else chat.discard(id);
        left();
      },
    };
    this.#list = h('div', { class: 'rows' });
    this.#older = button({ part: 'older', click: () => chat.loadOlder() });
    this.#scroller = h('div', {
      part: 'log', attributes: { role: 'log', 'aria-live': 'off', 'aria-label': format.text('conversation'), tabindex: '0' },
    }, h('div', { class: 'column' }, this.#older, welcome, this.#list));
    this.welcome = welcome;
    this.#jump = button({ part: 'jump', click: () => this.toEnd() });
    this.node = h('div', { class: 'stage' }, this.#scroller, this.#jump);
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#sizes = new ResizeObserver(() => {
      this.#noteScroll();
      this.#keepUp();
    });
    this.#sizes.observe(this.#scroller);
    this.#sizes.observe(this.#list);
  }

  get isFollowing() {
    return this.#isFollowing;
  }

  /** Others have said something. @param {number} count */
  heard(count) {
    if (!this.#isFollowing) this.#missed += count;
  }

  /** Goes to the latest message. */
  toEnd() {
    this.#excerpt.follow();
    this.#setFollowing(true);
    // Wherever the reader has been meanwhile.
    this.#position = this.#scroller.scrollTop;
    this.render();
  }

  /** Puts on the page what has changed, and leaves the reader where they are. */
  render() {
    const { conversation, hasOlder, isLoaded, loading, refusal } = this.#chat;
    this.#noteScroll();
    if (this.#isFollowing) this.#chat.trim();
    const isEmpty = isLoaded && conversation.length === 0;
    /** @type {HTMLElement} */ (this.welcome).hidden = !isEmpty;
    const anchor = this.#isFollowing ? undefined : this.#anchor();
    this.#reconcile();
    this.#older.hidden = refusal !== undefined || (isLoaded && !(hasOlder && this.#excerpt.isAtStart));
    this.#older.disabled = loading === 'loading' || !isLoaded;
    this.#older.textContent = this.#format.text(this.#older.disabled ? 'loading' : 'load_older');
    anchor?.();
    this.#keepUp();
    this.#showJump();
    this.#fill();
  }

  end() {
    this.#sizes.disconnect();
  }

  /** @param {number} seq */
  #confirm(seq) {
    this.#confirming = seq;
    this.render();
    const node = this.#shown.get(`${seq}`)?.node;
    /** @type {HTMLElement | null | undefined} */ (node?.querySelector('[part~=confirm-delete]'))?.focus();
  }

  /** Whether a question is open. Answers it with no. */
  dismiss() {
    if (this.#confirming === undefined) return false;
    this.#confirming = undefined;
    this.render();
    this.left();
    return true;
  }

  /** Makes the rows on the page those of the excerpt. Rows keep their order, so none is ever moved. */
  #reconcile() {
    const { conversation } = this.#chat;
    const { from, to } = this.#excerpt;
    const around = conversation.slice(Math.max(0, from - 1), to + 1);
    const first = from > 0 ? 1 : 0;
    const rows = around.slice(first, first + to - from);
    const { lastOwn } = conversation;
    const focused = this.#focused();
    const keys = new Set(rows.map(({ key }) => key));
    for (const [key, { node }] of this.#shown) if (!keys.has(key)) node.remove();
    const shown = new Map();
    let place = this.#list.firstChild;
    for (const [index, row] of rows.entries()) {
      const looks = this.#looks(row, around[first + index - 1], around[first + index + 1], row === lastOwn);
      const signature = JSON.stringify(looks);
      let entry = this.#shown.get(row.key);
      if (entry?.row !== row || entry.looks !== signature) {
        const node = rowNode(named(row, conversation), looks, this.#format, this.#actions);
        if (entry) {
          if (entry.node === place) place = node;
          entry.node.replaceWith(node);
        }
        entry = { row, looks: signature, node };
      }
      if (entry.node === place) place = place.nextSibling;
      else this.#list.insertBefore(entry.node, place);
      shown.set(row.key, entry);
    }
    this.#shown = shown;
    focused?.();
  }

  /** Remembers what of a row has the focus: what is returned gives it to what stands there now. */
  #focused() {
    const root = /** @type {Document | ShadowRoot} */ (this.#list.getRootNode());
    const focused = root.activeElement;
    if (!focused || !this.#list.contains(focused)) return undefined;
    const row = focused.closest('.row')?.getAttribute('data-seq');
    const part = focused.getAttribute('part');
    return () => {
      if (focused.isConnected) return;
      const heir = this.#list.querySelector(`[data-seq="${row}"] [part="${part}"]`);
      if (heir instanceof HTMLElement) heir.focus();
      else this.left();
    };
  }

  /** @param {Row} row @param {Row | undefined} previous @param {Row | undefined} next @param {boolean} isLastOwn @returns {Looks} */
  #looks(row, previous, next, isLastOwn) {
    const { conversation } = this.#chat;
    const around = surroundingsOf(row, previous, next, {
      isOwn: (one) => conversation.isOwn(one), firstUnread: conversation.firstUnread,
    });
    const isOwn = conversation.isOwn(row);
    const isLogged = row.kind === 'message' && row.status === undefined;
    return {
      around,
      isOwn,
      isLastOwn,
      receipt: isOwn && isLogged ? this.#chat.receiptOf(row) : undefined,
      canRevise: isOwn && isLogged && !row.revision && !conversation.isEnded,
      isConfirming: isLogged && row.seq === this.#confirming,
      day: around.startsDay ? this.#format.day(row.time, Date.now()) : '',
    };
  }

  /** Remembers where the rows that the reader sees are: what is returned puts them there again. */
  #anchor() {
    const top = this.#scroller.getBoundingClientRect().top;
    /** @type {{ node: HTMLElement, top: number }[]} */
    const places = [];
    for (const { node } of this.#shown.values()) {
      const box = node.getBoundingClientRect();
      if (box.bottom > top) places.push({ node, top: box.top });
      if (places.length >= 5) break;
    }
    return () => {
      const stayed = places.find(({ node }) => node.isConnected);
      if (!stayed) return;
      const moved = stayed.node.getBoundingClientRect().top - stayed.top;
      if (moved !== 0) this.#scroller.scrollTop += moved;
      this.#position = this.#scroller.scrollTop;
    };
  }

  #scrolled() {
    this.#noteScroll();
    this.#fill();
    this.#showJump();
  }

  /** Where the reader has gone. The browser tells a moment later, when the page may have changed. */
  #noteScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    if (scrollTop === this.#position || clientHeight === 0) return;
    this.#isGoingUp = scrollTop < this.#position;
    this.#position = scrollTop;
    this.#setFollowing(scrollHeight - scrollTop - clientHeight < NEAR_END && this.#excerpt.isAtEnd);
  }

  /** Brings rows to where the reader is about to be: only ahead, so that none come and go in turn. */
  #fill() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    if (clientHeight === 0) return;
    const below = scrollHeight - scrollTop - clientHeight;
    const ahead = Math.min(AHEAD * clientHeight, (scrollTop + below) / 4);
    if (this.#excerpt.isAtStart && scrollTop <= ahead) {
      if (this.#chat.hasOlder && this.#chat.loading === 'idle') this.#chat.loadOlder();
    } else if (this.#isGoingUp && scrollTop <= ahead && !this.#isFollowing) {
      if (this.#excerpt.up()) this.render();
    } else if (!this.#isGoingUp && below <= ahead && this.#excerpt.down()) {
      this.render();
    }
  }

  /** Something has changed its height: a reader who was at the end stays there. */
  #keepUp() {
    if (!this.#isFollowing) return;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#position = this.#scroller.scrollTop;
  }

  /** @param {boolean} isFollowing */
  #setFollowing(isFollowing) {
    if (isFollowing === this.#isFollowing) return;
    this.#isFollowing = isFollowing;
    if (isFollowing) {
      this.#missed = 0;
      this.#excerpt.follow();
    } else {
      this.#excerpt.hold();
    }
    this.followed();
  }

  #showJump() {
    const name = this.#missed > 0 ? this.#format.text('new_messages', { count: this.#missed }) : '';
    this.#jump.hidden = this.#isFollowing;
    this.#jump.setAttribute('aria-label', name || this.#format.text('to_end'));
    this.#jump.replaceChildren(...(name ? [name, icon(PATHS.down)] : [icon(PATHS.down)]));
  }
}

/** @param {Row} row @param {import('../conversation.js').Conversation} conversation */
function named(row, conversation) {
  return row.kind === 'note' ? { ...row, name: conversation.nameOf(row.uid) } : row;
}
