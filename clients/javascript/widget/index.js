// What `goch-client/widget` exports. Loading it defines the element, unless a page has done so already.

import { GochChat } from './element.js';
import { open } from './open.js';

/**
 * @typedef {import('./element.js').Member} Member
 * @typedef {import('./element.js').WidgetEvents} WidgetEvents
 * @typedef {import('./open.js').OpenOptions} OpenOptions
 * @typedef {import('./texts/index.js').Texts} Texts
 */

if (globalThis.customElements && !customElements.get('goch-chat')) customElements.define('goch-chat', GochChat);

export { GochChat };
export const Goch = { open };
