/**
 * Goch's chat protocol for the browser: one socket, any number of channels.
 *
 * The client keeps the socket alive and gives its listeners every event of a
 * channel once and in order, over any number of reconnects. What you send waits
 * in an outbox until the server says that it is stored. No dependency, no DOM.
 *
 *     const client = new ChatClient();
 *     client.addEventListener('events', ({ detail }) => show(detail.events));
 *     await client.subscribe({ channel: 'demo', uid: 'ana', secret });
 *     await client.send('demo', 'Hello').stored;
 *
 * Chats of a list that are not open are watched: how much is unread in each, now
 * and at every change. Where users have signed tokens instead of secrets, the
 * client gets them from `getToken`, and newer ones in time:
 *
 *     const client = new ChatClient({ getToken: () => fetch('/token').then((answer) => answer.text()) });
 *     client.addEventListener('unread', ({ detail }) => badge(detail.channel, detail.count));
 *     client.watch({ channel: 'ticket-42' });
 *
 * The protocol is described in docs/protocol.md.
 *
 * @typedef {'connecting' | 'online' | 'reconnecting' | 'closed'} State
 *
 * @typedef {object} Credentials
 * @property {string} channel
 * @property {string} [uid] with `secret`; without both, a token says who it is
 * @property {string} [secret] the member's own secret, as `join` returned it
 *
 * @typedef {object} ChannelEvent an event of the log; its other fields depend on `type`
 * @property {string} type `message`, `edited`, `deleted`, `joined`, `updated`, or one that this version may not know
 * @property {string} channel
 * @property {number} seq rises along the channel, with holes
 * @property {number} [prev] the `seq` before this one, 0 if there is none or it is unknown
 * @property {number} time Unix milliseconds
 * @property {string} [id] of a message: the id its sender gave it
 * @property {number} [edited_at] of a message in a page that was edited: when, in Unix milliseconds
 * @property {number} [message] of `edited` and `deleted`: the `seq` of the message
 * @property {string} [from_uid]
 * @property {string} [from_name]
 * @property {string} [from_role] `guest`, `member`, `agent`, `system` or another word that only ticketing gives
 * @property {string} [text]
 * @property {Record<string, string>} [meta]
 *
 * @typedef {object} Subscribed
 * @property {string} channel
 * @property {boolean} more whether `history` has events older than the first page
 * @property {number | undefined} unread messages of others after the member's read position, if
 *   the server can tell just now
 *
 * @typedef {object} Stored
 * @property {number} seq
 * @property {number} time Unix milliseconds
 * @property {boolean} duplicate whether an earlier attempt had stored it
 *
 * @typedef {object} Outgoing a message on its way
 * @property {string} id
 * @property {Promise<Stored>} stored rejects with a `ChatError` once the message has failed
 *
 * @typedef {object} OutgoingChange what an `outgoing` event carries
 * @property {string} id
 * @property {string} channel
 * @property {string} text
 * @property {'pending' | 'sent' | 'failed'} status
 * @property {ChatError} [error] why it failed
 *
 * @typedef {object} Options
 * @property {string | URL} [url] the gateway's `/connect`; left out: beside this file
 * @property {() => string | Promise<string>} [getToken] gives a signed token of the user, for channels
 *   without `secret`: at first, shortly before the last one ends, and when the server refuses the last
 *   one. If it throws or rejects, it is called again a little later
 * @property {number} [pageSize] events per page, 1 to 500
 * @property {number} [deduplicationWindowMs] how long the server recognises a resent id
 *   (its DEDUPLICATION_SECONDS)
 * @property {number} [outboxSize] messages kept while unsent or failed
 * @property {number} [answerTimeoutMs] after so long a silence while an answer is awaited, the connection
 *   counts as dead
 * @property {number} [idleCheckMs] after so long a silence the client asks whether anybody is there
 * @property {number} [backoffBaseMs] upper bound of the first wait before a reconnect
 * @property {number} [backoffMaxMs] upper bound of any later one
 */

/** Errors that pass by themselves: worth another try with the same id. */
const TEMPORARY = new Set(['rate_limited', 'unavailable', 'internal']);

/** A resend must reach the log inside the server's window, so stop a little before its end. */
const WINDOW_MARGIN_MS = 10_000;

/** A connection that lived so long starts the back-off afresh when it ends. */
const STEADY_AFTER_MS = 5_000;

/** Live events kept per channel while an older page is on its way; beyond it they are asked for again. */
const MAX_HELD = 500;

/** Subscribes on their way at a time. The server answers them one after the other, and other frames only then. */
const MAX_ASKS = 4;

/** Channels of one `watch` frame, and about how many characters of it. */
const WATCH_CHANNELS = 100;
const WATCH_LENGTH = 16_000;

/** No draining server may keep us away for longer. */
const MAX_WAIT_MS = 60_000;

/** The reason of 1008 that a new token does away with. */
const TOKEN_EXPIRED = 'token expired';

/** The close codes that ask for something other than an ordinary reconnect. */
const Close = Object.freeze({
  NOT_AUTHORISED: 1008,
  FRAME_TOO_LARGE: 1009,
  OVERLOADED: 1013,
  TOO_SLOW: 4000,
  REMOVED: 4001,
});

/**
 * An error of the server, with the stable `code` of docs/protocol.md or docs/rest.md, or one of
 * the client's own: `expired` (unsent for too long), `outbox_full`, `removed`, `closed`, `network`.
 */
export class ChatError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {{ field?: string, status?: number }} [details] of a REST answer
   */
  constructor(code, message, { field, status } = {}) {
    super(message);
    this.name = 'ChatError';
    this.code = code;
    this.field = field;
    this.status = status;
  }
}

/**
 * Joins a channel over REST. Keep the returned secret: it is what `subscribe` needs.
 *
 * @param {{ channel: string, channelSecret?: string, uid: string, displayName: string,
 *   email: string, secret?: string }} member `secret`: one's own, to come back under a known uid
 * @param {{ url?: string | URL, timeoutMs?: number }} [options] `url`: the gateway's `/channels`
 * @returns {Promise<Credentials>}
 * @throws {ChatError} with the `code` and, for a bad field, the `field` of the problem document
 */
