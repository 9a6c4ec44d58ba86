// Where a message is written.

import { TEXT_MAX } from '../draft.js';
import { PATHS, h, icon, iconButton } from './dom.js';

/**
 * @import { Chat } from '../chat.js'
 * @import { MessageRow } from '../conversation.js'
 * @import { Format } from '../format.js'
 */

/** From here on the count of characters is shown. */
const COUNT_FROM = 3_600;

export class Composer {
  #chat;
  #format;
  #input;
  #send;
  #editing;
  #count;

  /** @param {Chat} chat @param {Format} format @param {{ sent: () => void }} around */
  constructor(chat, format, { sent }) {
    this.#chat = chat;
    this.#format = format;
    // Keyboards on glass have no Shift and Enter: there Enter is a new line, and the button sends.
    const isTouch = matchMedia('(hover: none) and (pointer: coarse)').matches;
    const count = 'length';
    this.#input = h('textarea', {
      part: 'input', attributes: {
        rows: '1', 'aria-label': format.text('message'), placeholder: format.text('placeholder'),
        enterkeyhint: isTouch ? 'enter' : 'send', autocomplete: 'off', 'aria-describedby': count,
      },
    });
    this.#send = h('button', { part: 'send', class: 'icon', attributes: { type: 'submit' } });
    this.#editing = h('div', { part: 'editing' },
      icon(PATHS.edit), h('span', { text: format.text('editing') }),
      iconButton('cancel-edit', format.text('cancel'), PATHS.close, () => this.endEdit()));
    this.#count = h('div', { part: 'count', attributes: { id: count } });
    this.node = h('form', { part: 'composer', attributes: { novalidate: '' } },
      this.#editing, h('div', { class: 'field' }, this.#input, this.#send), this.#count);
    const submit = () => {
      if (!chat.draft.canBeSent) return;
      chat.send();
      sent();
      this.focus();
    };
    this.node.addEventListener('submit', (event) => {
      event.preventDefault();
      submit();
    });
    this.#input.addEventListener('keydown', (event) => {
      // While an input method composes a word, Enter belongs to it; Safari says so by 229 only.
      if (event.key !== 'Enter' || event.shiftKey || isTouch || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      submit();
    });
    this.#input.addEventListener('input', () => {
      chat.write(this.#input.value);
      this.render();
    });
  }

  focus() {
    this.#input.focus({ preventScroll: true });
  }

  /** @param {MessageRow} row */
  edit({ seq, text, revision }) {
    this.#chat.draft.edit(seq, revision?.text ?? text);
    this.render();
    this.focus();
    this.#input.setSelectionRange(this.#input.value.length, this.#input.value.length);
  }

  /** @returns {boolean} whether a message was being edited */
  endEdit() {
    if (this.#chat.draft.editing === undefined) return false;
    this.#chat.draft.endEdit();
    this.render();
    this.focus();
    return true;
  }

  render() {
    const { draft } = this.#chat;
    const isEditing = draft.editing !== undefined;
    if (this.#input.value !== draft.text) this.#input.value = draft.text;
    // An empty one is as the words that stand in it until something is written.
    this.#input.dir = draft.text === '' ? '' : 'auto';
    this.#editing.hidden = !isEditing;
    const name = this.#format.text(isEditing ? 'save' : 'send');
    if (this.#send.getAttribute('aria-label') !== name) {
      this.#send.setAttribute('aria-label', name);
      this.#send.title = name;
      this.#send.replaceChildren(icon(isEditing ? PATHS.save : PATHS.send));
    }
    this.#send.disabled = !draft.canBeSent;
    const { length } = draft;
    this.#count.textContent = length >= COUNT_FROM ? this.#format.text('length', { count: length, max: TEXT_MAX }) : '';
    this.#input.setAttribute('aria-invalid', String(length > TEXT_MAX));
    this.#grow();
  }

  #grow() {
    this.#input.style.height = 'auto';
    if (this.#input.scrollHeight > 0) this.#input.style.height = `${this.#input.scrollHeight}px`;
  }
}
