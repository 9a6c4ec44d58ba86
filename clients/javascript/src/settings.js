// The options of a client, with their defaults.

/** @import { Options } from './types.js' */

/**
 * @typedef {Required<Pick<Options, 'pageSize' | 'deduplicationWindowMs' | 'outboxSize' | 'answerTimeoutMs'
 *   | 'idleCheckMs' | 'backoffBaseMs' | 'backoffMaxMs'>>} Settings
 */

/** @type {Readonly<Settings>} */
const DEFAULTS = Object.freeze({
  pageSize: 100,
  deduplicationWindowMs: 120_000,
  outboxSize: 100,
  answerTimeoutMs: 10_000,
  idleCheckMs: 60_000,
  backoffBaseMs: 500,
  backoffMaxMs: 30_000,
});

/**
 * The settings of these options. What is undefined is as if it were left out.
 *
 * @param {Partial<Settings>} options
 * @returns {Settings}
 */
export function settingsOf(options) {
  const settings = { ...DEFAULTS };
  for (const name of /** @type {(keyof Settings)[]} */ (Object.keys(DEFAULTS))) {
    settings[name] = options[name] ?? DEFAULTS[name];
  }
  return settings;
}
