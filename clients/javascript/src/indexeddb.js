// The outbox in the browser's database: what one page could not send, the next one does.

/**
 * @import { OutboxStorage, StoredMessage } from './types.js'
 *
 * @typedef {StoredMessage & { owner: string, place: number }} Kept
 */

const MESSAGES = 'messages';

/** What nobody came back for is dropped after a week. */
const MAX_AGE_MS = 7 * 24 * 60 * 60 * 1000;

/**
 * An `OutboxStorage` in IndexedDB. Each page has its own messages; those of a page that has ended are adopted by the
 * next one that loads. Which pages have ended is known by Web Locks, so the page must be a secure context (https, or
 * localhost).
 *
 * @param {string} name of the database: one for each user of the browser, so that nobody sends what another one wrote
 * @returns {OutboxStorage}
 */
export function indexedDbOutbox(name) {
  const owner = crypto.randomUUID?.() ?? '';
  /** @type {Map<string, number>} places in the order, by id */
  const places = new Map();
  let last = Date.now();
  const database = new Database(name, lockOf(name, owner));
  const place = (/** @type {string} */ id) => {
    const found = places.get(id) ?? (last = Math.max(last + 1, Date.now()));
    places.set(id, found);
    return found;
  };
  return {
    async load() {
      const kept = await database.use((open) => adopt(open, name, owner));
      for (const one of kept) places.set(one.id, one.place);
      return kept.map(({ owner: _owner, place: _place, ...message }) => message);
    },
    async put(message) {
      const kept = { ...message, owner, place: place(message.id) };
      await database.use((open) => write(open, (messages) => messages.put(kept)));
    },
    async remove(id) {
      places.delete(id);
      await database.use((open) => write(open, (messages) => messages.delete(id)));
    },
  };
}

/** A database that is opened when it is needed, and anew when it could not be opened or the browser has closed it. */
class Database {
  #name;
  #lock;
  /** @type {Promise<void> | undefined} */
  #holding;
  /** @type {Promise<IDBDatabase> | undefined} */
  #opening;

  /** @param {string} name @param {string} lock that is held while the database is used */
  constructor(name, lock) {
    this.#name = name;
    this.#lock = lock;
  }

  /** @template T @param {(database: IDBDatabase) => Promise<T>} act @returns {Promise<T>} */
  async use(act) {
    try {
      return await act(await this.#opened());
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'InvalidStateError') throw error;
      // It was closed, and that was not told.
      this.#opening = undefined;
      return act(await this.#opened());
    }
  }

  #opened() {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async #open() {
    try {
      // Once: a lock that is asked for again waits for itself.
      this.#holding ??= hold(this.#lock);
      await this.#holding.catch((error) => {
        this.#holding = undefined;
        throw error;
      });
      const database = await open(this.#name);
      database.onclose = () => (this.#opening = undefined);
      return database;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}

/**
 * Makes the messages of pages that have ended this page's own.
 *
 * @param {IDBDatabase} database
 * @param {string} name
 * @param {string} owner this page
 * @returns {Promise<Kept[]>} oldest first
 */
async function adopt(database, name, owner) {
  const all = await result(database.transaction(MESSAGES).objectStore(MESSAGES).getAll());
  const others = new Set(all.map((/** @type {Kept} */ one) => one.owner));
  others.delete(owner);
  for (const other of others) {
    await navigator.locks.request(lockOf(name, other), { ifAvailable: true }, async (lock) => {
      if (lock) await write(database, (messages) => takeOver(messages, other, owner));
    });
  }
  const now = await result(database.transaction(MESSAGES).objectStore(MESSAGES).getAll());
  const mine = now.filter((/** @type {Kept} */ one) => one.owner === owner);
  return mine.sort((/** @type {Kept} */ one, /** @type {Kept} */ two) => one.place - two.place);
}

/** @param {IDBObjectStore} messages @param {string} from @param {string} to */
function takeOver(messages, from, to) {
  const asking = messages.openCursor();
  asking.onsuccess = () => {
    const cursor = asking.result;
    if (!cursor) return;
    const kept = /** @type {Kept} */ (cursor.value);
    if (kept.owner === from) {
      if (kept.createdAt < Date.now() - MAX_AGE_MS) cursor.delete();
      else cursor.update({ ...kept, owner: to });
    }
    cursor.continue();
  };
}

/** @param {string} name @param {string} owner */
function lockOf(name, owner) {
  return `${name}:${owner}`;
}

/** Takes a lock for as long as the page lives. @param {string} lock @returns {Promise<void>} once it is taken */
function hold(lock) {
  if (!globalThis.navigator?.locks) return Promise.reject(new Error('this page has no Web Locks'));
  return new Promise((resolve, reject) => {
    navigator.locks.request(lock, () => {
      resolve();
      return new Promise(() => {});
    }).catch(reject);
  });
}

/** @param {string} name @returns {Promise<IDBDatabase>} */
function open(name) {
  const asking = indexedDB.open(name, 1);
  asking.onupgradeneeded = () => asking.result.createObjectStore(MESSAGES, { keyPath: 'id' });
  return result(asking);
}

/**
 * Changes messages; resolves once that is on disk, as far as the browser tells.
 *
 * @param {IDBDatabase} database
 * @param {(messages: IDBObjectStore) => void} change
 * @returns {Promise<void>}
 */
function write(database, change) {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(MESSAGES, 'readwrite', { durability: 'strict' });
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
    change(transaction.objectStore(MESSAGES));
  });
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
