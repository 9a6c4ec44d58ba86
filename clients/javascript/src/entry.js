// One message of the outbox, and for how long its id may be sent again.

import { Repeater } from './backoff.js';
import { deferred } from './deferred.js';
import { ChatError } from './error.js';
import { momentOf, since } from './world.js';

/**
 * @import { Deferred } from './deferred.js'
 * @import { Settings } from './settings.js'
 * @import { Meta, Stored, StoredMessage } from './types.js'
 * @import { Moment, Timer, World } from './world.js'
 *
 * @typedef {object} Flight an attempt, from its beginning to its answer
 * @property {boolean} isFirst whether it certainly is
 * @property {boolean} isWritten
 */

/** A resend must reach the log inside the server's window, so stop a little before its end. */
const WINDOW_MARGIN_MS = 10_000;

/** A message in the outbox. */
export class Entry {
  #world;
  /** @type {Moment | undefined} */
  #written;
  /** @type {Timer | undefined} */
  #expiry;
  /** @type {ChatError | undefined} why it has failed; undefined while it is to be sent */
  error;
  /** @type {Flight | undefined} the attempt under way */
  flight;
  /** Whether the server once said that we are not subscribed. */
  wasAstray = false;
  /** @type {Deferred<Stored>} */
  stored = deferred();
  repeater;

  /**
   * @param {World} world
   * @param {Settings} settings
   * @param {StoredMessage} message
   * @param {Moment} [written] when it was written, if that is known better than by the wall clock
   */
  constructor(world, settings, { id, channel, text, meta, createdAt, writtenAt, failure }, written) {
    this.#world = world;
    this.id = id;
    this.channel = channel;
    this.text = text;
    /** @type {Meta | undefined} */
    this.meta = meta;
    this.createdAt = createdAt;
    this.windowMs = settings.deduplicationWindowMs - Math.min(WINDOW_MARGIN_MS, settings.deduplicationWindowMs / 4);
    this.repeater = new Repeater(world, settings.backoffMaxMs);
    if (failure) this.error = new ChatError(failure.code, failure.message);
    if (writtenAt !== undefined) this.#written = written ?? momentOfWriting(world, writtenAt);
  }

  /** @returns {'pending' | 'failed'} */
  get status() {
    return this.error ? 'failed' : 'pending';
  }

  /** When the server's window may have begun, if it has. */
  get written() {
    return this.#written;
  }

  /** How long the server will still recognise the id, in milliseconds: for ever while it does not know it. */
  get resendableMs() {
    return this.#written ? Math.max(0, this.windowMs - since(this.#world, this.#written)) : Infinity;
  }

  /** @returns {StoredMessage} */
  get message() {
    const { id, channel, text, meta, createdAt, error } = this;
    const failure = error && { code: error.code, message: error.message };
    return { id, channel, text, meta, createdAt, writtenAt: this.#written?.wall, failure };
  }

  /** An attempt begins: from its first one on, the window runs. @returns {Flight} */
  begin() {
    this.flight = { isFirst: this.#written === undefined, isWritten: false };
    this.#written ??= momentOf(this.#world);
    return this.flight;
  }

  /**
   * The attempt is over.
   *
   * @param {boolean} isKnown whether the server certainly has not stored it
   * @returns {boolean} whether the window has not begun after all
   */
  end(isKnown) {
    const flight = this.flight;
    this.flight = undefined;
    if (!flight?.isFirst || (flight.isWritten && !isKnown)) return false;
    this.#written = undefined;
    this.stopExpiry();
    return true;
  }

  /** @param {() => void} expire when the id may not be sent again */
  startExpiry(expire) {
    this.stopExpiry();
    if (this.#written) this.#expiry = this.#world.setTimer(expire, this.resendableMs);
  }

  stopExpiry() {
    this.#world.clearTimer(this.#expiry);
    this.#expiry = undefined;
  }

  /** Nothing more is tried. */
  settle() {
    this.stopExpiry();
    this.repeater.cancel();
    this.flight = undefined;
  }
}

/**
 * When an earlier page wrote it, by the wall clock alone. A clock that has been set back since tells nothing: then the
 * window counts as over.
 *
 * @param {World} world
 * @param {number} writtenAt Unix milliseconds
 * @returns {Moment}
 */
function momentOfWriting(world, writtenAt) {
  const age = world.wallNow() - writtenAt;
  return { steady: age < 0 ? -Infinity : world.steadyNow() - age, wall: writtenAt };
}
