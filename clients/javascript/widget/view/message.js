// A row of the conversation on the page.

import { partsOf } from '../links.js';
import { PATHS, button, h, icon, iconButton } from './dom.js';

/**
 * @import { Receipt } from '../receipts.js'
 * @import { ChatError } from '../../src/error.js'
 * @import { MessageRow, NoteRow, Row } from '../conversation.js'
 * @import { Format } from '../format.js'
 * @import { Surroundings } from '../grouping.js'
 *
 * @typedef {object} Looks all that a row's look depends on, besides itself
 * @property {Surroundings} around
 * @property {boolean} isOwn
 * @property {boolean} isLastOwn
 * @property {Receipt | undefined} receipt
 * @property {boolean} canRevise
 * @property {boolean} isConfirming whether the member is asked if the message is really to be deleted
 * @property {string} day
 *
 * @typedef {object} Actions what a member can do with a message
 * @property {(row: MessageRow) => void} edit
 * @property {(row: MessageRow) => void} askToDelete
 * @property {(row: MessageRow, isSure: boolean) => void} delete
 * @property {(row: MessageRow) => void} retry
 * @property {(row: MessageRow) => void} discard
 */

/** Codes of errors that have words of their own. */
const REASONS = new Set(['expired', 'too_long', 'channel_closed', 'forbidden', 'outbox_full']);

/** Why something failed, in the member's words. @param {ChatError} error @param {Format} format */
export function reasonOf(error, format) {
  return format.text(REASONS.has(error.code) ? /** @type {'expired'} */ (error.code) : 'unavailable');
}

/** @param {Row} row @param {Looks} looks @param {Format} format @param {Actions} actions */
export function rowNode(row, looks, format, actions) {
  const { around } = looks;
  const node = h('div', { class: 'row', attributes: { 'data-seq': `${row.seq}`, 'data-type': row.kind } },
    around.startsDay && h('div', { part: 'day', text: looks.day }),
    around.startsUnread && h('div', { part: 'unread-mark', text: format.text('new') }));
  node.append(row.kind === 'message' ? messageNode(row, looks, format, actions) : noteNode(row, format));
  return node;
}

/** @param {NoteRow & { name?: string | undefined }} note @param {Format} format */
function noteNode({ type, name = '', role }, format) {
  const who = role === undefined ? name : `${name} (${format.role(role)})`;
  return h('div', { part: 'note', text: format.text(type, { name: who }) });
}

/** @param {MessageRow} row @param {Looks} looks @param {Format} format @param {Actions} actions */
function messageNode(row, looks, format, actions) {
  const { around, isOwn } = looks;
  const status = statusOf(row, looks);
  const classes = [isOwn ? 'own' : 'other', around.startsGroup && 'starts', around.endsGroup && 'ends', status];
  const body = h('div', { class: 'body' },
    !isOwn && around.startsGroup && authorNode(row, format),
    h('div', { class: 'line' },
      bubbleNode(row),
      looks.canRevise && !looks.isConfirming && actionsNode(row, format, actions)),
    looks.isConfirming && confirmNode(row, format, actions),
    failureNode(row, format, actions),
    metaNode(row, looks, status, format));
  // A finger hovers over nothing: touching a message shows what can be done with it.
  if (looks.canRevise) body.querySelector('.bubble')?.addEventListener('click', () => body.classList.toggle('touched'));
  return h('div', { part: isOwn ? 'message own' : 'message', class: classes.filter(Boolean).join(' '), attributes: { 'data-role': row.role } },
    !isOwn && avatarNode(row, around.startsGroup), body);
}

/** @param {MessageRow} row @param {boolean} isShown */
function avatarNode({ name, uid, role }, isShown) {
  const initial = [...(name ?? uid ?? '·').trim()][0] ?? '·';
  return h('div', { class: `avatar ${isShown ? '' : 'blank'}`, attributes: { 'aria-hidden': 'true', 'data-role': role } },
    isShown && (role === 'agent' ? icon(PATHS.agent) : initial.toLocaleUpperCase()));
}

