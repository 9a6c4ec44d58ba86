// Keeps the outbox's messages in a storage that may be slow, broken or absent, without ever letting one be stored twice.

import { ChatError } from './error.js';

/**
 * @import { OutboxStorage, StoredMessage } from './types.js'
 * @import { World } from './world.js'
 */

/** How long the storage may take before it counts as broken. */
const TIMEOUT_MS = 2_000;

/** The storage has neither done nor refused it, and may yet do it. */
const LATE = new Error('the storage takes too long');

/** The outbox's hold on its storage. */
export class Keeper {
  #world;
  #storage;
  #fault;
  /** @type {Map<string, Promise<void>>} the last step of each message: they are taken one after the other */
  #steps = new Map();
  /** @type {Set<string>} ids of which the storage may have a copy */
  #kept = new Set();
  /** @type {Promise<boolean>} whether the storage works, once `load` has found out: until then nothing is put */
  #works = Promise.resolve(true);

  /** @param {World} world @param {OutboxStorage} storage @param {(error: ChatError) => void} fault */
  constructor(world, storage, fault) {
    this.#world = world;
    this.#storage = storage;
    this.#fault = fault;
  }

  /**
   * What an earlier page has left; nothing if that cannot be told. A storage that cannot tell is given nothing either:
   * a copy that it took and could not change would hold up its message.
   *
   * @returns {Promise<StoredMessage[]>}
   */
  async load() {
    const loading = this.#inTime(() => this.#storage.load());
    this.#works = loading.then(() => true, () => false);
    try {
      const messages = await loading;
      for (const { id } of messages) this.#kept.add(id);
      return messages;
    } catch (error) {
      this.#tell(error);
      return [];
    }
  }

  /** Keeps a message that was not written yet. @param {StoredMessage} message */
  keep(message) {
    this.#step(message.id, async () => {
      if (!await this.#works) return;
      const isFirst = !this.#kept.has(message.id);
      this.#kept.add(message.id);
      try {
        await this.#inTime(() => this.#storage.put(message));
      } catch (error) {
        // What was refused is not there. What was not answered may be.
        if (isFirst && error !== LATE) this.#kept.delete(message.id);
        throw error;
      }
    });
  }

  /**
   * Changes what is kept of a message, if anything is: that it is about to be written, or has failed. A copy that does
   * not know would be sent again, and later than the server recognises its id, so it had better go.
   *
   * @param {StoredMessage} message
   * @returns {Promise<boolean>} whether the storage has no copy that does not know
   */
  async update(message) {
    const note = this.#step(message.id, async () => {
      try {
        if (this.#kept.has(message.id)) await this.#inTime(() => this.#storage.put(message));
      } catch (error) {
        this.#tell(error);
        await this.#inTime(() => this.#storage.remove(message.id));
        this.#kept.delete(message.id);
      }
    });
    return note.then(() => true, () => false);
  }

  /** Keeps it no longer. @param {string} id */
  forget(id) {
    this.#step(id, async () => {
      if (this.#kept.has(id)) await this.#inTime(() => this.#storage.remove(id));
      this.#kept.delete(id);
    });
  }

  /** @param {string} id @param {() => Promise<void>} act @returns {Promise<void>} */
  #step(id, act) {
    const step = (this.#steps.get(id) ?? Promise.resolve()).catch(() => {}).then(act);
    this.#steps.set(id, step);
    const done = () => this.#steps.get(id) === step && this.#steps.delete(id);
    step.then(done, (error) => {
      done();
      this.#tell(error);
    });
    return step;
  }

  /** @param {unknown} error */
  #tell(error) {
    this.#fault(new ChatError('storage', `The outbox is not kept: ${error}`));
  }

  /** @template T @param {() => Promise<T>} act @returns {Promise<T>} */
  #inTime(act) {
    return new Promise((resolve, reject) => {
      const late = this.#world.setTimer(() => reject(LATE), TIMEOUT_MS);
      const settle = (/** @type {() => void} */ next) => {
        this.#world.clearTimer(late);
        next();
      };
      Promise.resolve().then(act).then(
        (value) => settle(() => resolve(value)),
        (error) => settle(() => reject(error)),
      );
    });
  }
}