export async function join(member, { url = new URL('./channels', import.meta.url), timeoutMs = 15_000 } = {}) {
  const body = {
    channel: member.channel,
    channel_secret: member.channelSecret || undefined,
    uid: member.uid,
    display_name: member.displayName,
    email: member.email,
    secret: member.secret || undefined,
  };
  let response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch {
    throw new ChatError('network', 'The server cannot be reached.');
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const message = answer.detail ?? answer.title ?? `The server answered ${response.status}.`;
    throw new ChatError(answer.code ?? 'internal', message, { field: answer.field, status: response.status });
  }
  return { channel: answer.channel, uid: answer.uid, secret: answer.secret };
}

/**
 * A random UUID, also on pages served over plain http, where `crypto.randomUUID` does not exist.
 *
 * @returns {string}
 */
export function randomId() {
  if (globalThis.crypto.randomUUID) return globalThis.crypto.randomUUID();
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/**
 * A channel that the user of the client wants, and how far it has been read.
 *
 * @typedef {object} Room
 * @property {Credentials} credentials
 * @property {number | undefined} lastSeq of the last event delivered; undefined before the first page
 * @property {boolean} live caught up on this connection
 * @property {{ id: string, after: number | undefined, isCheck: boolean, token?: string } | undefined} asked
 *   the subscribe on its way, or waiting for those that are
 * @property {ChannelEvent[]} held live events that wait for the page before them
 * @property {boolean} passing the last subscribe failed, or waits, for a reason that passes
 * @property {boolean} refused the last subscribe was, with the token it had, and another one is tried
 * @property {number} attempt failed subscribes in a row
 * @property {ReturnType<typeof setTimeout> | undefined} retry
 * @property {Map<string, string> | undefined} online the others who are there, with their roles, if the
 *   server tells
 * @property {ReturnType<typeof promiseWithHandles<Subscribed>>} first settles with the first page
 *
 * A channel whose unread messages are counted.
 *
 * @typedef {object} Watch
 * @property {Credentials} credentials
 * @property {boolean} live counted on this connection
 * @property {{ id?: string, token?: string } | undefined} asked the `watch` on its way; without an id
 *   while it waits for a token
 * @property {boolean} passing the last `watch` failed, or waits, for a reason that passes
 * @property {boolean} refused the last one was, with the token it had, and another one is tried
 * @property {number} attempt failed ones in a row
 * @property {ReturnType<typeof setTimeout> | undefined} retry
 * @property {ReturnType<typeof promiseWithHandles<number>>} first settles with the first count
 *
 * A message in the outbox, oldest first.
 *
 * @typedef {object} Entry
 * @property {string} id
 * @property {string} channel
 * @property {string} text
 * @property {Record<string, string> | undefined} meta
 * @property {number} createdAt
 * @property {'pending' | 'failed'} status
 * @property {boolean} inFlight
 * @property {number} attempt failed attempts in a row
 * @property {ReturnType<typeof setTimeout> | undefined} retry the wait before another attempt
 * @property {ReturnType<typeof setTimeout> | undefined} expiry
 * @property {ReturnType<typeof promiseWithHandles<Stored>>} stored
 */

/**
 * The client. It connects with the first `subscribe` or `watch` and stays connected until `close`,
 * the last `unsubscribe` or `unwatch`, or the server's last word. It dispatches these events
 * (`CustomEvent`, see `detail`):
 *
 * - `state` `{ state: State, code?, reason? }`; with `closed` by the server its close code and reason
 * - `events` `{ channel, events: ChannelEvent[] }`: in order, each event once; unknown types included
 * - `unread` `{ channel, count: number }`: of a watched channel, at first and at each change
 * - `outgoing` `OutgoingChange`: a message of ours became pending, sent or failed
 * - `online` `{ channel, members: { uid: string, role: string }[] | undefined }`: the others who are
 *   there; undefined if there are too many to tell
 * - `signal`: a frame that is never stored, such as `typing` or `read`, as the server sent it
 * - `gap` `{ channel, after, before }`: events between these two are no longer in the log
 * - `refused` `{ channel, error: ChatError }`: the channel has been given up
 * - `fault` `{ error: ChatError }`: an error frame that answers nothing we know of
 */
export class ChatClient extends EventTarget {
  #options;
  /** @type {State} */
  #state = 'closed';
  /** @type {WebSocket | undefined} */
  #socket;
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** @type {Map<string, Watch>} */
  #watches = new Map();
  /** @type {Map<string, Entry>} */
  #outbox = new Map();
  /** @type {Promise<string> | undefined} the token, or the wait for it */
  #token;
  /** @type {string | undefined} the token, once it is there */
  #latest;
  /** @type {ReturnType<typeof setTimeout> | undefined} until a newer token is asked for */
  #tokenTimer;
  /** @type {Map<string, ReturnType<typeof promiseWithHandles<any>>>} those who wait for an answer */
  #requests = new Map();
  /** @type {Set<string>} ids of the frames that wait for their answers */
  #awaited = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} until a silence is too long */
  #silenceTimer;
  /** @type {Set<Room>} with a subscribe on its way */
  #asking = new Set();
  /** @type {Map<Room, () => void>} whose subscribes wait for those, in order, and what writes them */
  #queue = new Map();
  #lastId = 0;
  /** Connections in a row that ended early. */
  #attempt = 0;
  /** @type {number | undefined} when this connection had its first `subscribed` */
  #onlineSince;
  /** @type {number | undefined} when a draining server wants us back */
  #returnAt;
  #heardAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #reconnectTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} connecting, or leaving a draining server */
  #socketTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #idleTimer;
  /** @type {AbortController | undefined} of the listeners on window and document */
  #listeners;

  /** @param {Options} [options] */
  constructor(options = {}) {
    super();
    this.#options = {
      url: new URL('./connect', import.meta.url),
      getToken: undefined,
      pageSize: 100,
      deduplicationWindowMs: 120_000,
      outboxSize: 100,
      answerTimeoutMs: 10_000,
      idleCheckMs: 60_000,
      backoffBaseMs: 500,
      backoffMaxMs: 30_000,
      ...options,
    };
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /**
   * Subscribes to a channel and stays subscribed over reconnects. The first page arrives as an
   * `events` event before the promise resolves.
   *
   * @param {Credentials} credentials
   * @returns {Promise<Subscribed>} rejects with a `ChatError` if the server refuses
   */
  subscribe({ channel, uid, secret }) {
    const fault = this.#lacking(secret);
    if (fault) return Promise.reject(fault);
    const known = this.#rooms.get(channel);
    if (known) {
      if (known.credentials.uid === uid && known.credentials.secret === secret) return known.first.promise;
      return Promise.reject(new ChatError('bad_request', `Already in ${channel} as somebody else.`));
    }
    /** @type {Room} */
    const room = {
      credentials: { channel, uid, secret },
      lastSeq: undefined,
      live: false,
      asked: undefined,
      held: [],
      passing: false,
      refused: false,
      attempt: 0,
      retry: undefined,
      online: undefined,
      first: promiseWithHandles(),
    };
    this.#rooms.set(channel, room);
    this.connect();
    if (this.#isOpen() && this.#returnAt === undefined) this.#ask(room);
    return room.first.promise;
  }

  /**
   * Tells how many messages a member has not read in a channel, whether or not it is subscribed, by
   * `unread` events: now, and at each change, over reconnects.
   *
   * @param {Credentials} credentials
   * @returns {Promise<number>} the count now; rejects with a `ChatError` if the server refuses
   */
  watch({ channel, uid, secret }) {
    const fault = this.#lacking(secret);
    if (fault) return Promise.reject(fault);
    const known = this.#watches.get(channel);
    if (known) return known.first.promise;
    /** @type {Watch} */
    const watch = {
      credentials: { channel, uid, secret },
      live: false,
      asked: undefined,
      passing: false,
      refused: false,
      attempt: 0,
      retry: undefined,
      first: promiseWithHandles(),
    };
    this.#watches.set(channel, watch);
    this.connect();
    // A list of chats becomes one frame.
    queueMicrotask(() => this.#askCounts());
    return watch.first.promise;
  }

  /**
   * Tells no more of a channel's unread messages.
   *
   * @param {string} channel
   */
  unwatch(channel) {
    const watch = this.#watches.get(channel);
    if (!watch) return;
    // Of a channel that is subscribed too this would end the subscription: see `#unread`.
    if (watch.live && !this.#rooms.has(channel)) this.#leave(channel);
    this.#forgetWatch(watch, new ChatError('closed', 'The channel is not watched any more.'));
    if (!this.#isWanted()) this.close();
  }

  /**
   * Leaves a channel. Its unsent messages fail. The connection is closed with the last channel.
   *
   * @param {string} channel
   */
  unsubscribe(channel) {
    const room = this.#rooms.get(channel);
    if (!room) return;
    if (room.live || this.#awaited.has(room.asked?.id ?? '')) this.#leave(channel);
    this.#forget(room, new ChatError('closed', 'The channel was left.'));
    if (!this.#isWanted()) this.close();
  }

  /**
   * Sends a message, now or as soon as there is a connection. Messages of one channel go out one
   * after the other, so that their order is kept.
   *
   * @param {string} channel one that is subscribed
   * @param {string} text
   * @param {Record<string, string>} [meta]
   * @returns {Outgoing}
   * @throws {ChatError} `not_subscribed` or `outbox_full`
   */
  send(channel, text, meta) {
    if (!this.#rooms.has(channel)) throw new ChatError('not_subscribed', `Not subscribed to ${channel}.`);
    if (this.#outbox.size >= this.#options.outboxSize) {
      throw new ChatError('outbox_full', 'Too many messages wait to be sent.');
    }
    return this.#enqueue({ id: randomId(), channel, text, meta, createdAt: Date.now() });
  }

  /**
   * Sends a failed message again: under its own id while the server would recognise it, so that
   * it cannot be stored twice, else as a new message.
   *
   * @param {string} id
   * @returns {Outgoing} whose id may be another one
   * @throws {ChatError} `bad_request` if no failed message has that id
   */
  retry(id) {
    const entry = this.#outbox.get(id);
    if (entry?.status !== 'failed') throw new ChatError('bad_request', 'No failed message has this id.');
    this.#outbox.delete(id);
    const { channel, text, meta, createdAt } = entry;
    if (this.#resendableFor(entry) > 0) return this.#enqueue({ id, channel, text, meta, createdAt });
    return this.#enqueue({ id: randomId(), channel, text, meta, createdAt: Date.now() });
  }

  /**
   * Drops a failed message.
   *
   * @param {string} id
   */
  discard(id) {
    if (this.#outbox.get(id)?.status === 'failed') this.#outbox.delete(id);
  }

  /**
   * Changes what a message of one's own says. Its new text comes to everybody as an `edited` event.
   *
   * @param {string} channel one that is subscribed
   * @param {number} seq of the message
   * @param {string} text
   * @param {Record<string, string>} [meta] left out: stays as it is
   * @returns {Promise<Stored>} rejects with a `ChatError`
   */
  edit(channel, seq, text, meta) {
    return this.#revise({ type: 'edit', channel, seq, text, meta });
  }

  /**
   * Withdraws a message of one's own: everybody gets a `deleted` event, and its text is erased.
   *
   * @param {string} channel one that is subscribed
   * @param {number} seq of the message
   * @returns {Promise<Stored>} rejects with a `ChatError`
   */
  delete(channel, seq) {
    return this.#revise({ type: 'delete', channel, seq });
  }

  /** @param {object} frame @returns {Promise<Stored>} */
  async #revise(frame) {
    const { seq, time, duplicate } = await this.#request({ ...frame, id: randomId() });
    return { seq, time, duplicate: duplicate === true };
  }

  /**
   * Asks for events older than `before`.
   *
   * @param {string} channel
   * @param {number} before a `seq`
   * @param {number} [limit]
   * @returns {Promise<{ events: ChannelEvent[], more: boolean }>} events rise by `seq`; `more`: older ones remain
   */
  async history(channel, before, limit = this.#options.pageSize) {
    const answer = await this.#request({ type: 'history', id: this.#nextId(), channel, before, limit });
    return { events: inOrder(answer.messages, 0).filter(({ seq }) => seq < before), more: answer.more === true };
  }

  /** Tells the server, whose answer does not matter: it may have ended the channel already. @param {string} channel */
  #leave(channel) {
    this.#request({ type: 'unsubscribe', id: this.#nextId(), channel }).catch(() => {});
  }

  /** Writes a frame and waits for its answer. @param {object & { id: string }} frame */
  async #request(frame) {
    if (!this.#write(frame)) throw new ChatError('unavailable', 'Not connected.');
    const request = promiseWithHandles();
    this.#requests.set(frame.id, request);
    this.#expectAnswer(frame.id);
    return request.promise;
  }

  /**
   * Moves the member's read position. Best effort: says nothing when it gets lost.
   *
   * @param {string} channel
   * @param {number} seq of the last event that was seen
   */
  read(channel, seq) {
    if (this.#rooms.get(channel)?.live) this.#write({ type: 'read', channel, seq });
  }

  /**
   * Tells the others that the member is typing. Best effort; call it every few seconds at most.
   *
   * @param {string} channel
   */
  typing(channel) {
    if (this.#rooms.get(channel)?.live) this.#write({ type: 'typing', channel });
  }

  /** Connects now, if there are channels to connect for and no connection. Rarely needed: `subscribe` does it. */
  connect() {
    if (this.#socket || !this.#isWanted()) return;
    clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = undefined;
    if (this.#state === 'closed') this.#setState('connecting');
    this.#listen();

    const socket = new WebSocket(webSocketUrl(this.#options.url));
    this.#socket = socket;
    this.#onlineSince = undefined;
    this.#returnAt = undefined;
    this.#socketTimer = setTimeout(() => this.#drop(), this.#options.answerTimeoutMs);
    // A socket that was dropped may speak up late: only the current one counts.
    const isCurrent = () => socket === this.#socket;
    socket.addEventListener('open', () => {
      if (isCurrent()) this.#opened();
    });
    socket.addEventListener('message', ({ data }) => {
      if (isCurrent()) this.#receive(data);
    });
    socket.addEventListener('close', ({ code, reason }) => {
      if (isCurrent()) this.#lost(code, reason);
    });
  }

  /** Finds out soon whether the connection is alive, and reconnects if it is not. */
  check() {
    if (this.#reconnectTimer) this.connect();
    for (const room of this.#rooms.values()) {
      if (!room.live || room.asked || this.#returnAt !== undefined) continue;
      this.#ask(room, { isCheck: true });
      return;
    }
    const [watch] = this.#watches.values();
    if (!watch?.live || this.#returnAt !== undefined) return;
    watch.live = false;
    this.#askCounts();
  }

  /** Leaves all channels and stays away. Unsent messages fail. */
  close() {
    const error = new ChatError('closed', 'The connection was closed.');
    for (const room of [...this.#rooms.values()]) this.#forget(room, error);
    for (const watch of [...this.#watches.values()]) this.#forgetWatch(watch, error);
    const socket = this.#socket;
    this.#detach(error);
    socket?.close(1000);
    this.#end();
  }

  // --- connection ---------------------------------------------------------------------------

  /** @param {State} state @param {object} [details] */
  #setState(state, details) {
    if (this.#state === state) return;
    this.#state = state;
    this.#tell('state', { state, ...details });
  }

  #opened() {
    clearTimeout(this.#socketTimer);
    this.#heard();
    for (const room of this.#rooms.values()) this.#ask(room);
    this.#askCounts();
  }

  /** Whether there is anything to be connected for. */
  #isWanted() {
    return this.#rooms.size + this.#watches.size > 0;
  }

  #isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** @param {object} frame @returns {boolean} whether there was a connection to write it to */
  #write(frame) {
    if (!this.#isOpen()) return false;
    this.#socket?.send(JSON.stringify(frame));
    return true;
  }

  /** Gives up a connection that does not answer; its own close event could take minutes. */
  #drop() {
    const socket = this.#socket;
    this.#lost(1006, '');
    socket?.close();
  }

  /** Forgets all that belonged to the connection. @param {ChatError} error for those who wait for an answer */
  #detach(error) {
    this.#socket = undefined;
    clearTimeout(this.#socketTimer);
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#reconnectTimer);
    this.#reconnectTimer = undefined;
    clearTimeout(this.#tokenTimer);
    clearTimeout(this.#silenceTimer);
    this.#awaited.clear();
    this.#asking.clear();
    this.#queue.clear();
    for (const request of this.#requests.values()) request.reject(error);
    this.#requests.clear();
    for (const room of this.#rooms.values()) {
      clearTimeout(room.retry);
      Object.assign(room, { live: false, asked: undefined, held: [], retry: undefined });
    }
    for (const watch of this.#watches.values()) {
      clearTimeout(watch.retry);
      Object.assign(watch, { live: false, asked: undefined, retry: undefined });
    }
    for (const entry of this.#outbox.values()) {
      clearTimeout(entry.retry);
      Object.assign(entry, { inFlight: false, retry: undefined });
    }
  }

  /** The connection has ended. @param {number} code @param {string} reason */
  #lost(code, reason) {
    if (this.#onlineSince !== undefined && Date.now() - this.#onlineSince >= STEADY_AFTER_MS) this.#attempt = 0;
    if (code === Close.FRAME_TOO_LARGE) {
      for (const entry of this.#outbox.values()) {
        if (entry.inFlight) this.#fail(entry, new ChatError('too_long', 'The message is too large.'));
      }
    }
    const outage = [...this.#rooms.values(), ...this.#watches.values()].some(({ passing }) => passing);
    const expired = code === Close.NOT_AUTHORISED && reason === TOKEN_EXPIRED;
    if (expired) this.#token = undefined;
    const returnAt = this.#returnAt;
    this.#detach(new ChatError('unavailable', 'The connection was lost.'));

    if (code === Close.REMOVED) this.#removed(reason);
    const unwelcome = code === Close.NOT_AUTHORISED && !outage && !expired;
    if (unwelcome || !this.#isWanted()) return this.#end({ code, reason });

    this.#setState('reconnecting');
    this.#reconnectTimer = setTimeout(() => {
      this.#reconnectTimer = undefined;
      this.connect();
    }, this.#waitBeforeReconnect(code, returnAt));
    this.#attempt += 1;
  }

  /** @param {number} code @param {number | undefined} returnAt */
  #waitBeforeReconnect(code, returnAt) {
    if (returnAt !== undefined) return Math.max(0, returnAt - Date.now());
    if (code === Close.TOO_SLOW && this.#attempt === 0) return 0;
    if (code === Close.OVERLOADED) return this.#backoff(this.#attempt, 5_000);
    return this.#backoff(this.#attempt);
  }

  /** Exponential back-off with full jitter. @param {number} attempt @param {number} [base] */
  #backoff(attempt, base = this.#options.backoffBaseMs) {
    return Math.random() * Math.min(this.#options.backoffMaxMs, base * 2 ** attempt);
  }

  /**
   * Makes another attempt after a pause, for a reason that passes on this connection.
   *
   * @param {Room | Watch | Entry} asker
   * @param {() => void} attempt
   */
  #later(asker, attempt) {
    asker.retry = setTimeout(() => {
      asker.retry = undefined;
      attempt();
    }, this.#backoff(asker.attempt, 2_000));
    asker.attempt += 1;
  }

  /** @param {{ code: number, reason: string }} [details] */
  #end(details) {
    this.#attempt = 0;
    this.#listeners?.abort();
    this.#listeners = undefined;
    this.#setState('closed', details);
  }

  /**
   * We were removed from a channel. If the reason does not name it and there are several, the
   * next subscribe of each will tell.
   *
   * @param {string} reason
   */
  #removed(reason) {
    const channels = new Set([...this.#rooms.keys(), ...this.#watches.keys()]);
    const channel = channels.has(reason) || channels.size > 1 ? reason : [...channels][0];
    const error = new ChatError('removed', 'You were removed from this channel.');
    const [room, watch] = [this.#rooms.get(channel), this.#watches.get(channel)];
    if (room) this.#refuse(room, error);
    if (watch) this.#refuseWatch(watch, error);
  }

  /** Network changes and a laptop that wakes up say nothing to a socket: ask. */
  #listen() {
    if (this.#listeners || typeof globalThis.addEventListener !== 'function') return;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    globalThis.addEventListener('online', () => this.check(), { signal });
    globalThis.addEventListener('offline', () => this.check(), { signal });
    globalThis.document?.addEventListener('visibilitychange', () => {
      const silent = Date.now() - this.#heardAt > this.#options.answerTimeoutMs;
      if (document.visibilityState === 'visible' && silent) this.check();
    }, { signal });
  }

  /** Something arrived: the connection lives. */
  #heard() {
    this.#heardAt = Date.now();
    this.#waitForSign();
    clearTimeout(this.#idleTimer);
    // Spread, so that the readers of a quiet channel do not all ask at once.
    this.#idleTimer = setTimeout(() => this.check(), this.#options.idleCheckMs * (0.75 + Math.random() / 2));
  }

  /** @param {string} id of a frame just written */
  #expectAnswer(id) {
    this.#awaited.add(id);
    if (this.#awaited.size === 1) this.#waitForSign();
  }

  /**
   * Gives the server time for a sign of life, whichever: many answers that are slow to come, one after the
   * other, are no dead connection, and a new one would have to ask for all of them again.
   */
  #waitForSign() {
    clearTimeout(this.#silenceTimer);
    if (this.#awaited.size === 0) return;
    this.#silenceTimer = setTimeout(() => this.#drop(), this.#options.answerTimeoutMs);
  }

  /** @param {string} id */
  #answered(id) {
    this.#awaited.delete(id);
    if (this.#awaited.size === 0) clearTimeout(this.#silenceTimer);
  }

  // --- frames from the server ---------------------------------------------------------------

  /** @param {unknown} data */
  #receive(data) {
    this.#heard();
    let frame;
    try {
      frame = JSON.parse(String(data));
    } catch {
      frame = undefined;
    }
    if (typeof frame?.type !== 'string') {
      return this.#tell('fault', { error: new ChatError('bad_frame', 'The server sent something unreadable.') });
    }
    // Events, which have a `prev`, can have an id too.
    const isEvent = Number.isInteger(frame.seq) && Number.isInteger(frame.prev);
    if (typeof frame.id === 'string' && !isEvent) this.#answered(frame.id);

    switch (frame.type) {
      case 'subscribed':
        return this.#subscribed(frame);
      case 'ack':
        this.#resolve(frame);
        return this.#sent(this.#outbox.get(frame.id), frame);
      case 'history':
      case 'unsubscribed':
      case 'authenticated':
        return this.#resolve(frame);
      case 'presence':
        return this.#presence(frame);
      case 'unread':
        return this.#unread(frame);
      case 'token_expiring':
        return this.#renewTokenBefore(frame.expires_at);
      case 'reconnect':
        return this.#leaveDraining(frame);
      case 'error':
        return this.#failed(frame);
    }
    if (isEvent) {
      const room = this.#rooms.get(frame.channel);
      if (room) this.#accept(room, frame);
    } else {
      this.#tell('signal', frame);
    }
  }

  /** @param {{ id: string }} frame that may answer a request */
  #resolve(frame) {
    this.#requests.get(frame.id)?.resolve(frame);
    this.#requests.delete(frame.id);
  }

  /** @param {{ id?: string, code?: string, message?: string, field?: string, channel?: string }} frame */
  #failed({ id, code = 'internal', message = 'Something went wrong.', field, channel }) {
    const error = new ChatError(code, message, { field });
    const entry = this.#outbox.get(id ?? '');
    if (entry) return this.#sendFailed(entry, error);
    const request = this.#requests.get(id ?? '');
    if (request) {
      this.#requests.delete(id ?? '');
      return request.reject(error);
    }
    for (const room of this.#rooms.values()) {
      if (room.asked && room.asked.id === id) return this.#subscribeFailed(room, error);
    }
    const failed = [...this.#watches.values()].filter(({ asked, credentials }) => (
      id !== undefined && asked?.id === id && credentials.channel === (channel ?? credentials.channel)
    ));
    for (const watch of failed) this.#watchFailed(watch, error);
    if (failed.length === 0) this.#tell('fault', { error });
  }

  /**
   * The server is about to close: finish what is in flight, start nothing, come back when it says.
   *
   * @param {{ after_ms?: number }} frame
   */
  #leaveDraining({ after_ms: afterMs }) {
    const wait = Math.min(Math.max(Number(afterMs) || 0, 0), MAX_WAIT_MS);
    this.#returnAt = Date.now() + wait;
    clearTimeout(this.#socketTimer);
    this.#socketTimer = setTimeout(() => this.#drop(), Math.max(wait, this.#options.answerTimeoutMs));
  }

  // --- channels -----------------------------------------------------------------------------

  /**
   * Asks for the first page, or for what came after the last event that we have. A repeated
   * subscribe is how a hole is closed and how a further page is asked for. As a mere check it
   * holds nothing up.
   *
   * @param {Room} room
   */
  #ask(room, { isCheck = false } = {}) {
    if (!this.#isOpen()) return;
    const id = this.#nextId();
    const { credentials, lastSeq } = room;
    clearTimeout(room.retry);
    Object.assign(room, { asked: { id, after: lastSeq, isCheck }, live: isCheck, retry: undefined });
    const write = (/** @type {Credentials & { token?: string }} */ who) => {
      if (room.asked?.id !== id) return;
      room.asked.token = who.token;
      this.#write({ type: 'subscribe', id, ...who, after: lastSeq, limit: this.#options.pageSize });
      this.#expectAnswer(id);
    };
    const begin = () => {
      this.#asking.add(room);
      if (credentials.secret !== undefined) return write(credentials);
      this.#withToken(
        (token) => write({ channel: credentials.channel, token }),
        (error) => room.asked?.id === id && this.#subscribeFailed(room, error),
      );
    };
    if (credentials.secret === undefined) room.passing ||= !isCheck;
    if (this.#asking.has(room) || this.#asking.size < MAX_ASKS) return begin();
    this.#queue.set(room, begin);
  }

  /** A subscribe is answered, or given up: the next one may go. @param {Room} room */
  #asked(room) {
    room.asked = undefined;
    this.#queue.delete(room);
    this.#asking.delete(room);
    const [next] = this.#queue;
    if (!next || this.#asking.size >= MAX_ASKS) return;
    this.#queue.delete(next[0]);
    next[1]();
  }

  /**
   * @param {{ id: string, channel: string, messages: ChannelEvent[], more: boolean, last_seq: number, unread?: number,
   *   online?: { uid: string, role: string }[] }} frame
   */
  #subscribed(frame) {
    const room = this.#rooms.get(frame.channel);
    if (!room?.asked || room.asked.id !== frame.id) return;
    const { after } = room.asked;
    this.#asked(room);
    Object.assign(room, { passing: false, refused: false, attempt: 0 });
    const online = Array.isArray(frame.online) ? frame.online : undefined;
    this.#tellOnline(room, online && new Map(online.map(({ uid, role }) => [uid, role])));

    const events = inOrder(frame.messages, room.lastSeq ?? 0);
    this.#deliver(room, events);
    // With `after`, `more` means that newer ones remain; without it, older ones, which can wait. Then
    // `last_seq` is the page's end, of which everything may have been deleted.
    if (after !== undefined && frame.more) {
      room.lastSeq = Math.max(room.lastSeq ?? 0, Number(frame.last_seq) || 0);
      if (room.lastSeq > after) return this.#ask(room);
    }

    // Not `last_seq`: it may count an event that overtook this page and is held.
    room.lastSeq ??= 0;
    room.live = true;
    this.#welcomed();
    room.first.resolve({ channel: frame.channel, more: frame.more === true, unread: frame.unread });
    this.#release(room, room.lastSeq === after);
    this.#flush();
  }

  /** The server knows us: from here on the connection counts as one. */
  #welcomed() {
    this.#onlineSince ??= Date.now();
    this.#setState('online');
  }

  /** @param {{ channel: string, uid: string, role: string, online: boolean }} frame */
  #presence({ channel, uid, role, online }) {
    const room = this.#rooms.get(channel);
    if (!room) return;
    const members = new Map(room.online);
    if (online) members.set(uid, role);
    else members.delete(uid);
    this.#tellOnline(room, members);
  }

  /** @param {Room} room @param {Map<string, string> | undefined} online */
  #tellOnline(room, online) {
    room.online = online;
    const members = online && Array.from(online, ([uid, role]) => ({ uid, role }));
    this.#tell('online', { channel: room.credentials.channel, members });
  }

  /** Lets out the live events that waited. @param {Room} room @param {boolean} complete the log has nothing more to give */
  #release(room, complete) {
    const held = room.held;
    room.held = [];
    for (const event of held) {
      if (complete && room.live && this.#isHole(room, event)) {
        this.#tell('gap', { channel: event.channel, after: room.lastSeq, before: event.seq });
        this.#deliver(room, [event]);
      } else {
        this.#accept(room, event);
      }
    }
  }

  /** A live event has arrived. @param {Room} room @param {ChannelEvent} event */
  #accept(room, event) {
    if (room.lastSeq !== undefined && event.seq <= room.lastSeq) return;
    if (room.live && !this.#isHole(room, event)) return this.#deliver(room, [event]);
    room.held.push(event);
    if (room.held.length > MAX_HELD) room.held.shift();
    if (room.live) this.#ask(room);
  }

  /** @param {Room} room @param {ChannelEvent} event */
  #isHole(room, event) {
    return event.seq > (room.lastSeq ?? 0) && (event.prev ?? 0) > (room.lastSeq ?? 0);
  }

  /** @param {Room} room @param {ChannelEvent[]} events */
  #deliver(room, events) {
    if (events.length === 0) return;
    room.lastSeq = events[events.length - 1].seq;
    const { channel, uid } = room.credentials;
    this.#tell('events', { channel, events });
    // A message of ours in the log is stored, even if its ack was lost with the connection.
    for (const event of events) {
      // With a token the uid is not known here; ids are random, so one's own are enough.
      const entry = uid === undefined || event.from_uid === uid ? this.#outbox.get(event.id ?? '') : undefined;
      if (entry?.channel === channel) this.#sent(entry, { seq: event.seq, time: event.time, duplicate: false });
    }
  }

  /** @param {Room} room @param {ChatError} error */
  #subscribeFailed(room, error) {
    const { isCheck, token } = room.asked ?? {};
    this.#asked(room);
    if (this.#isStale(room, token, error)) return this.#ask(room, { isCheck });
    if (!TEMPORARY.has(error.code)) {
      this.#refuse(room, error);
      if (!this.#isWanted()) this.close();
      return;
    }
    if (isCheck) return;
    room.passing = true;
    this.#later(room, () => this.#ask(room));
  }

  /** @param {Room} room @param {ChatError} error */
  #refuse(room, error) {
    this.#forget(room, error);
    this.#tell('refused', { channel: room.credentials.channel, error });
  }

  /** @param {Room} room @param {ChatError} error */
  #forget(room, error) {
    const { channel } = room.credentials;
    this.#rooms.delete(channel);
    clearTimeout(room.retry);
    if (room.asked) this.#answered(room.asked.id);
    this.#asked(room);
    room.first.reject(error);
    for (const entry of [...this.#outbox.values()]) {
      if (entry.channel === channel) this.#fail(entry, error);
    }
  }

  // --- unread counts ------------------------------------------------------------------------

  /** Asks for the counts of all watched channels that have none on this connection. */
  #askCounts() {
    if (!this.#isOpen() || this.#returnAt !== undefined) return;
    const waiting = [...this.#watches.values()].filter(({ live, asked, retry }) => !live && !asked && !retry);
    const hasSecret = (/** @type {Watch} */ { credentials }) => credentials.secret !== undefined;
    this.#writeWatches(waiting.filter(hasSecret));
    const others = waiting.filter((watch) => !hasSecret(watch));
    if (others.length === 0) return;
    for (const watch of others) Object.assign(watch, { asked: {}, passing: true });
    // By then there may be others: one frame for all of them.
    const undecided = () => [...this.#watches.values()].filter(({ asked }) => asked && asked.id === undefined);
    this.#withToken(
      (token) => this.#writeWatches(undecided(), token),
      (error) => undecided().forEach((watch) => this.#watchFailed(watch, error)),
    );
  }

  /** Writes as many frames as it takes. @param {Watch[]} watches @param {string} [token] */
  #writeWatches(watches, token) {
    let [id, channels, length] = [this.#nextId(), /** @type {object[]} */ ([]), 0];
    const write = () => {
      if (this.#write({ type: 'watch', id, channels })) this.#expectAnswer(id);
      [id, channels, length] = [this.#nextId(), [], 0];
    };
    for (const watch of watches) {
      const { credentials } = watch;
      const who = token === undefined ? credentials : { channel: credentials.channel, token };
      watch.asked = { id, token };
      channels.push(who);
      length += JSON.stringify(who).length;
      if (channels.length === WATCH_CHANNELS || length >= WATCH_LENGTH) write();
    }
    if (channels.length > 0) write();
  }

  /** @param {{ id?: string, channel: string, count: number }} frame */
  #unread({ id, channel, count }) {
    const watch = this.#watches.get(channel);
    // It was watched beside a subscription, which has ended since.
    if (!watch && !this.#rooms.has(channel)) this.#leave(channel);
    if (!watch) return;
    if (id !== undefined && watch.asked?.id === id) {
      Object.assign(watch, { live: true, asked: undefined, passing: false, refused: false, attempt: 0 });
      this.#welcomed();
    }
    watch.first.resolve(count);
    this.#tell('unread', { channel, count });
  }

  /** @param {Watch} watch @param {ChatError} error */
  #watchFailed(watch, error) {
    const token = watch.asked?.token;
    watch.asked = undefined;
    if (this.#isStale(watch, token, error)) return this.#askCounts();
    if (!TEMPORARY.has(error.code)) {
      this.#refuseWatch(watch, error);
      if (!this.#isWanted()) this.close();
      return;
    }
    watch.passing = true;
    this.#later(watch, () => this.#askCounts());
  }

  /** @param {Watch} watch @param {ChatError} error */
  #refuseWatch(watch, error) {
    this.#forgetWatch(watch, error);
    this.#tell('refused', { channel: watch.credentials.channel, error });
  }

  /** @param {Watch} watch @param {ChatError} error */
  #forgetWatch(watch, error) {
    this.#watches.delete(watch.credentials.channel);
    clearTimeout(watch.retry);
    watch.first.reject(error);
  }

  // --- tokens -------------------------------------------------------------------------------

  /** What is missing to say who we are. @param {string | undefined} secret */
  #lacking(secret) {
    if (secret !== undefined || this.#options.getToken) return undefined;
    return new ChatError('bad_request', 'Without a secret, the option getToken is needed.');
  }

  /**
   * Calls `use` with the token, as soon as there is one, if the connection is still the same then.
   *
   * @param {(token: string) => void} use
   * @param {(error: ChatError) => void} fail
   */
  #withToken(use, fail) {
    const socket = this.#socket;
    const error = new ChatError('unavailable', 'There is no token just now.', { field: 'token' });
    this.#token ??= this.#fetchToken();
    this.#token.then((token) => socket === this.#socket && use(token), () => socket === this.#socket && fail(error));
  }

  #fetchToken() {
    this.#latest = undefined;
    const late = new Promise((_, reject) => setTimeout(reject, this.#options.answerTimeoutMs));
    const token = Promise.race([(async () => this.#options.getToken?.() ?? '')(), late]);
    const isCurrent = () => token === this.#token;
    token.then(
      (value) => isCurrent() && (this.#latest = value),
      () => isCurrent() && (this.#token = undefined),
    );
    return token;
  }

  /**
   * Whether a new token may do what this one did not: it has ended, or was signed before the user was
   * let into the channel. Each room and watch has one more try.
   *
   * @param {Room | Watch} asker
   * @param {string | undefined} token
   * @param {ChatError} error
   */
  #isStale(asker, token, error) {
    if (error.code !== 'unauthorized' || token === undefined || asker.refused) return false;
    asker.refused = true;
    // Unless somebody else has asked for a new one already.
    if (token === this.#latest) this.#token = undefined;
    return true;
  }

  /**
   * Presents a newer token before the server closes the connection, and another one if that one ends no
   * later: `getToken` may remember it for a while.
   *
   * @param {number} expiresAt Unix milliseconds
   */
  #renewTokenBefore(expiresAt) {
    clearTimeout(this.#tokenTimer);
    // Not at once: with very short tokens that would never end.
    const wait = Math.min(Math.max((expiresAt - Date.now()) / 4, 500), 5_000);
    const again = () => this.#renewTokenBefore(expiresAt);
    this.#tokenTimer = setTimeout(() => {
      const socket = this.#socket;
      this.#token = undefined;
      this.#withToken((token) => {
        this.#request({ type: 'authenticate', id: this.#nextId(), token }).then(
          (answer) => answer.expires_at <= expiresAt && again(),
          () => socket === this.#socket && again(),
        );
      }, again);
    }, wait);
  }

  // --- outbox -------------------------------------------------------------------------------

  /** @param {Pick<Entry, 'id' | 'channel' | 'text' | 'meta' | 'createdAt'>} message @returns {Outgoing} */
  #enqueue(message) {
    /** @type {Entry} */
    const entry = {
      ...message,
      status: 'pending',
      inFlight: false,
      attempt: 0,
      retry: undefined,
      expiry: undefined,
      stored: promiseWithHandles(),
    };
    entry.expiry = setTimeout(() => {
      this.#fail(entry, new ChatError('expired', 'The message could not be sent in time.'));
      this.#flush();
    }, this.#resendableFor(entry));
    this.#outbox.set(entry.id, entry);
    this.#tellOutgoing(entry, 'pending');
    this.#flush();
    return { id: entry.id, stored: entry.stored.promise };
  }

  /** How long the server will still recognise this id, in ms. @param {Entry} entry */
  #resendableFor(entry) {
    const margin = Math.min(WINDOW_MARGIN_MS, this.#options.deduplicationWindowMs / 4);
    return Math.max(0, entry.createdAt + this.#options.deduplicationWindowMs - margin - Date.now());
  }

  /**
   * Writes the oldest pending message of each channel that has none in flight. Only channels that
   * are caught up: by then a message whose ack was lost has shown up in the log.
   */
  #flush() {
    if (this.#returnAt !== undefined) return;
    const busy = new Set();
    for (const entry of [...this.#outbox.values()]) {
      const { id, channel, text, meta } = entry;
      if (entry.status !== 'pending' || busy.has(channel)) continue;
      busy.add(channel);
      if (entry.inFlight || entry.retry || !this.#rooms.get(channel)?.live) continue;
      // A computer that slept may be here before its timers.
      if (this.#resendableFor(entry) === 0) continue;
      if (!this.#write({ type: 'send', id, channel, text, meta })) return;
      entry.inFlight = true;
      this.#expectAnswer(id);
    }
  }

  /** @param {Entry | undefined} entry @param {Stored} answer */
  #sent(entry, { seq, time, duplicate }) {
    if (!entry) return;
    this.#settle(entry);
    this.#outbox.delete(entry.id);
    entry.stored.resolve({ seq, time, duplicate: duplicate === true });
    this.#tellOutgoing(entry, 'sent');
    this.#flush();
  }

  /** @param {Entry} entry @param {ChatError} error */
  #sendFailed(entry, error) {
    entry.inFlight = false;
    if (entry.status !== 'pending') return;
    const room = this.#rooms.get(entry.channel);
    if (error.code === 'not_subscribed' && room && entry.attempt === 0) {
      entry.attempt += 1;
      if (!room.asked) this.#ask(room);
      return;
    }
    if (!TEMPORARY.has(error.code)) {
      this.#fail(entry, error);
      return this.#flush();
    }
    this.#later(entry, () => this.#flush());
  }

  /** @param {Entry} entry @param {ChatError} error */
  #fail(entry, error) {
    if (entry.status === 'failed') return;
    this.#settle(entry);
    entry.status = 'failed';
    entry.stored.reject(error);
    this.#tellOutgoing(entry, 'failed', error);
  }

  /** @param {Entry} entry */
  #settle(entry) {
    clearTimeout(entry.retry);
    clearTimeout(entry.expiry);
    this.#answered(entry.id);
    Object.assign(entry, { inFlight: false, retry: undefined });
  }

  // --- telling ------------------------------------------------------------------------------

  /** @param {Entry} entry @param {OutgoingChange['status']} status @param {ChatError} [error] */
  #tellOutgoing({ id, channel, text }, status, error) {
    this.#tell('outgoing', { id, channel, text, status, error });
  }

  /** @param {string} type @param {object} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Distinct from message ids, which are UUIDs. */
  #nextId() {
    this.#lastId += 1;
    return `r${this.#lastId}`;
  }
}

/**
 * The events after `after`, without any that would step back.
 *
 * @param {unknown} messages
 * @param {number} after
 * @returns {ChannelEvent[]}
 */
function inOrder(messages, after) {
  let last = after;
  return (Array.isArray(messages) ? messages : []).filter((event) => {
    if (!Number.isInteger(event?.seq) || event.seq <= last) return false;
    last = event.seq;
    return true;
  });
}

/** `ws` for `http`, `wss` for `https`. @param {string | URL} url */
function webSocketUrl(url) {
  const result = new URL(url, globalThis.location?.href);
  result.protocol = result.protocol.replace(/^http/, 'ws');
  return result;
}

/**
 * A promise with its two ends. Nobody has to listen: a rejection is told by an event too.
 *
 * @template T
 */
function promiseWithHandles() {
  /** @type {(value: T) => void} */
  let resolve = () => {};
  /** @type {(error: Error) => void} */
  let reject = () => {};
  /** @type {Promise<T>} */
  const promise = new Promise((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
