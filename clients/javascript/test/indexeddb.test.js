// The outbox in the browser's database: a real IndexedDB in memory, and Web Locks as far as they are needed.

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { test } from 'node:test';

import { IDBFactory } from 'fake-indexeddb';

import { indexedDbOutbox } from '../src/indexeddb.js';

const DAY_MS = 24 * 60 * 60 * 1000;

/** Web Locks, exclusive ones. What holds one for good is a page that lives. */
class Locks {
  /** @type {Map<string, Promise<unknown>>} */
  #held = new Map();

  /** @param {string} name @param {any} options @param {(lock: object | null) => any} [act] */
  async request(name, options, act = options) {
    while (this.#held.has(name)) {
      if (options.ifAvailable) return act(null);
      await this.#held.get(name);
    }
    const holding = Promise.resolve(act({ name }));
    this.#held.set(name, holding);
    return holding.finally(() => this.#held.delete(name));
  }

  /** The page has ended. @param {(name: string) => boolean} isOf */
  release(isOf) {
    for (const name of this.#held.keys()) if (isOf(name)) this.#held.delete(name);
  }

  get names() {
    return [...this.#held.keys()];
  }
}

/** A browser without any page, in place of Node's globals. */
function browser() {
  const [factory, locks] = [new IDBFactory(), new Locks()];
  const define = (/** @type {string} */ name, /** @type {unknown} */ value) => (
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
  );
  define('indexedDB', factory);
  define('navigator', { locks });
  // Node 18 has none.
  if (!globalThis.crypto) define('crypto', webcrypto);
  return { factory, locks };
}

/** @param {string} id @param {number} [createdAt] */
function stored(id, createdAt = Date.now()) {
  return { id, channel: 'c', text: id, meta: undefined, createdAt, writtenAt: undefined, failure: undefined };
}

/** @param {import('../src/types.js').OutboxStorage} storage */
async function ids(storage) {
  return (await storage.load()).map(({ id }) => id);
}

test('a database that could not be opened is opened at the next try', async () => {
  const { factory } = browser();
  const open = factory.open.bind(factory);
  factory.open = () => {
    throw new DOMException('denied', 'SecurityError');
  };
  const storage = indexedDbOutbox('outbox');
  await assert.rejects(storage.load(), { name: 'SecurityError' });
  await assert.rejects(storage.put(stored('m')), { name: 'SecurityError' });
  factory.open = open;
  await storage.put(stored('m'));
  assert.deepEqual(await ids(storage), ['m']);
});

test('a database that was closed is opened anew, whether or not the browser tells', async () => {
  for (const isTold of [true, false]) {
    const { factory } = browser();
    /** @type {any[]} */
    const databases = [];
    const open = factory.open.bind(factory);
    factory.open = (name, version) => {
      const asking = open(name, version);
      asking.addEventListener('success', () => databases.push(asking.result));
      return asking;
    };
    const storage = indexedDbOutbox('outbox');
    await storage.put(stored('before'));
    databases[0].close();
    if (isTold) databases[0].onclose();
    await storage.put(stored('after'));
    await storage.remove('before');
    assert.deepEqual(await ids(storage), ['after']);
    assert.equal(databases.length, 2);
  }
});

test('a page takes over what pages that have ended left, and leaves to the others what is theirs', async () => {
  const { locks } = browser();
  const ended = indexedDbOutbox('outbox');
  await ended.put(stored('left'));
  await ended.put(stored('left long ago', Date.now() - 8 * DAY_MS));
  const [lock] = locks.names;
  const living = indexedDbOutbox('outbox');
  await living.put(stored('of another'));
  await living.put(stored('of another, and old', Date.now() - 8 * DAY_MS));
  locks.release((name) => name === lock);
  assert.deepEqual(await ids(indexedDbOutbox('outbox')), ['left']);
  assert.deepEqual(await ids(living), ['of another', 'of another, and old']);
});
