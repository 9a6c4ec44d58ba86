// What a gateway serves as /widget.js: the same, with the gateway itself as the default address.

import { ChatError } from '../src/error.js';
import { join as joinAt } from '../src/join.js';
import { GochChat as Chat } from './element.js';
import { open } from './open.js';

export class GochChat extends Chat {
  static gateway = new URL('.', import.meta.url).href;
}

if (!customElements.get('goch-chat')) customElements.define('goch-chat', GochChat);

/** @param {Parameters<typeof joinAt>[0]} member */
const join = (member) => joinAt(member, { url: new URL('.', import.meta.url) });

export const Goch = { open, join };
export { ChatError };
