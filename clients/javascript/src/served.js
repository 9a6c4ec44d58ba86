// What a gateway serves as /client.js: the same, with the gateway itself as the default address.

import { ChatClient as Client } from './client.js';
import { join as joinAt } from './join.js';

export { ChatError, ChatEvent, indexedDbOutbox, randomId } from './index.js';

/** @import { Options } from './types.js' */

export class ChatClient extends Client {
  /** @param {Partial<Options>} [options] `url` left out: the `/connect` beside this file */
  constructor({ url = new URL('./connect', import.meta.url), ...options } = {}) {
    super({ url, ...options });
  }
}

/**
 * @param {Parameters<typeof joinAt>[0]} member
 * @param {Partial<Parameters<typeof joinAt>[1]>} [options] `url` left out: where this file is from
 */
export function join(member, { url = new URL('.', import.meta.url), ...options } = {}) {
  return joinAt(member, { url, ...options });
}
