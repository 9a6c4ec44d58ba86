// Opens a chat from a script.

import { GochChat } from './element.js';

/**
 * @import { Member } from './element.js'
 * @import { Texts } from './texts/index.js'
 *
 * @typedef {object} OpenOptions
 * @property {string} channel
 * @property {string} [url] where the gateway is
 * @property {string} [tokenUrl] where the product gives a token; or `getToken`, or `member`
 * @property {() => string | Promise<string>} [getToken]
 * @property {Member} [member]
 * @property {string} [heading]
 * @property {string} [lang]
 * @property {'light' | 'dark' | 'system'} [theme]
 * @property {boolean} [sound]
 * @property {boolean} [titleBadge]
 * @property {Partial<Texts>} [texts]
 */

/**
 * Opens the chat of a channel in the corner of the page: the one that is there, or a new one.
 *
 * @param {OpenOptions} options
 * @returns {GochChat}
 */
export function open({ channel, url, tokenUrl, getToken, member, heading, lang, theme, sound, titleBadge, texts }) {
  const present = [...document.querySelectorAll('goch-chat')].find((one) => one.getAttribute('channel') === channel);
  const chat = /** @type {GochChat} */ (present ?? document.createElement('goch-chat'));
  const attributes = { channel, url, 'token-url': tokenUrl, heading, lang, theme };
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) chat.setAttribute(name, value);
  if (sound !== undefined) chat.toggleAttribute('sound', sound);
  if (titleBadge !== undefined) chat.toggleAttribute('title-badge', titleBadge);
  if (getToken) chat.getToken = getToken;
  if (member) chat.member = member;
  if (texts) chat.texts = texts;
  if (!present) document.body.append(chat);
  chat.open();
  return chat;
}
