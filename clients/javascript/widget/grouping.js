// What stands around a row because of its neighbours: days, authors, the line above what is new.

/**
 * @import { Row } from './conversation.js'
 *
 * @typedef {object} Surroundings
 * @property {boolean} startsDay whether the day is named above it
 * @property {boolean} startsUnread whether all that is new begins with it
 * @property {boolean} startsGroup whether it is the first of its author's messages that stand together
 * @property {boolean} endsGroup whether it is the last one
 */

/** Messages of one author within this time stand together. */
const TOGETHER_MS = 5 * 60_000;

/**
 * @param {Row} row
 * @param {Row | undefined} previous
 * @param {Row | undefined} next
 * @param {{ isOwn: (row: Row) => boolean, firstUnread: number | undefined }} conversation
 * @returns {Surroundings}
 */
export function surroundingsOf(row, previous, next, conversation) {
  return {
    startsDay: !previous || !isSameDay(previous, row),
    startsUnread: row.seq === conversation.firstUnread,
    startsGroup: !isTogether(previous, row, conversation),
    endsGroup: !isTogether(row, next, conversation),
  };
}

/** @param {Row | undefined} one @param {Row | undefined} other @param {Parameters<typeof surroundingsOf>[3]} conversation */
function isTogether(one, other, { isOwn, firstUnread }) {
  if (one?.kind !== 'message' || other?.kind !== 'message' || other.seq === firstUnread) return false;
  const isOneAuthor = isOwn(one) ? isOwn(other) : one.uid === other.uid && one.role === other.role && one.name === other.name;
  return isOneAuthor && isSameDay(one, other) && other.time - one.time < TOGETHER_MS;
}

/** @param {{ time: number }} one @param {{ time: number }} other */
function isSameDay(one, other) {
  return new Date(one.time).toDateString() === new Date(other.time).toDateString();
}
