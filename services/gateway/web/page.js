/**
 * The demo page: joins a channel and shows its conversation. All that it knows of the protocol is
 * in client.js; all text from others reaches the page through `textContent`.
 */

import { ChatClient, ChatError, join, randomId } from './client.js';

/** The server's default; it has the last word. */
const MAX_TEXT = 4096;
/** From here on the count of characters is shown. */
const COUNT_FROM = 3600;
/** Messages of one author within this time stand together. */
const TOGETHER_MS = 5 * 60_000;
/** How near to the end counts as being there, in CSS pixels. */
const NEAR_END = 48;
/** As many of those who are there are named. */
const ONLINE_NAMED = 3;
const TYPING_EVERY_MS = 3_000;
const TYPING_SHOWN_MS = 5_000;
const READ_AFTER_MS = 500;
/** The role of whoever joins by themselves; every other one is ticketing's word for somebody. */
const GUEST = 'guest';
/** In sessionStorage: a tab is one member, so that two tabs can talk to each other. */
const MEMBER_KEY = 'goch.member';

const CONNECTION_TEXT = {
  connecting: 'Connecting…',
  online: 'Online',
  reconnecting: 'Reconnecting…',
  closed: 'Disconnected',
};

const FAILURE_TEXT = {
  expired: 'could not be sent in time',
  too_long: 'too long',
  empty: 'nothing but white space',
  channel_closed: 'this channel takes no more messages',
};

/** @typedef {import('../../../clients/javascript/src/types.js').ChannelEvent} ChannelEvent */
/** @typedef {import('../../../clients/javascript/src/types.js').Credentials & { name: string, email: string }} Member */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
const byId = (id) => /** @type {T} */ (document.getElementById(id));

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[K]}
 */
