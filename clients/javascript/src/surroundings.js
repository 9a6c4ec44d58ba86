// Network changes, a tab that comes to the front, a page that is put aside: what the browser tells and sockets don't.

/**
 * @import { World } from './world.js'
 *
 * @typedef {object} Surroundings
 * @property {() => void} online the network is back
 * @property {() => void} offline it has gone
 * @property {() => void} visible the tab is in front
 * @property {() => void} hidden the page goes, perhaps into the back-forward cache
 * @property {() => void} shown it is back from there
 */

/**
 * @param {World} world
 * @param {Surroundings} on
 * @returns {() => void} ends it
 */
export function watchSurroundings({ page, document }, on) {
  /** @type {[EventTarget | undefined, string, (event: Event) => void][]} */
  const listeners = [
    [page, 'online', () => on.online()],
    [page, 'offline', () => on.offline()],
    [page, 'pagehide', () => on.hidden()],
    [page, 'pageshow', (event) => /** @type {PageTransitionEvent} */ (event).persisted && on.shown()],
    [document, 'visibilitychange', () => document?.visibilityState === 'visible' && on.visible()],
  ];
  for (const [target, type, listener] of listeners) target?.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of listeners) target?.removeEventListener(type, listener);
  };
}