/** The role stands beside the name and looks otherwise: a name can say anything. @param {MessageRow} row @param {Format} format */
function authorNode({ name, uid, role = 'guest' }, format) {
  return h('div', { class: 'author' },
    h('bdi', { part: 'author', text: name ?? uid ?? format.role(role) }),
    h('span', { part: 'role', text: format.role(role), attributes: { 'data-role': role } }));
}

/** @param {MessageRow} row */
function bubbleNode({ text, revision }) {
  const shown = revision?.kind === 'edit' ? revision.text : text;
  const parts = partsOf(shown).map(({ text: words, href }) => (href === undefined ? words : h('a', {
    part: 'link', text: words, attributes: { href, target: '_blank', rel: 'noopener noreferrer nofollow' },
  })));
  return h('div', { part: 'bubble' }, h('div', { part: 'text', attributes: { dir: 'auto', lang: '' } }, ...parts));
}

/** @param {MessageRow} row @param {Format} format @param {Actions} actions */
function actionsNode(row, format, actions) {
  return h('div', { class: 'actions' },
    iconButton('edit', format.text('edit'), PATHS.edit, () => actions.edit(row)),
    iconButton('delete', format.text('delete'), PATHS.delete, () => actions.askToDelete(row)));
}

/** @param {MessageRow} row @param {Format} format @param {Actions} actions */
function confirmNode(row, format, actions) {
  const question = format.text('confirm_delete');
  return h('div', { part: 'confirm', attributes: { role: 'group', 'aria-label': question } },
    h('span', { text: question }),
    button({ part: 'confirm-delete', class: 'danger', text: format.text('delete'), click: () => actions.delete(row, true) }),
    button({ part: 'confirm-cancel', text: format.text('cancel'), click: () => actions.delete(row, false) }));
}

/** @param {MessageRow} row @param {Format} format @param {Actions} actions */
function failureNode(row, format, actions) {
  const error = row.error ?? row.revision?.error;
  if (!error) return undefined;
  const what = row.error ? 'not_sent' : row.revision?.kind === 'edit' ? 'not_saved' : 'not_deleted';
  return h('div', { part: 'failure' },
    h('span', { text: `${format.text(what)}: ${reasonOf(error, format)}` }),
    button({ part: 'retry', text: format.text('retry'), click: () => actions.retry(row) }),
    button({ part: 'discard', text: format.text('discard'), click: () => actions.discard(row) }));
}

/** @param {MessageRow} row @param {Looks} looks @returns {'failed' | 'pending' | Receipt | undefined} */
function statusOf({ status, error, revision }, { receipt }) {
  if (error || revision?.error) return 'failed';
  if (status === 'pending' || revision) return 'pending';
  return status === 'sent' ? 'sent' : receipt;
}

/** @param {MessageRow} row @param {Looks} looks @param {ReturnType<typeof statusOf>} status @param {Format} format */
function metaNode({ time, isEdited }, { around, isLastOwn }, status, format) {
  const isShown = around.endsGroup || isEdited || status === 'pending';
  if (!isShown) return undefined;
  const date = new Date(time);
  const tick = status === 'sent' ? PATHS.sent : status === 'delivered' || status === 'seen' ? PATHS.delivered : undefined;
  const word = status && status !== 'failed' ? format.text(status) : undefined;
  return h('div', { part: 'meta' },
    h('time', { text: format.time(time), attributes: { datetime: date.toISOString(), title: format.moment(time) } }),
    isEdited && h('span', { part: 'edited', text: format.text('edited') }),
    word !== undefined && h('span', { part: 'status', attributes: { 'data-status': status } },
      tick && icon(tick),
      h('span', { text: word, class: isLastOwn || status === 'pending' ? '' : 'hidden-text' })));
}