function element(tag, className = '', text = '') {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

/** @param {string} id @param {string} text shown if there is one */
function setNotice(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = text === '';
}

// --- the member of this tab -----------------------------------------------------------------

/** @returns {Member | undefined} */
function recallMember() {
  try {
    const member = JSON.parse(sessionStorage.getItem(MEMBER_KEY) ?? 'null');
    return member?.channel && member.uid && member.secret ? member : undefined;
  } catch {
    return undefined;
  }
}

/** @param {Member} member */
function rememberMember(member) {
  try {
    sessionStorage.setItem(MEMBER_KEY, JSON.stringify(member));
  } catch {
    // Storage is switched off: a reload will ask again.
  }
}

function forgetMember() {
  try {
    sessionStorage.removeItem(MEMBER_KEY);
  } catch {
    // There was nothing to forget.
  }
}

// --- joining --------------------------------------------------------------------------------

/** The inputs by the name that an error's `field` has. */
const INPUTS = {
  channel: 'join-channel',
  // As a part of the address.
  name: 'join-channel',
  display_name: 'join-name',
  email: 'join-email',
  uid: 'join-uid',
  channel_secret: 'join-channel-secret',
  secret: 'join-secret',
};

/** @param {keyof typeof INPUTS} field */
const input = (field) => /** @type {HTMLInputElement} */ (byId(INPUTS[field]));

function clearJoinErrors() {
  setNotice('join-error', '');
  for (const id of Object.values(INPUTS)) {
    byId(id).removeAttribute('aria-invalid');
    setNotice(`${id}-error`, '');
  }
}

/** @param {ChatError} error */
function showJoinError({ code, field, message }) {
  if (code === 'conflict' || code === 'forbidden') byId('join-secrets').setAttribute('open', '');
  if (field && field in INPUTS) {
    const faulty = input(/** @type {keyof typeof INPUTS} */ (field));
    setNotice(`${faulty.id}-error`, joinErrorText(code, message));
    faulty.setAttribute('aria-invalid', 'true');
    faulty.closest('details')?.setAttribute('open', '');
    faulty.focus();
  } else {
    setNotice('join-error', joinErrorText(code, message));
  }
}

/** @param {string} code @param {string} message */
function joinErrorText(code, message) {
  if (code === 'conflict') return 'This user id is taken. If it is yours, enter your secret below; else choose another.';
  if (code === 'forbidden') return 'There is no such channel, or its channel secret is another one.';
  return message;
}

/**
 * @param {{ channel?: string | null, name?: string | null, uid?: string | null, email?: string | null }} prefill
 * @param {string} [problem]
 */
function showJoin({ channel, name, uid, email }, problem = '') {
  clearJoinErrors();
  input('channel').value = channel ?? '';
  input('display_name').value = name ?? '';
  input('email').value = email ?? '';
  input('uid').value = uid || `guest-${randomId().slice(0, 8)}`;
  input('channel_secret').value = '';
  input('secret').value = '';
  setNotice('join-error', problem);

  byId('chat-view').hidden = true;
  byId('join-view').hidden = false;
  document.title = 'Join a chat · Goch';
  const fields = [input('channel'), input('display_name'), input('email')];
  (fields.find(({ value }) => value === '') ?? byId('join-submit')).focus();
}

/** @param {SubmitEvent} submit */
async function submitJoin(submit) {
  submit.preventDefault();
  clearJoinErrors();
  const name = input('display_name').value.trim();
  const email = input('email').value.trim();
  const button = /** @type {HTMLButtonElement} */ (byId('join-submit'));
  button.disabled = true;
  try {
    const credentials = await join({
      channel: input('channel').value.trim(),
      channelSecret: input('channel_secret').value,
      uid: input('uid').value.trim(),
      displayName: name,
      email,
      secret: input('secret').value,
    });
    const member = { ...credentials, name, email };
    rememberMember(member);
    new Chat(member);
  } catch (error) {
    if (!(error instanceof ChatError)) throw error;
    showJoinError(error);
  } finally {
    button.disabled = false;
  }
}

// --- one message, one note ------------------------------------------------------------------

/** @param {number} time */
function timeOf(time) {
  const date = new Date(time);
  const node = element('time', '', date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  node.dateTime = date.toISOString();
  node.title = date.toLocaleString();
  return node;
}

/** @param {number} time */
function dayOf(time) {
  const date = new Date(time);
  const year = date.getFullYear() === new Date().getFullYear() ? undefined : 'numeric';
  return date.toLocaleDateString('en-GB', { weekday: 'long', day: 'numeric', month: 'long', year });
}

/**
 * @param {{ text: string, time: number, author?: string, role?: string, own: boolean, status?: string, edited?: boolean }} message
 */
function messageNode({ text, time, author, role, own, status, edited = false }) {
  const node = element('article', own ? 'message own' : 'message');
  if (status) node.dataset.status = status;
  // Who is speaking is plain to see from the side; those who listen need the word.
  const from = element('p', own ? 'visually-hidden' : 'author', own ? 'You' : author);
  if (!own && role && role !== GUEST) {
    const badge = element('span', 'role', role);
    badge.dataset.testid = 'role';
    from.append(' ', badge);
  }
  node.append(from);

  const bubble = element('div', 'bubble');
  const body = element('div', 'text', text);
  body.dir = 'auto';
  body.dataset.testid = 'message-text';
  const meta = element('div', 'meta');
  meta.append(timeOf(time));
  if (edited) meta.append(element('span', 'edited', 'edited'));
  if (own) meta.append(element('span', 'status', statusText(status)));
  bubble.append(body, meta);
  node.append(bubble);
  return node;
}

/** @param {string | undefined} status */
function statusText(status) {
  if (status === 'pending') return 'Sending…';
  // What failed says so below, with the reason.
  return status === 'failed' ? '' : 'Sent';
}

/**
 * A member's name with the role, a guest's too: whoever calls themselves "Bea (agent)" must not look like one.
 *
 * @param {{ uid?: string, display_name?: string, role?: string }} member
 */
function nameOf({ uid, display_name: displayName, role }) {
  const name = displayName || uid || 'Somebody';
  return role ? `${name} (${role})` : name;
}

/**
 * What an event of the log looks like; nothing for types that this page does not know.
 *
 * @param {ChannelEvent & { uid?: string, display_name?: string, role?: string }} event
 * @param {string} uid our own
 */
function eventNode(event, uid) {
  if (event.type === 'message') {
    const own = event.from_uid === uid;
    const author = event.from_name || event.from_uid;
    const role = event.from_role;
    const status = own ? 'sent' : undefined;
    const edited = event.edited_at !== undefined;
    return messageNode({ text: event.text ?? '', time: event.time, author, role, own, status, edited });
  }
  if (event.type === 'joined') {
    return element('p', 'note', `${nameOf(event)} joined`);
  }
  if (event.type === 'updated') {
    return element('p', 'note', `${event.uid} is now ${nameOf(event)}`);
  }
  return undefined;
}

// --- the conversation -----------------------------------------------------------------------

/** @param {() => void} edit @param {() => void} remove */
function actionsNode(edit, remove) {
  const node = element('span', 'actions');
  for (const [word, testid, act] of /** @type {const} */ ([['Edit', 'edit', edit], ['Delete', 'delete', remove]])) {
    const button = element('button', '', word);
    button.type = 'button';
    button.dataset.testid = testid;
    button.addEventListener('click', act);
    node.append(button);
  }
  return node;
}

/** The log on the page: rows in the order of the channel, below them what is not in the log yet. */
class Conversation {
  #uid;
  #actions;
  #log = byId('log');
  #unsent = byId('unsent');
  #scroller = byId('scroller');
  /** @type {{ node: HTMLElement, event: ChannelEvent }[]} */
  #rows = [];
  /** @type {Map<string, HTMLElement>} by message id */
  #waiting = new Map();
  /** Whether the reader is at the end, and new messages may move the page. */
  #following = true;
  #missed = 0;
  #resizes = new ResizeObserver(() => this.keepUp());

  /**
   * @param {string} uid our own
   * @param {{ edit: (message: ChannelEvent) => void, remove: (message: ChannelEvent) => void }} actions for
   *   messages of our own
   * @param {AbortSignal} signal ends the listeners
   */
  constructor(uid, actions, signal) {
    this.#uid = uid;
    this.#actions = actions;
    this.#log.replaceChildren();
    this.#unsent.replaceChildren();
    this.#showMissed(0);
    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { signal, passive: true });
    byId('jump').addEventListener('click', () => this.toEnd(), { signal });
    this.#resizes.observe(this.#scroller);
    signal.addEventListener('abort', () => this.#resizes.disconnect());
  }

  get following() {
    return this.#following;
  }

  get nearStart() {
    return this.#scroller.scrollTop < NEAR_END;
  }

  /** @param {ChannelEvent[]} events newer than all that are shown */
  append(events) {
    this.#quietly(events.length > 1, () => {
      for (const event of events) {
        if (event.from_uid === this.#uid && event.id) this.#removeWaiting(event.id);
        if (event.type === 'edited') this.#edit(event);
        if (event.type === 'deleted') this.#remove(event);
        const row = this.#row(event);
        if (!row) continue;
        decorate(row, this.#rows.at(-1));
        this.#rows.push(row);
        this.#log.append(row.node);
        if (event.type === 'message' && event.from_uid !== this.#uid && !this.#following) this.#missed += 1;
      }
    });
    this.#showMissed(this.#missed);
    this.keepUp();
  }

  /** @param {ChannelEvent} edit of a message that is shown, or one that is older and comes edited */
  #edit({ message, text, time }) {
    const index = this.#rows.findIndex(({ event }) => event.seq === message);
    const old = this.#rows[index];
    const row = old && this.#row({ ...old.event, text, edited_at: time });
    if (!row) return;
    this.#rows[index] = row;
    decorate(row, this.#rows[index - 1]);
    old.node.replaceWith(row.node);
  }

  /** @param {ChannelEvent} deletion */
  #remove({ message }) {
    const index = this.#rows.findIndex(({ event }) => event.seq === message);
    if (index < 0) return;
    this.#rows[index].node.remove();
    this.#rows.splice(index, 1);
    const next = this.#rows[index];
    if (next) decorate(next, this.#rows[index - 1]);
  }

  /** @param {ChannelEvent[]} events older than all that are shown */
  prepend(events) {
    const rows = events.map((event) => this.#row(event)).filter((row) => row !== undefined);
    rows.forEach((row, index) => decorate(row, rows[index - 1]));
    const first = this.#rows[0];
    if (first) decorate(first, rows.at(-1));
    const fromEnd = this.#scroller.scrollHeight - this.#scroller.scrollTop;
    this.#quietly(true, () => this.#log.prepend(...rows.map(({ node }) => node)));
    this.#scroller.scrollTop = this.#scroller.scrollHeight - fromEnd;
    this.#rows.unshift(...rows);
  }

  /**
   * @param {import('../../../clients/javascript/src/types.js').OutgoingChange} change
   * @param {{ retry: () => void, discard: () => void }} actions
   */
  showOutgoing({ id, text, status, error }, { retry, discard }) {
    let node = this.#waiting.get(id);
    // Once it is in the log, its row says that it was sent.
    if (!node && status === 'sent') return;
    if (!node) {
      node = messageNode({ text, time: Date.now(), own: true, status });
      node.classList.toggle('continued', this.#waiting.size > 0 || isMessageOf(this.#rows.at(-1), this.#uid));
      this.#waiting.set(id, node);
      this.#unsent.append(node);
    }
    node.dataset.status = status;
    /** @type {HTMLElement} */ (node.querySelector('.status')).textContent = statusText(status);
    node.querySelector('.failure')?.remove();
    if (status === 'failed') node.append(failureNode(error, retry, discard));
    if (status === 'pending') this.toEnd();
    else this.keepUp();
  }

  /** @param {string} id */
  #removeWaiting(id) {
    this.#waiting.get(id)?.remove();
    this.#waiting.delete(id);
  }

  /** @param {string} id of a failed message that will not come back under this id */
  drop(id) {
    this.#removeWaiting(id);
  }

  toEnd() {
    this.#following = true;
    this.keepUp();
  }

  /** @param {ChannelEvent} event */
  #row(event) {
    const content = eventNode(event, this.#uid);
    if (!content) return undefined;
    const node = element('div', 'row');
    node.dataset.seq = String(event.seq);
    node.dataset.type = event.type;
    node.dataset.testid = event.type;
    node.append(content);
    if (event.type === 'message' && event.from_uid === this.#uid) {
      const { edit, remove } = this.#actions;
      content.querySelector('.meta')?.prepend(actionsNode(() => edit(event), () => remove(event)));
    }
    return { node, event };
  }

  /** A page of history is not news: screen readers need not read it out. @param {boolean} quiet @param {() => void} act */
  #quietly(quiet, act) {
    this.#log.setAttribute('aria-busy', String(quiet));
    act();
    setTimeout(() => this.#log.setAttribute('aria-busy', 'false'));
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_END;
    if (this.#following) this.#showMissed(0);
  }

  /** Something has changed its height: a reader who was at the end stays there. */
  keepUp() {
    if (!this.#following) return;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#showMissed(0);
  }

  /** @param {number} missed */
  #showMissed(missed) {
    this.#missed = missed;
    byId('jump').hidden = missed === 0;
    byId('jump').textContent = missed === 1 ? '1 new message ↓' : `${missed} new messages ↓`;
  }
}

/** @param {{ event: ChannelEvent } | undefined} row @param {string | undefined} uid */
function isMessageOf(row, uid) {
  return row?.event.type === 'message' && row.event.from_uid === uid;
}

/**
 * Starts a day, or joins a message to the one before it.
 *
 * @param {{ node: HTMLElement, event: ChannelEvent }} row
 * @param {{ event: ChannelEvent } | undefined} previous
 */
function decorate({ node, event }, previous) {
  const day = dayOf(event.time);
  const startsDay = !previous || dayOf(previous.event.time) !== day;
  node.querySelector('.day')?.remove();
  if (startsDay) node.prepend(element('p', 'day', day));
  const continued = !startsDay && event.type === 'message' && isMessageOf(previous, event.from_uid)
    && previous?.event.from_role === event.from_role
    && event.time - previous.event.time < TOGETHER_MS;
  node.querySelector('.message')?.classList.toggle('continued', continued);
}

/** @param {ChatError | undefined} error @param {() => void} retry @param {() => void} discard */
function failureNode(error, retry, discard) {
  const reason = (error && FAILURE_TEXT[/** @type {keyof typeof FAILURE_TEXT} */ (error.code)]) ?? error?.message;
  const node = element('div', 'failure');
  const again = element('button', '', 'Try again');
  const away = element('button', '', 'Discard');
  again.type = away.type = 'button';
  again.dataset.testid = 'retry';
  away.dataset.testid = 'discard';
  again.addEventListener('click', retry);
  away.addEventListener('click', discard);
  node.append(element('span', '', `Not sent: ${reason}`), again, away);
  return node;
}

// --- the chat view --------------------------------------------------------------------------

/** The view of one member's chat, from joining to leaving. */
class Chat {
  #member;
  #client = new ChatClient();
  #ending = new AbortController();
  #conversation;
  #text = /** @type {HTMLTextAreaElement} */ (byId('text'));
  /** @type {number | undefined} the `seq` of the oldest event at hand */
  #oldest;
  #newest = 0;
  #read = 0;
  #loading = false;
  #typedAt = 0;
  #unseen = 0;
  /** @type {number | undefined} the `seq` of the message that is being edited */
  #editing;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #readTimer;
  /** @type {{ uid: string, role: string }[]} the others who are there */
  #online = [];
  /** @type {Map<string, string>} names by uid */
  #names = new Map();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} by uid of who is typing */
  #typists = new Map();

  /** @param {Member} member */
  constructor(member) {
    this.#member = member;
    const actions = {
      edit: (/** @type {ChannelEvent} */ message) => this.#beginEdit(message),
      remove: (/** @type {ChannelEvent} */ message) => this.#delete(message),
    };
    this.#conversation = new Conversation(member.uid, actions, this.#ending.signal);
    this.#show();
    this.#listenToPage();
    this.#listenToClient();
    this.#subscribe();
  }

  #show() {
    byId('join-view').hidden = true;
    byId('chat-view').hidden = false;
    byId('chat-channel').textContent = this.#member.channel;
    byId('older').hidden = true;
    byId('empty').hidden = true;
    setNotice('composer-error', '');
    this.#text.value = '';
    byId('editing').hidden = true;
    this.#showTitle();
    this.#showState('connecting');
    this.#showOnline();
    this.#showTyping();
    this.#typed();
    this.#text.focus();
  }

  #listenToPage() {
    const { signal } = this.#ending;
    byId('composer').addEventListener('submit', (submit) => {
      submit.preventDefault();
      this.#send();
    }, { signal });
    this.#text.addEventListener('keydown', (key) => {
      // While an input method composes a word, Enter belongs to it; Safari says so by 229 only.
      const composing = key.isComposing || key.keyCode === 229;
      if (key.key === 'Escape' && !composing) this.#endEdit();
      if (key.key !== 'Enter' || key.shiftKey || composing) return;
      key.preventDefault();
      this.#send();
    }, { signal });
    this.#text.addEventListener('input', () => {
      this.#typed();
      this.#tellTyping();
    }, { signal });
    byId('older').addEventListener('click', () => this.#loadOlder(), { signal });
    byId('scroller').addEventListener('scroll', () => {
      if (this.#conversation.nearStart) this.#loadOlder();
      this.#markRead();
    }, { signal, passive: true });
    document.addEventListener('visibilitychange', () => this.#markRead(), { signal });
    byId('reconnect').addEventListener('click', () => this.#client.connect(), { signal });
    byId('cancel-edit').addEventListener('click', () => this.#endEdit(), { signal });
    byId('leave').addEventListener('click', () => this.#leave(''), { signal });
  }

  #listenToClient() {
    /** @param {string} type @param {(detail: any) => void} act */
    const on = (type, act) => this.#client.addEventListener(type, (event) => {
      if (!this.#ending.signal.aborted) act(/** @type {CustomEvent} */ (event).detail);
    });
    on('state', ({ state }) => this.#showState(state));
    on('events', ({ events }) => this.#receive(events));
    on('outgoing', (change) => this.#showOutgoing(change));
    on('presence', ({ members }) => {
      this.#online = members ?? [];
      this.#showOnline();
    });
    on('typing', ({ uid }) => {
      if (uid !== this.#member.uid) this.#othersType(uid);
    });
    on('refused', ({ error }) => {
      const problem = error.code === 'unauthorized' ? 'You are not a member of this channel (any more).' : error.message;
      this.#leave(problem);
    });
  }

  async #subscribe() {
    try {
      const { more } = await this.#client.subscribe(this.#member);
      byId('older').hidden = !more;
      byId('empty').hidden = this.#oldest !== undefined;
    } catch {
      // `refused` has told, or we left.
    }
  }

  /** @param {string} problem why, if it was not the member's wish */
  #leave(problem) {
    this.#ending.abort();
    this.#client.close();
    clearTimeout(this.#readTimer);
    for (const timer of this.#typists.values()) clearTimeout(timer);
    forgetMember();
    const { channel, name, email } = this.#member;
    showJoin({ channel, name, email }, problem);
  }

  /** @param {keyof typeof CONNECTION_TEXT} state */
  #showState(state) {
    byId('connection').dataset.state = state;
    byId('connection').textContent = CONNECTION_TEXT[state];
    byId('reconnect').hidden = state !== 'closed';
  }

  // --- reading

  /** @param {ChannelEvent[]} events */
  #receive(events) {
    this.#oldest ??= events[0].seq;
    this.#newest = events[events.length - 1].seq;
    byId('empty').hidden = true;
    this.#learnNames(events);
    for (const { from_uid: uid } of events) if (uid) this.#stopsTyping(uid);
    this.#conversation.append(events);
    if (document.hidden) {
      this.#unseen += events.filter(({ type, from_uid: uid }) => type === 'message' && uid !== this.#member.uid).length;
      this.#showTitle();
    }
    this.#markRead();
  }

  async #loadOlder() {
    const button = /** @type {HTMLButtonElement} */ (byId('older'));
    if (this.#loading || button.hidden || this.#oldest === undefined) return;
    this.#loading = true;
    button.textContent = 'Loading…';
    try {
      const { events, more } = await this.#client.history(this.#member.channel, this.#oldest);
      if (this.#ending.signal.aborted) return;
      this.#oldest = events[0]?.seq ?? this.#oldest;
      this.#learnNames(events);
      button.hidden = !more;
      this.#conversation.prepend(events);
      button.textContent = 'Load older messages';
    } catch {
      button.textContent = 'Could not load. Try again';
    } finally {
      this.#loading = false;
    }
  }

  /** Reading is seeing the end of the conversation, in a tab that is in front. */
  #markRead() {
    if (document.hidden || !this.#conversation.following) return;
    if (this.#unseen > 0) {
      this.#unseen = 0;
      this.#showTitle();
    }
    clearTimeout(this.#readTimer);
    if (this.#newest <= this.#read) return;
    this.#readTimer = setTimeout(() => {
      this.#read = this.#newest;
      this.#client.read(this.#member.channel, this.#read);
    }, READ_AFTER_MS);
  }

  #showTitle() {
    document.title = `${this.#unseen > 0 ? `(${this.#unseen}) ` : ''}${this.#member.channel} · Goch`;
  }

  /** @param {(ChannelEvent & { uid?: string, display_name?: string })[]} events */
  #learnNames(events) {
    for (const { from_uid: fromUid, from_name: fromName, uid, display_name: displayName } of events) {
      if (fromUid && fromName) this.#names.set(fromUid, fromName);
      if (uid && displayName) this.#names.set(uid, displayName);
    }
    this.#showOnline();
  }

  #showOnline() {
    const names = this.#online.map(({ uid, role }) => nameOf({ uid, display_name: this.#names.get(uid), role }));
    const shown = names.slice(0, ONLINE_NAMED).join(', ');
    const more = names.length > ONLINE_NAMED ? ` and ${names.length - ONLINE_NAMED} more` : '';
    setNotice('online', names.length > 0 ? `Here: ${shown}${more}` : '');
  }

  /** @param {string} uid */
  #othersType(uid) {
    clearTimeout(this.#typists.get(uid));
    this.#typists.set(uid, setTimeout(() => this.#stopsTyping(uid), TYPING_SHOWN_MS));
    this.#showTyping();
  }

  /** @param {string} uid */
  #stopsTyping(uid) {
    clearTimeout(this.#typists.get(uid));
    if (this.#typists.delete(uid)) this.#showTyping();
  }

  #showTyping() {
    const names = [...this.#typists.keys()].map((uid) => this.#names.get(uid) ?? uid);
    let text = '';
    if (names.length === 1) text = `${names[0]} is typing…`;
    if (names.length === 2) text = `${names[0]} and ${names[1]} are typing…`;
    if (names.length > 2) text = 'Several people are typing…';
    byId('typing').textContent = text;
  }

  // --- writing

  #send() {
    const text = this.#text.value.trimEnd();
    if (!isSendable(text)) return;
    if (this.#editing !== undefined) {
      this.#revise(this.#client.edit(this.#member.channel, this.#editing, text));
      this.#endEdit();
      return;
    }
    try {
      this.#client.send(this.#member.channel, text);
    } catch (error) {
      if (!(error instanceof ChatError)) throw error;
      setNotice('composer-error', error.message);
      return;
    }
    setNotice('composer-error', '');
    this.#text.value = '';
    this.#typed();
    this.#typedAt = 0;
    this.#text.focus();
  }

  /** @param {ChannelEvent} message one of our own */
  #beginEdit({ seq, text = '' }) {
    this.#editing = seq;
    byId('editing').hidden = false;
    this.#write(text);
  }

  #endEdit() {
    if (this.#editing === undefined) return;
    this.#editing = undefined;
    byId('editing').hidden = true;
    this.#write('');
  }

  /** @param {string} text into the composer */
  #write(text) {
    setNotice('composer-error', '');
    this.#text.value = text;
    this.#typed();
    this.#text.focus();
  }

  /** @param {ChannelEvent} message one of our own */
  #delete({ seq }) {
    if (!confirm('Delete this message for everybody?')) return;
    if (this.#editing === seq) this.#endEdit();
    this.#revise(this.#client.delete(this.#member.channel, seq));
  }

  /** Says so if it fails; else the event shows it. @param {Promise<unknown>} change */
  async #revise(change) {
    try {
      await change;
    } catch (error) {
      if (!(error instanceof ChatError)) throw error;
      setNotice('composer-error', FAILURE_TEXT[/** @type {keyof typeof FAILURE_TEXT} */ (error.code)] ?? error.message);
    }
  }

  /** The text has changed: its height, its length, what can be done with it. */
  #typed() {
    this.#text.style.height = 'auto';
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    this.#conversation.keepUp();
    const text = this.#text.value.trimEnd();
    const length = lengthOf(text);
    byId('count').textContent = length >= COUNT_FROM ? `${length} of ${MAX_TEXT} characters` : '';
    byId('count').classList.toggle('over', length > MAX_TEXT);
    this.#text.setAttribute('aria-invalid', String(length > MAX_TEXT));
    /** @type {HTMLButtonElement} */ (byId('send')).disabled = !isSendable(text);
  }

  #tellTyping() {
    if (Date.now() - this.#typedAt < TYPING_EVERY_MS || this.#text.value.trim() === '') return;
    this.#typedAt = Date.now();
    this.#client.typing(this.#member.channel);
  }

  /** @param {import('../../../clients/javascript/src/types.js').OutgoingChange} change */
  #showOutgoing(change) {
    byId('empty').hidden = true;
    this.#conversation.showOutgoing(change, {
      retry: () => {
        if (this.#client.retry(change.id).id !== change.id) this.#conversation.drop(change.id);
        this.#text.focus();
      },
      discard: () => {
        this.#client.discard(change.id);
        this.#conversation.drop(change.id);
        this.#text.focus();
      },
    });
    byId('announcement').textContent = change.status === 'failed' ? 'A message was not sent.' : '';
  }
}

/** In characters as the server counts them, not in UTF-16 units. @param {string} text */
function lengthOf(text) {
  return [...text].length;
}

/** @param {string} text */
function isSendable(text) {
  return text.trim() !== '' && lengthOf(text) <= MAX_TEXT;
}

// --- start ----------------------------------------------------------------------------------

function start() {
  byId('join-form').addEventListener('submit', (submit) => submitJoin(/** @type {SubmitEvent} */ (submit)));
  const query = new URLSearchParams(location.search);
  const member = recallMember();
  /** @param {string} key @param {string | undefined} value */
  const agrees = (key, value) => !query.get(key) || query.get(key) === value;
  if (member && agrees('channel', member.channel) && agrees('uid', member.uid)) {
    new Chat(member);
  } else {
    showJoin({
      channel: query.get('channel'),
      name: query.get('name'),
      uid: query.get('uid'),
      email: query.get('email'),
    });
  }
}

start();
