// A conversation as rows: what the log's events and our own unsent messages look like, one below the other. No DOM.

/**
 * @import { ChatError } from '../src/error.js'
 * @import { ChannelEvent, Edited, Deleted, Message, OutgoingChange } from '../src/types.js'
 *
 * @typedef {object} Revision a change of a message of ours that the log does not have yet
 * @property {'edit' | 'delete'} kind
 * @property {string} text what the message is to say
 * @property {ChatError | undefined} error why it failed; undefined while it is on its way
 *
 * @typedef {object} MessageRow
 * @property {'message'} kind
 * @property {string} key tells it from all other rows
 * @property {number} seq its place; Infinity while the log does not have it
 * @property {string} id
 * @property {number} time Unix milliseconds
 * @property {string | undefined} uid of its author; undefined of an unsent message, which is our own
 * @property {string | undefined} name
 * @property {string | undefined} role
 * @property {string} text
 * @property {boolean} isEdited
 * @property {OutgoingChange['status'] | undefined} status of an unsent message
 * @property {ChatError | undefined} error why it was not sent
 * @property {Revision | undefined} revision
 *
 * @typedef {object} NoteRow what happened, other than that somebody spoke
 * @property {'note'} kind
 * @property {string} key
 * @property {number} seq
 * @property {number} time Unix milliseconds
 * @property {'joined' | 'left' | 'closed' | 'reopened' | 'gap'} type
 * @property {string | undefined} uid whom it is about
 * @property {string | undefined} role
 *
 * @typedef {MessageRow | NoteRow} Row rows are replaced and never changed
 */

/** Edits and deletions of messages that are not at hand, kept for a page of history that is on its way. */
const UNPLACED_MAX = 200;

const NOTES = new Set(['joined', 'left', 'closed', 'reopened']);

export class Conversation {
  /** @type {Row[]} in the order of the log */
  #logged = [];
  /** @type {Map<string, MessageRow>} by id; oldest first */
  #unsent = new Map();
  /** @type {Map<number, Edited | Deleted>} by the message's `seq` */
  #unplaced = new Map();
  /** @type {Map<string, string>} by uid */
  #names = new Map();
  /** Our own uid, once it is known. @type {string | undefined} */
  uid;
  /** The `seq` of the oldest event at hand. @type {number | undefined} */
  oldest;
  /** The `seq` of the latest event. */
  newest = 0;
  /** Whether the channel takes no more messages. */
  isEnded = false;
  /** The `seq` of the first message that was unread when the conversation was opened. @type {number | undefined} */
  firstUnread;

  /** How many rows there are. */
  get length() {
    return this.#logged.length + this.#unsent.size;
  }

