// Tells a dead connection from a quiet one.

import { momentOf, since } from './world.js';

/**
 * @import { Settings } from './settings.js'
 * @import { Moment, Timer, World } from './world.js'
 */

/** An answer that is still not there after so many times the silence will never come, whatever else does. */
const LOST_AFTER = 12;

/**
 * Measures the silence of one connection. A slow server is no dead connection: what counts is the last sign of
 * life, and not when a question was written.
 */
export class Silence {
  #world;
  #settings;
  #dead;
  #quiet;
  /** @type {Map<string, Timer>} ids of the frames that wait for their answers, and until when */
  #awaited = new Map();
  /** @type {Moment | undefined} of the last sign of life */
  #heardAt;
  /** @type {Timer | undefined} until a silence is too long */
  #deadTimer;
  /** @type {Timer | undefined} until somebody should ask */
  #quietTimer;

  /**
   * @param {World} world
   * @param {Settings} settings
   * @param {() => void} dead an answer is awaited, and nothing came for too long
   * @param {() => void} quiet nothing came for a while, and nothing is awaited: it is time to ask
   */
  constructor(world, settings, dead, quiet) {
    this.#world = world;
    this.#settings = settings;
    this.#dead = dead;
    this.#quiet = quiet;
  }

  /** Whether nothing was heard for longer than an answer may take. */
  get isLong() {
    return this.#heardAt === undefined || since(this.#world, this.#heardAt) > this.#settings.answerTimeoutMs;
  }

  /** Something arrived: the connection lives. */
  heard() {
    this.#heardAt = momentOf(this.#world);
    this.#wait();
    this.#world.clearTimer(this.#quietTimer);
    // Spread, so that the readers of a quiet channel do not all ask at once.
    const wait = this.#settings.idleCheckMs * (0.75 + this.#world.random() / 2);
    this.#quietTimer = this.#world.setTimer(() => this.#quiet(), wait);
  }

  /** @param {string} id of a frame just written */
  expect(id) {
    this.#world.clearTimer(this.#awaited.get(id));
    const wait = LOST_AFTER * this.#settings.answerTimeoutMs;
    this.#awaited.set(id, this.#world.setTimer(() => this.#dead(), wait));
    if (this.#awaited.size === 1) this.#wait();
  }

  /** @param {string} id */
  answered(id) {
    this.#world.clearTimer(this.#awaited.get(id));
    this.#awaited.delete(id);
    if (this.#awaited.size === 0) this.#world.clearTimer(this.#deadTimer);
  }

  /** The connection has ended. */
  stop() {
    for (const timer of this.#awaited.values()) this.#world.clearTimer(timer);
    this.#awaited.clear();
    this.#world.clearTimer(this.#deadTimer);
    this.#world.clearTimer(this.#quietTimer);
  }

  #wait() {
    this.#world.clearTimer(this.#deadTimer);
    if (this.#awaited.size === 0) return;
    this.#deadTimer = this.#world.setTimer(() => this.#dead(), this.#settings.answerTimeoutMs);
  }
}
