// One member's chat in one channel: what the client tells becomes a conversation, what the member does goes to the
// client. No DOM.

import { ChatError } from '../src/error.js';
import { Conversation } from './conversation.js';
import { Draft } from './draft.js';
import { Receipts } from './receipts.js';
import { Typists } from './typists.js';

/**
 * @import { ChatClient } from '../src/client.js'
 * @import { Credentials, EventDetails, Online, State } from '../src/types.js'
 * @import { Timer, World } from '../src/world.js'
 * @import { MessageRow, Revision } from './conversation.js'
 *
 * @typedef {object} Listener whoever shows the chat
 * @property {() => void} changed something is to be shown otherwise
 * @property {(messages: MessageRow[]) => void} heard others have said something, just now
 * @property {(count: number) => void} unread how many messages of others are unread
 * @property {(isEnded: boolean) => void} ended the channel was closed or reopened
 * @property {(error: ChatError) => void} failed what the product may want to know of
 */

/** Reading takes a moment. */
const READ_AFTER_MS = 500;
const TYPING_EVERY_MS = 3_000;
/** Rows kept while the reader is at the end. */
const KEPT_MAX = 1_000;

export class Chat {
  #client;
  #credentials;
  #world;
  #listener;
  #ending = new AbortController();
  #receipts = new Receipts();
  #typists;
  /** @type {Timer | undefined} */
  #readTimer;
  #isSeen = false;
  #isAttended = false;
  #isSubscribed = false;
  #typedAt = -Infinity;
  /** Whether the first page is still to come, so that nothing is news. */
  #isFirst = true;
  #wasEnded = false;
  conversation = new Conversation();
  draft = new Draft();
  /** @type {State} */
  state = 'closed';
  /** The others who are there; undefined if they are too many to tell. @type {Online[] | undefined} */
  present = [];
  /** Unread messages of others. */
  unread = 0;
  /** Whether there are older events than those at hand: unknown before the first page. */
  hasOlder = false;
  /** @type {'idle' | 'loading' | 'failed'} */
  loading = 'idle';
  /** Why the channel was given up. @type {ChatError | undefined} */
  refusal;

  /**
   * @param {ChatClient} client with no other channel
   * @param {Credentials} credentials
   * @param {Pick<World, 'setTimer' | 'clearTimer' | 'steadyNow'>} world
   * @param {Listener} listener
   */
  constructor(client, credentials, world, listener) {
    this.#client = client;
    this.#credentials = credentials;
    this.#world = world;
    this.#listener = listener;
    this.#typists = new Typists(world, () => this.#listener.changed());
    this.conversation.uid = credentials.uid;
    this.#listen();
  }

  get channel() {
    return this.#credentials.channel;
  }

  /** Whether the first page is there. */
  get isLoaded() {
    return !this.#isFirst;
  }

  /** Names of those who are typing. */
  get typing() {
    return this.#typists.uids.map((uid) => this.conversation.nameOf(uid) ?? uid);
  }

  /** @param {MessageRow} row one of our own that is in the log */
  receiptOf(row) {
    return this.#receipts.of(row.seq);
  }

  /** Counts what is unread, and no more than that. */
  watch() {
    this.#client.watch(this.#credentials).catch((error) => this.#refused(error));
  }

