// What the client needs of the world around it: clocks, timers, chance, the browser's events. Tests hold it.

import { randomId } from './id.js';

/**
 * @typedef {unknown} Timer
 *
 * @typedef {object} Moment a point in time, on both clocks
 * @property {number} steady milliseconds that never run back
 * @property {number} wall Unix milliseconds
 *
 * @typedef {object} World
 * @property {() => number} steadyNow milliseconds of a clock that nobody sets; it may stand still while the computer
 *   sleeps
 * @property {() => number} wallNow Unix milliseconds; somebody may set this clock
 * @property {(act: () => void, ms: number) => Timer} setTimer
 * @property {(timer: Timer | undefined) => void} clearTimer
 * @property {() => number} random from 0 to 1, without 1
 * @property {() => string} randomId
 * @property {EventTarget | undefined} page where `online`, `offline`, `pagehide` and `pageshow` are heard
 * @property {(EventTarget & { visibilityState: string }) | undefined} document
 */

/**
 * The real one.
 *
 * @returns {World}
 */
export function realWorld() {
  const hasEvents = typeof globalThis.addEventListener === 'function';
  return {
    steadyNow: () => globalThis.performance.now(),
    wallNow: () => Date.now(),
    setTimer: (act, ms) => setTimeout(act, ms),
    clearTimer: (timer) => clearTimeout(/** @type {any} */ (timer)),
    random: () => Math.random(),
    randomId,
    page: hasEvents ? globalThis : undefined,
    document: globalThis.document,
  };
}

/**
 * @param {World} world
 * @returns {Moment}
 */
export function momentOf(world) {
  return { steady: world.steadyNow(), wall: world.wallNow() };
}

/**
 * Milliseconds since a moment, never less than really passed: while a computer sleeps only the wall clock may go
 * on, and that one may be set. Set forward, it looks like a sleep; set back, it is not believed.
 *
 * @param {World} world
 * @param {Moment} moment
 */
export function since(world, moment) {
  return Math.max(world.steadyNow() - moment.steady, world.wallNow() - moment.wall);
}
