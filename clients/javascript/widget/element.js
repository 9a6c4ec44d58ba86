// The element <goch-chat>: what the product says by attributes and properties, and what it is told by events.

import { ChatClient } from '../src/client.js';
import { ChatError } from '../src/error.js';
import { realWorld } from '../src/world.js';
import { Chat } from './chat.js';
import { Format } from './format.js';
import { Sound } from './sound.js';
import { STYLES } from './styles.js';
import { TitleBadge } from './title.js';
import { fetchToken } from './token.js';
import { keepFocus } from './view/focus.js';
import { h } from './view/dom.js';
import { Launcher } from './view/launcher.js';
import { Panel } from './view/panel.js';

/**
 * @import { State } from '../src/types.js'
 * @import { MessageRow } from './conversation.js'
 * @import { Texts } from './texts/index.js'
 *
 * @typedef {object} Member who has joined over REST, as `join` returned it
 * @property {string} uid
 * @property {string} secret
 *
 * @typedef {object} WidgetEvents what each event of the element carries as `detail`
 * @property {undefined} opened the panel has opened
 * @property {undefined} closed the panel has closed
 * @property {{ count: number }} unread how many messages of others are unread, at first and at each change
 * @property {undefined} ended the conversation has ended: nobody can write in it any more
 * @property {undefined} reopened it goes on after all
 * @property {{ error: ChatError }} error what somebody may want to know of. With the code `unauthorized`, `forbidden` or
 *   `removed` the chat has been given up
 */

// Where there is no page, as where one is rendered beforehand, the module can be loaded all the same.
const Element = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (/** @type {unknown} */ (class {}));

/** Whose change makes another chat; a change of any other attribute only shows the same chat otherwise. */
const IDENTITY = new Set(['channel', 'token-url', 'url']);
/** On less there is no room beside the panel. */
const NARROW = '(max-width: 480px)';

/** The widget. `docs/widget.md` lists its attributes, parts and custom properties. */
export class GochChat extends Element {
  static observedAttributes = [...IDENTITY, 'dir', 'heading', 'lang', 'layout', 'open', 'title-badge'];
  /** Where the gateway is if there is no attribute `url`. @type {string | undefined} */
  static gateway;

  /** @type {Chat | undefined} */
  #chat;
  /** @type {Panel | undefined} */
  #panel;
  /** @type {Launcher | undefined} */
  #launcher;
  /** @type {HTMLElement | undefined} */
  #root;
  /** Ends all that listens outside of the element. */
  #ending = new AbortController();
  #sound = new Sound();
  #title = new TitleBadge(globalThis.document ?? { title: '' });
  #isOpen = false;
  /** Whether the panel is to have the focus when it opens: not when the page opens it by itself. */
  #takesFocus = false;
  /** What is to be done when the current script is through. @type {'none' | 'render' | 'rebuild' | 'restart'} */
  #due = 'none';
  /** @type {number | undefined} */
  #unread;
  /** @type {Member | undefined} */
  #member;
  /** @type {(() => string | Promise<string>) | undefined} */
  #getToken;
  /** @type {Partial<Texts>} */
  #texts = {};

