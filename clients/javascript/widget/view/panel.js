// The conversation with all that stands around it: who is there, how the connection is, who is typing.

import { Composer } from './composer.js';
import { PATHS, button, h, iconButton } from './dom.js';
import { Log } from './log.js';
import { reasonOf } from './message.js';

/**
 * @import { Chat } from '../chat.js'
 * @import { MessageRow } from '../conversation.js'
 * @import { Format } from '../format.js'
 */

/** As many of those who are there are named. */
const NAMED_MAX = 3;
/** Lines that are read out and may still be waited for. */
const ANNOUNCED_MAX = 5;

export class Panel {
  #chat;
  #format;
  #log;
  #composer;
  #presence = h('div', { part: 'presence' });
  #banner = h('div', { part: 'banner', attributes: { role: 'status' } });
  #typing = h('div', { part: 'typing', attributes: { 'aria-hidden': 'true' } });
  #ended;
  #refused = h('div', { part: 'refused', attributes: { role: 'alert' } });
  // What is new is read out here; the log itself changes whenever the reader scrolls.
  #announcer = h('div', { class: 'hidden-text', attributes: { 'aria-live': 'polite' } });
  #presenceShown = '';
  #bannerShown = '-';
  #typingShown = '';
  #failed = 0;

  /**
   * @param {Chat} chat
   * @param {Format} format
   * @param {{ title: string, close: (() => void) | undefined, attended: () => void }} around `close`: if it can be; `attended`:
   *   whether the end of the conversation is seen has changed
   */
  constructor(chat, format, { title, close, attended }) {
    this.#chat = chat;
    this.#format = format;
    const welcome = h('div', { part: 'welcome' }, h('slot', { attributes: { name: 'welcome' } }, format.text('welcome')));
    this.#composer = new Composer(chat, format, { sent: () => this.#log.toEnd() });
    this.#log = new Log(chat, format, { edit: (row) => this.#composer.edit(row) }, {
      followed: attended, welcome, left: () => this.focus(),
    });
    this.#ended = h('div', { part: 'ended' }, h('span', { text: format.text('ended') }), h('slot', { attributes: { name: 'ended' } }));
    // A page of which it is all is named by it.
    const heading = h(close ? 'h2' : 'h1', { part: 'title', text: title, attributes: { id: 'title' } });
    this.node = h('section', { part: 'panel', attributes: { 'aria-labelledby': 'title', tabindex: '-1' } },
      h('header', { part: 'header' },
        h('div', { class: 'heading' }, heading, this.#presence),
        h('slot', { attributes: { name: 'actions' } }),
        close && iconButton('close', format.text('close'), PATHS.close, close)),
      this.#banner,
      this.#log.node,
      h('div', { part: 'foot' },
        h('div', { class: 'column' }, this.#typing, this.#ended, this.#refused, this.#composer.node)),
      this.#announcer);
  }

  /** Whether the reader sees the end of the conversation, if the panel is seen. */
  get isFollowing() {
    return this.#log.isFollowing;
  }

  /** Gives the focus to what is written in; on a touch screen not, unless asked: its keyboard would hide the conversation. */
  greet() {
    if (matchMedia('(hover: none) and (pointer: coarse)').matches) this.node.focus();
    else this.focus();
  }

  focus() {
    if (this.#composer.node.hidden) /** @type {HTMLElement | null} */ (this.node.querySelector('[part=log]'))?.focus();
    else this.#composer.focus();
  }

  /** What Escape ends first: a question, or editing. @returns {boolean} whether there was anything */
  dismiss() {
    return this.#log.dismiss() || this.#composer.endEdit();
  }

  /** The panel has come: the latest messages are shown. */
  opened() {
    this.#log.toEnd();
  }

  /** Others have said something. @param {MessageRow[]} messages */
  heard(messages) {
    this.#log.heard(messages.length);
    for (const { name, uid, text } of messages.slice(-ANNOUNCED_MAX)) this.#announce(`${name ?? uid ?? ''}: ${text}`);
  }

  render() {
    const { conversation, refusal, state } = this.#chat;
    this.node.dataset['state'] = state;
    const isRefused = refusal !== undefined;
    this.#refused.hidden = !isRefused;
    this.#refused.textContent = isRefused ? this.#format.text('refused') : '';
    this.#ended.hidden = isRefused || !conversation.isEnded;
    this.#composer.node.hidden = isRefused || conversation.isEnded;
    this.#showPresence();
    this.#showBanner();
    this.#showTyping();
    this.#tellFailures();
    this.#composer.render();
    this.#log.render();
  }

  end() {
    this.#log.end();
  }

  #showPresence() {
    const { conversation, present = [] } = this.#chat;
    const shown = present.slice(0, NAMED_MAX).map(({ uid, role }) => h('span', { class: 'somebody', attributes: { 'data-role': role } },
      h('bdi', { text: conversation.nameOf(uid) }),
      h('span', { part: 'role', text: this.#format.role(role), attributes: { 'data-role': role } })));
    const surplus = present.length - shown.length;
    if (surplus > 0) shown.push(h('span', { text: this.#format.text('more', { count: surplus }) }));
    const key = shown.map(({ outerHTML }) => outerHTML).join('');
    if (key === this.#presenceShown) return;
    this.#presenceShown = key;
    this.#presence.hidden = shown.length === 0;
    const label = h('span', { class: 'hidden-text', text: this.#format.text('here') });
    this.#presence.replaceChildren(label, h('span', { class: 'dot' }), ...shown);
  }

  #showBanner() {
    const { refusal, state } = this.#chat;
    const shown = refusal || state === 'online' ? '' : state;
    if (shown === this.#bannerShown) return;
    this.#bannerShown = shown;
    this.#banner.hidden = shown === '';
    const text = this.#format.text(shown === 'reconnecting' ? 'reconnecting' : shown === 'closed' ? 'disconnected' : 'connecting');
    // The server has asked us to stay away, or a wait is long: whoever is in a hurry need not.
    const now = shown === 'closed' || shown === 'reconnecting';
    this.#banner.replaceChildren(h('span', { text: shown && text }));
    if (now) this.#banner.append(button({ part: 'reconnect', text: this.#format.text('reconnect'), click: () => this.#chat.connect() }));
  }

  #showTyping() {
    const { typing } = this.#chat;
    const [one = ''] = typing;
    const text = typing.length === 0 ? ''
      : typing.length === 1 ? this.#format.text('typing_one', { name: one })
        : typing.length <= NAMED_MAX ? this.#format.text('typing_some', { names: this.#format.list(typing) })
          : this.#format.text('typing_many');
    if (text === this.#typingShown) return;
    this.#typingShown = text;
    this.#typing.replaceChildren(...(text ? [h('span', { class: 'dots' }, h('i'), h('i'), h('i')), h('span', { text })] : []));
  }

  #tellFailures() {
    const errors = this.#chat.conversation.failures;
    const [latest] = errors.slice(-1);
    if (latest && errors.length > this.#failed) this.#announce(`${this.#format.text('not_sent')}: ${reasonOf(latest, this.#format)}`);
    this.#failed = errors.length;
  }

  /** @param {string} text */
  #announce(text) {
    this.#announcer.append(h('p', { text }));
    while (this.#announcer.childElementCount > ANNOUNCED_MAX) this.#announcer.firstChild?.remove();
  }
}
