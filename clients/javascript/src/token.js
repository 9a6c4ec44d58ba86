// The user's signed token: got when it is needed, kept while it is good, renewed in time.

import { ChatError } from './error.js';

/**
 * @import { Connection } from './connection.js'
 * @import { Settings } from './settings.js'
 * @import { Timer, World } from './world.js'
 */

/** The wait before a newer token is asked for: with very short ones, asking at once would never end. */
const RENEW_MIN_MS = 500;
const RENEW_MAX_MS = 5_000;

/** The tokens of one client. */
export class Tokens {
  #world;
  #settings;
  #getToken;
  #connection;
  #isNeeded;
  /** @type {Promise<string> | undefined} the token, or the wait for it */
  #token;
  /** @type {string | undefined} the token, once it is there */
  #latest;
  /** @type {string | undefined} the last one that the server took on this connection */
  #accepted;
  /** @type {Timer | undefined} until a newer one is asked for */
  #renewal;
  /** Rises with each connection: what was asked for one is not used on another. */
  #era = 0;

  /**
   * @param {World} world
   * @param {Settings} settings
   * @param {(() => string | Promise<string>) | undefined} getToken
   * @param {Connection} connection
   * @param {() => boolean} isNeeded whether anything is subscribed or watched by token
   */
  constructor(world, settings, getToken, connection, isNeeded) {
    this.#world = world;
    this.#settings = settings;
    this.#getToken = getToken;
    this.#connection = connection;
    this.#isNeeded = isNeeded;
  }

  /** What is missing to say who somebody is. @param {string | undefined} secret @returns {ChatError | undefined} */
  lacking(secret) {
    if (secret !== undefined || this.#getToken) return undefined;
    return new ChatError('bad_request', 'Without a secret, the option getToken is needed.');
  }

  /**
   * Calls `use` with the token, as soon as there is one, if the connection is still the same then.
   *
   * @param {(token: string) => void} use
   * @param {(error: ChatError) => void} fail
   */
  use(use, fail) {
    const era = this.#era;
    this.#token ??= this.#fetch();
    this.#token.then(
      (token) => era === this.#era && use(token),
      () => era === this.#era && fail(new ChatError('unavailable', 'There is no token just now.', { field: 'token' })),
    );
  }

  /** The server took this one, for one channel at least. @param {string} token */
  accepted(token) {
    this.#accepted = token;
  }

  /** Whether the server takes this one on this connection, as far as is known. @param {string} token */
  isAccepted(token) {
    return token === this.#accepted;
  }

  /** The server did not take this one. @param {string} token */
  refused(token) {
    // Unless somebody else has asked for a new one already.
    if (token === this.#latest) this.forget();
  }

  /** The next who needs one asks for a new one. */
  forget() {
    this.#token = undefined;
    this.#latest = undefined;
  }

  /** The connection has ended. */
  disconnected() {
    this.#era += 1;
    this.#accepted = undefined;
    this.#stopRenewal();
  }

  /** Something by token has been left: without any other there is nothing to renew. */
  left() {
    if (this.#isNeeded()) return;
    this.#stopRenewal();
    this.forget();
  }

  /**
   * Presents a newer token before the server closes the connection, and another one if that one ends no later:
   * `getToken` may remember it for a while.
   *
   * @param {number} expiresAt Unix milliseconds
   */
  renewBefore(expiresAt) {
    this.#stopRenewal();
    if (!this.#isNeeded()) return;
    const wait = Math.min(Math.max((expiresAt - this.#world.wallNow()) / 4, RENEW_MIN_MS), RENEW_MAX_MS);
    this.#renewal = this.#world.setTimer(() => {
      this.#renewal = undefined;
      this.forget();
      this.use((token) => this.#present(token, expiresAt), () => this.renewBefore(expiresAt));
    }, wait);
  }

  /** @param {string} token @param {number} expiresAt */
  async #present(token, expiresAt) {
    const era = this.#era;
    try {
      const answer = await this.#connection.request({ type: 'authenticate', id: this.#connection.nextId(), token });
      this.accepted(token);
      if (answer.expires_at > expiresAt) return;
    } catch (error) {
      // Nothing here is by token any more, or the connection is to end before there is an answer.
      if (error instanceof ChatError && error.code === 'not_subscribed') return;
    }
    if (era === this.#era) this.renewBefore(expiresAt);
  }

  #fetch() {
    this.#latest = undefined;
    const token = this.#getInTime();
    const isCurrent = () => token === this.#token;
    token.then(
      (value) => isCurrent() && (this.#latest = value),
      () => isCurrent() && (this.#token = undefined),
    );
    return token;
  }

  /** @returns {Promise<string>} */
  #getInTime() {
    return new Promise((resolve, reject) => {
      const late = this.#world.setTimer(() => reject(new Error('late')), this.#settings.answerTimeoutMs);
      const settle = (/** @type {() => void} */ act) => {
        this.#world.clearTimer(late);
        act();
      };
      Promise.resolve().then(() => this.#getToken?.()).then(
        (token) => settle(() => (typeof token === 'string' ? resolve(token) : reject(new Error('no token')))),
        (error) => settle(() => reject(error)),
      );
    });
  }

  #stopRenewal() {
    this.#world.clearTimer(this.#renewal);
    this.#renewal = undefined;
  }
}
