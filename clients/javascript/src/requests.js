// Frames that are answered once, by their id.

import { deferred } from './deferred.js';

/**
 * @import { ChatError } from './error.js'
 * @import { Deferred } from './deferred.js'
 */

/** Those who wait for an answer. All of them are told when the connection ends. */
export class Requests {
  /** @type {Map<string, Deferred<any> & { length: number }>} */
  #waiting = new Map();

  /** The longest frame that is not answered yet. @returns {{ id: string, length: number } | undefined} */
  get longest() {
    const frames = Array.from(this.#waiting, ([id, { length }]) => ({ id, length }));
    return frames.sort((one, other) => other.length - one.length)[0];
  }

  /**
   * @param {string} id of the frame that was written
   * @param {number} length of the frame, in characters
   * @returns {Promise<any>} the frame that answers it; rejects with a `ChatError`
   */
  wait(id, length) {
    const request = { ...deferred(), length };
    this.#waiting.set(id, request);
    return request.promise;
  }

  /** @param {{ id?: string }} frame that may answer one of them */
  resolve(frame) {
    this.#take(frame.id)?.resolve(frame);
  }

  /**
   * @param {string | undefined} id
   * @param {ChatError} error
   * @returns {boolean} whether somebody waited for it
   */
  reject(id, error) {
    const request = this.#take(id);
    request?.reject(error);
    return request !== undefined;
  }

  /** @param {ChatError} error */
  rejectAll(error) {
    for (const request of this.#waiting.values()) request.reject(error);
    this.#waiting.clear();
  }

  /** @param {string | undefined} id */
  #take(id) {
    const request = this.#waiting.get(id ?? '');
    this.#waiting.delete(id ?? '');
    return request;
  }
}