  connectedCallback() {
    if (!this.shadowRoot) {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLES);
      this.attachShadow({ mode: 'open' }).adoptedStyleSheets = [sheet];
    }
    // What was set before the element was defined stands in the way of its own.
    for (const name of /** @type {const} */ (['member', 'getToken', 'texts'])) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name];
      delete this[name];
      /** @type {any} */ (this)[name] = value;
    }
    this.#isOpen = this.hasAttribute('open');
    if (!this.#chat) this.#later('restart');
  }

  disconnectedCallback() {
    // An element that is only moved is back by then.
    queueMicrotask(() => { if (!this.isConnected) this.#stop(); });
  }

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === 'open') this.#setOpen(now !== null);
    else if (name === 'title-badge') this.#later('render');
    else this.#later(IDENTITY.has(name) ? 'restart' : 'rebuild');
  }

  /**
   * Who has joined over REST. The secret is a property and no attribute, so that it does not stand in the page.
   *
   * @returns {Member | undefined}
   */
  get member() {
    return this.#member;
  }

  set member(member) {
    const isSame = member?.uid === this.#member?.uid && member?.secret === this.#member?.secret;
    this.#member = member;
    if (!isSame) this.#later('restart');
  }

  /**
   * Gives a signed token, or a promise of one; instead of the attribute `token-url`.
   *
   * @returns {(() => string | Promise<string>) | undefined}
   */
  get getToken() {
    return this.#getToken;
  }

  set getToken(getToken) {
    const isSame = (getToken === undefined) === (this.#getToken === undefined);
    this.#getToken = getToken;
    // The next token is the new one's anyway.
    if (!isSame) this.#later('restart');
  }

  /**
   * Texts of the product's own, by their keys; the others stay as they are.
   *
   * @returns {Partial<Texts>}
   */
  get texts() {
    return this.#texts;
  }

  set texts(texts) {
    this.#texts = texts;
    this.#later('rebuild');
  }

  /** How the connection is. @returns {State} */
  get state() {
    return this.#chat?.state ?? 'closed';
  }

  /** How many messages of others are unread, as far as known. @returns {number} */
  get unread() {
    return this.#unread ?? 0;
  }

  /** Whether the conversation has ended. @returns {boolean} */
  get ended() {
    return this.#chat?.conversation.isEnded ?? false;
  }

  /** Whether the panel is open. @returns {boolean} */
  get isOpen() {
    return this.#isOpen || this.#isPage;
  }

  /** Opens the panel, and gives it the focus. */
  open() {
    this.#takesFocus = true;
    this.setAttribute('open', '');
    // It was open already.
    if (this.#takesFocus && this.#panel) this.#show();
  }

  /** Closes the panel. The launcher gets the focus if the panel had it. */
  close() {
    this.removeAttribute('open');
  }

  /**
   * @template {keyof WidgetEvents} T
   * @overload
   * @param {T} type
   * @param {((event: CustomEvent<WidgetEvents[T]>) => void) | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @overload
   * @param {string} type
   * @param {EventListenerOrEventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /** @param {string} type @param {any} listener @param {boolean | AddEventListenerOptions} [options] */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
  }

  get #isPage() {
    return this.getAttribute('layout') === 'page';
  }

  /** Whether the open panel leaves nothing of the page to be seen. */
  get #isCovering() {
    return !this.#isPage && matchMedia(NARROW).matches;
  }

  /** @param {'render' | 'rebuild' | 'restart'} what */
  #later(what) {
    const order = ['none', 'render', 'rebuild', 'restart'];
    if (this.#due === 'none') queueMicrotask(() => this.#update());
    if (order.indexOf(what) > order.indexOf(this.#due)) this.#due = what;
  }

  #update() {
    const due = this.#due;
    this.#due = 'none';
    if (!this.isConnected || !this.shadowRoot) return;
    if (due === 'restart') this.#restart();
    if (due === 'rebuild' && this.#chat) this.#build();
    this.#render();
  }

  /** Begins a chat, if it is known by now which one and who. */
  #restart() {
    this.#stop();
    const channel = this.getAttribute('channel');
    const tokenUrl = this.getAttribute('token-url');
    const member = this.#member;
    if (!channel || !(member || this.#getToken || tokenUrl !== null)) return;
    const getToken = () => this.#getToken?.() ?? fetchToken(new URL(tokenUrl ?? '', document.baseURI));
    let client;
    try {
      client = new ChatClient({ url: this.#address(), getToken });
    } catch (error) {
      return this.#tell('error', { error: /** @type {ChatError} */ (error) });
    }
    this.#ending = new AbortController();
    this.#chat = new Chat(client, { channel, ...(member && { uid: member.uid, secret: member.secret }) }, realWorld(), {
      changed: () => this.#later('render'),
      heard: (messages) => this.#heard(messages),
      unread: (count) => this.#counted(count),
      ended: (isEnded) => this.#tell(isEnded ? 'ended' : 'reopened', undefined),
      failed: (error) => this.#tell('error', { error }),
    });
    this.#build();
    this.#chat.watch();
    const { signal } = this.#ending;
    document.addEventListener('visibilitychange', () => this.#attend(), { signal });
    matchMedia(NARROW).addEventListener('change', () => this.#render(), { signal });
  }

  #stop() {
    this.#ending.abort();
    this.#chat?.close();
    this.#panel?.end();
    this.#sound.end();
    this.#title.show(0);
    this.#root?.remove();
    this.#chat = this.#panel = this.#launcher = this.#root = this.#unread = undefined;
  }

  /** The address of the gateway's `/connect`. */
  #address() {
    const { gateway } = /** @type {typeof GochChat} */ (this.constructor);
    const base = this.getAttribute('url') ?? gateway;
    if (base === undefined) throw new ChatError('bad_request', 'The attribute url is missing: where the gateway is.');
    if (!URL.canParse(base, document.baseURI)) throw new ChatError('bad_request', `This is no address: ${base}`);
    const folder = new URL(base, document.baseURI);
    if (!folder.pathname.endsWith('/')) folder.pathname += '/';
    return new URL('connect', folder);
  }

  /** Makes all that is shown. */
  #build() {
    const chat = this.#chat;
    if (!chat || !this.shadowRoot) return;
    const focused = this.shadowRoot.activeElement?.getAttribute('part');
    this.#panel?.end();
    this.#root?.remove();
    const holder = /** @type {HTMLElement | null} */ (this.closest('[lang]:not([lang=""])'));
    const format = new Format(holder?.lang ?? navigator.language, this.#texts);
    const isPage = this.#isPage;
    const panel = new Panel(chat, format, {
      title: this.getAttribute('heading') ?? format.text('title'),
      close: isPage ? undefined : () => this.close(),
      attended: () => this.#attend(),
    });
    const launcher = isPage ? undefined : new Launcher(format, () => (this.#isOpen ? this.close() : this.open()));
    if (!isPage) panel.node.setAttribute('role', 'dialog');
    this.#root = h('div', {
      part: 'root', class: isPage ? 'page' : 'corner',
      attributes: { lang: format.language, dir: this.getAttribute('dir') ?? format.direction },
    }, panel.node, launcher?.node);
    this.#root.addEventListener('keydown', (event) => this.#pressed(event));
    this.#panel = panel;
    this.#launcher = launcher;
    this.shadowRoot.append(this.#root);
    if (this.isOpen) this.#show();
    // What had the focus has it again.
    if (focused) /** @type {HTMLElement | null} */ (this.#root.querySelector(`[part="${focused}"]`))?.focus();
  }

  #render() {
    const { isOpen } = this;
    if (!this.#chat || !this.#panel) return;
    this.#panel.node.hidden = !isOpen;
    if (!this.#isPage) this.#panel.node.setAttribute('aria-modal', String(this.#isCovering));
    this.#root?.classList.toggle('is-open', isOpen);
    if (isOpen) this.#chat.subscribe();
    if (isOpen) this.#panel.render();
    this.#launcher?.render(isOpen, this.#chat.unread);
    this.#attend();
  }

  /** @param {boolean} isOpen */
  #setOpen(isOpen) {
    if (isOpen === this.#isOpen) return;
    this.#isOpen = isOpen;
    if (isOpen) {
      this.#render();
      this.#show();
    } else {
      const hadFocus = this.shadowRoot?.activeElement !== null;
      this.#render();
      if (hadFocus) this.#launcher?.node.focus();
    }
    this.#tell(isOpen ? 'opened' : 'closed', undefined);
  }

  /** The panel has come into sight. */
  #show() {
    if (!this.#panel) return;
    this.#panel.node.hidden = false;
    this.#panel.opened();
    if (this.#takesFocus) this.#panel.greet();
    this.#takesFocus = false;
  }

  #attend() {
    const isSeen = this.isOpen && document.visibilityState === 'visible';
    const isAtEnd = this.#panel?.isFollowing === true;
    this.#chat?.attend(isSeen, isAtEnd);
    this.#title.show(this.hasAttribute('title-badge') && !(isSeen && isAtEnd) ? this.unread : 0);
  }

  /** @param {MessageRow[]} messages */
  #heard(messages) {
    if (this.isOpen) this.#panel?.heard(messages);
  }

  /** @param {number} count */
  #counted(count) {
    const isNews = this.#unread !== undefined && count > this.#unread;
    this.#unread = count;
    const isSeen = this.isOpen && document.visibilityState === 'visible';
    if (isNews && !isSeen && this.hasAttribute('sound')) this.#sound.play();
    this.#attend();
    this.#tell('unread', { count });
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.isComposing) return;
    if (event.key === 'Tab' && this.#isCovering && this.#panel && this.isOpen) keepFocus(this.#panel.node, event);
    if (event.key !== 'Escape' || !this.isOpen) return;
    const isDone = this.#panel?.dismiss();
    if (!isDone && this.#isPage) return;
    if (!isDone) this.close();
    event.preventDefault();
    event.stopPropagation();
  }

  /** @template {keyof WidgetEvents} T @param {T} type @param {WidgetEvents[T]} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