  /** Reads the conversation, and stays in it: what is sent a moment before a panel is closed has to go out. */
  async subscribe() {
    if (this.#isSubscribed) return;
    this.#isSubscribed = true;
    this.#listener.changed();
    try {
      const { more, uid, unread } = await this.#client.subscribe(this.#credentials);
      this.conversation.uid = uid;
      this.hasOlder = more;
      this.#isFirst = false;
      this.conversation.markUnread(unread ?? 0);
      this.#noteDelivered();
      this.#markRead();
      this.#listener.changed();
    } catch (error) {
      this.#refused(/** @type {ChatError} */ (error));
    }
  }

  /**
   * @param {boolean} isSeen whether somebody sees the conversation
   * @param {boolean} isAtEnd whether that is where they are: whoever sees the end has read it
   */
  attend(isSeen, isAtEnd) {
    if (this.#isSeen && !isSeen) this.conversation.firstUnread = undefined;
    const isAttended = isSeen && isAtEnd;
    const isNew = isAttended !== this.#isAttended;
    this.#isSeen = isSeen;
    this.#isAttended = isAttended;
    if (isNew) this.#markRead();
  }

  /** Asks for an older page. */
  async loadOlder() {
    const { conversation } = this;
    if (this.loading === 'loading' || !this.hasOlder || conversation.oldest === undefined) return;
    this.loading = 'loading';
    this.#listener.changed();
    try {
      const { events, more } = await this.#client.history(this.channel, conversation.oldest);
      if (this.#ending.signal.aborted) return;
      conversation.prepend(events);
      this.hasOlder = more;
      this.loading = 'idle';
    } catch {
      this.loading = 'failed';
    }
    this.#listener.changed();
  }

  /** Forgets what is far above the end, where the reader is. */
  trim() {
    if (this.loading !== 'loading' && this.conversation.trim(KEPT_MAX)) this.hasOlder = true;
  }

  /** Sends what is written: as a new message, or as the new text of the one that is being edited. */
  send() {
    const { draft } = this;
    const before = { text: draft.text, editing: draft.editing };
    const taken = draft.take();
    if (!taken) return;
    this.#typedAt = -Infinity;
    if (taken.seq !== undefined) return this.revise(taken.seq, 'edit', taken.text);
    try {
      this.#client.send(this.channel, taken.text);
    } catch (error) {
      draft.text = before.text;
      this.#failed(error);
    }
    this.#listener.changed();
  }

  /** The draft has changed. @param {string} text */
  write(text) {
    this.draft.text = text;
    const now = this.#world.steadyNow();
    if (this.draft.editing !== undefined || text.trim() === '' || now - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = now;
    this.#client.typing(this.channel);
  }

  /** Sends a failed message again. @param {string} id */
  retry(id) {
    try {
      if (this.#client.retry(id).id !== id) this.conversation.drop(id);
    } catch (error) {
      this.#failed(error);
    }
    this.#listener.changed();
  }

  /** Drops a failed message. @param {string} id */
  discard(id) {
    this.#client.discard(id);
    this.conversation.drop(id);
    this.#listener.changed();
  }

  /**
   * Changes or deletes a message of ours. If it fails, the message keeps what it was to say, to be tried again.
   *
   * @param {number} seq
   * @param {Revision['kind']} kind
   * @param {string} [text]
   */
  async revise(seq, kind, text = '') {
    const { conversation } = this;
    if (kind === 'edit' && conversation.message(seq)?.text === text) return this.forgetRevision(seq);
    conversation.revise(seq, { kind, text, error: undefined });
    this.#listener.changed();
    try {
      await (kind === 'edit' ? this.#client.edit(this.channel, seq, text) : this.#client.delete(this.channel, seq));
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      conversation.revise(seq, { kind, text, error: /** @type {ChatError} */ (error) });
      this.#listener.changed();
    }
  }

  /** Leaves a message as it is. @param {number} seq */
  forgetRevision(seq) {
    this.conversation.revise(seq, undefined);
    this.#listener.changed();
  }

  /** Does not wait for the next attempt to connect. */
  connect() {
    this.#client.connect();
  }

  /** Leaves. What was not sent is lost. */
  close() {
    this.#ending.abort();
    this.#world.clearTimer(this.#readTimer);
    this.#typists.clear();
    this.#client.close();
  }

  #listen() {
    /** @type {{ [T in keyof EventDetails]?: (detail: EventDetails[T]) => void }} */
    const listeners = {
      state: ({ state }) => { this.state = state; },
      events: (detail) => this.#took(detail),
      gap: (gap) => this.conversation.gap(gap),
      outgoing: (change) => {
        this.conversation.outgoing(change);
        this.#noteEnd();
      },
      presence: ({ members }) => {
        this.present = members;
        this.#noteDelivered();
      },
      typing: ({ uid }) => { if (uid !== this.conversation.uid) this.#typists.typing(uid); },
      read: ({ uid, seq }) => { if (uid !== this.conversation.uid) this.#receipts.seen(seq); },
      unread: ({ count }) => {
        this.unread = count;
        this.#listener.unread(count);
      },
      refused: ({ error }) => this.#refused(error),
      fault: ({ error }) => this.#listener.failed(error),
    };
    for (const [type, listener] of Object.entries(listeners)) {
      this.#client.addEventListener(/** @type {keyof EventDetails} */ (type), (event) => {
        /** @type {(detail: any) => void} */ (listener)(event.detail);
        this.#listener.changed();
      }, { signal: this.#ending.signal });
    }
  }

  /** @param {EventDetails['events']} detail */
  #took({ events }) {
    const heard = this.conversation.append(events);
    for (const { uid, role, seq } of heard) {
      this.#typists.stopped(uid);
      // Whoever answers has read what stands above; a program has not.
      if (uid !== undefined && role !== 'system') this.#receipts.seen(seq);
    }
    if (this.#isFirst) return this.#noteEnd();
    this.#noteDelivered();
    if (heard.length > 0) {
      if (!this.#isSeen) this.conversation.firstUnread ??= heard[0]?.seq;
      this.#listener.heard(heard);
    }
    this.#noteEnd();
    this.#markRead();
  }

  #noteDelivered() {
    if (this.present && this.present.length > 0) this.#receipts.delivered(this.conversation.newest);
  }

  #noteEnd() {
    if (this.conversation.isEnded === this.#wasEnded) return;
    this.#wasEnded = this.conversation.isEnded;
    this.#listener.ended(this.#wasEnded);
  }

  #markRead() {
    this.#world.clearTimer(this.#readTimer);
    if (!this.#isAttended || this.#isFirst) return;
    this.#readTimer = this.#world.setTimer(() => {
      this.#client.read(this.channel, this.conversation.newest);
    }, READ_AFTER_MS);
  }

  /** The channel is given up: told once, though whoever asked is told too. @param {ChatError} error */
  #refused(error) {
    if (this.#ending.signal.aborted || this.refusal) return;
    this.refusal = error;
    this.#listener.failed(error);
    this.#listener.changed();
  }

  /** @param {unknown} error */
  #failed(error) {
    if (!(error instanceof ChatError)) throw error;
    this.#listener.failed(error);
  }
}