  /**
   * The rows from one index up to, and without, another one.
   *
   * @param {number} from
   * @param {number} to
   * @returns {Row[]}
   */
  slice(from, to) {
    const logged = this.#logged.slice(from, to);
    const count = this.#logged.length;
    if (to <= count) return logged;
    return [...logged, ...[...this.#unsent.values()].slice(Math.max(0, from - count), to - count)];
  }

  /** The index of the first row whose `seq` is not lower. @param {number} seq */
  indexOf(seq) {
    let [low, high] = [0, this.#logged.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {Row} */ (this.#logged[middle]).seq < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The latest message of ours, sent or not. @returns {Row | undefined} */
  get lastOwn() {
    return [...this.#unsent.values()].at(-1) ?? this.#last((row) => this.isOwn(row));
  }

  /** Why messages of ours could not be sent. @returns {ChatError[]} */
  get failures() {
    return [...this.#unsent.values()].flatMap(({ error }) => error ?? []);
  }

  /** @param {Row} row */
  isOwn(row) {
    return row.kind === 'message' && (row.uid === undefined ? row.status !== undefined : row.uid === this.uid);
  }

  /** What somebody is called. @param {string | undefined} uid */
  nameOf(uid) {
    return uid && (this.#names.get(uid) ?? uid);
  }

  /**
   * Takes in events that are newer than all at hand.
   *
   * @param {ChannelEvent[]} events
   * @returns {MessageRow[]} what others have said
   */
  append(events) {
    const heard = [];
    for (const event of events) {
      this.oldest ??= event.seq;
      this.newest = Math.max(this.newest, event.seq);
      this.#learn(event);
      if (event.type === 'edited' || event.type === 'deleted') this.#change(event);
      if (event.type === 'closed') this.isEnded = true;
      if (event.type === 'reopened') this.isEnded = false;
      // Ids are random, so one's own are known by them even while the uid is not.
      const mayBeOwn = event.type === 'message' && (this.uid === undefined || event.from_uid === this.uid);
      if (mayBeOwn) this.#unsent.delete(event.id);
      const row = rowOf(event);
      if (!row) continue;
      this.#logged.push(row);
      if (row.kind === 'message' && !this.isOwn(row)) heard.push(row);
    }
    return heard;
  }

  /** Takes in a page of events that are older than all at hand. @param {ChannelEvent[]} events */
  prepend(events) {
    this.oldest = events[0]?.seq ?? this.oldest;
    const rows = [];
    for (const event of events) {
      // A name that is newer is known already.
      this.#learn(event, false);
      const row = rowOf(event);
      const change = this.#unplaced.get(event.seq);
      if (row && change?.type !== 'deleted') rows.push(change && row.kind === 'message' ? edited(row, change.text) : row);
    }
    this.#unplaced.clear();
    this.#logged.unshift(...rows);
  }

  /**
   * Forgets all but the latest rows, which can be had again by history.
   *
   * @param {number} count
   * @returns {boolean} whether there were more
   */
  trim(count) {
    const surplus = this.#logged.length - count;
    if (surplus <= 0) return false;
    this.#logged.splice(0, surplus);
    this.oldest = this.#logged[0]?.seq ?? this.oldest;
    return true;
  }

  /** Events between two others are no longer in the log. @param {{ after: number, before: number }} gap */
  gap({ before }) {
    const last = this.#logged.at(-1);
    // Where nothing stands above, nothing is missed.
    if (!last) return;
    this.#logged.push({
      kind: 'note', key: `gap-${before}`, seq: before - 0.5, time: last.time, type: 'gap', uid: undefined, role: undefined,
    });
  }

  /** A message of ours became pending, sent or failed. @param {OutgoingChange} change */
  outgoing({ id, text, createdAt, status, error }) {
    // Once it is in the log, its row says that it was sent.
    if (status === 'sent' && !this.#unsent.has(id)) return;
    if (error?.code === 'channel_closed') this.isEnded = true;
    this.#unsent.set(id, {
      kind: 'message', key: `unsent-${id}`, seq: Infinity, id, time: createdAt, uid: undefined, name: undefined,
      role: undefined, text, isEdited: false, status, error, revision: undefined,
    });
  }

  /** An unsent message will not come back under this id. @param {string} id */
  drop(id) {
    this.#unsent.delete(id);
  }

  /**
   * What is to become of a message of ours.
   *
   * @param {number} seq
   * @param {Revision | undefined} revision undefined: it stays as it is
   */
  revise(seq, revision) {
    const index = this.indexOf(seq);
    const row = this.#logged[index];
    if (row?.kind === 'message' && row.seq === seq) this.#logged[index] = { ...row, revision };
  }

  /** @param {number} seq @returns {MessageRow | undefined} */
  message(seq) {
    const row = this.#logged[this.indexOf(seq)];
    return row?.kind === 'message' && row.seq === seq ? row : undefined;
  }

  /** Remembers where what is unread begins. @param {number} count of the unread messages of others */
  markUnread(count) {
    let left = count;
    this.firstUnread = this.#last((row) => row.kind === 'message' && !this.isOwn(row) && (left -= 1) === 0)?.seq;
  }

  /** The last row of the log of which this holds. @param {(row: Row) => boolean} isWanted */
  #last(isWanted) {
    for (let index = this.#logged.length - 1; index >= 0; index -= 1) {
      const row = /** @type {Row} */ (this.#logged[index]);
      if (isWanted(row)) return row;
    }
    return undefined;
  }

  /** @param {Edited | Deleted} change */
  #change(change) {
    const index = this.indexOf(change.message);
    const row = this.#logged[index];
    if (row?.kind === 'message' && row.seq === change.message) {
      if (change.type === 'edited') this.#logged[index] = edited(row, change.text);
      else this.#logged.splice(index, 1);
    } else if (this.oldest === undefined || change.message < this.oldest) {
      if (this.#unplaced.size >= UNPLACED_MAX) this.#unplaced.clear();
      this.#unplaced.set(change.message, change);
    }
  }

  /** @param {ChannelEvent} event @param {boolean} [isNewer] than what is known */
  #learn(event, isNewer = true) {
    const [uid, name] = event.type === 'message' ? [event.from_uid, event.from_name]
      : event.type === 'joined' || event.type === 'updated' ? [event.uid, event.display_name] : [];
    if (uid && name && (isNewer || !this.#names.has(uid))) this.#names.set(uid, name);
  }
}

/** @param {MessageRow} row @param {string} text @returns {MessageRow} */
function edited(row, text) {
  return { ...row, text, isEdited: true, revision: undefined };
}

/**
 * @param {ChannelEvent} event
 * @returns {Row | undefined} none of what only changes others, and of what later servers may send
 */
function rowOf(event) {
  const { seq, time, type } = event;
  if (type === 'message') return messageRow(event);
  if (!NOTES.has(type)) return undefined;
  const about = 'uid' in event ? event.uid : undefined;
  return {
    kind: 'note', key: `${seq}`, seq, time, type: /** @type {NoteRow['type']} */ (type), uid: about,
    role: type === 'joined' ? event.role : undefined,
  };
}

/** @param {Message} message @returns {MessageRow} */
function messageRow({ seq, id, time, from_uid: uid, from_name: name, from_role: role, text, edited_at: editedAt }) {
  return {
    kind: 'message', key: `${seq}`, seq, id, time, uid, name, role, text, isEdited: editedAt !== undefined,
    status: undefined, error: undefined, revision: undefined,
  };
}
