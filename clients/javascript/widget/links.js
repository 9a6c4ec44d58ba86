// Finds the links in a text: http, https and mailto, nothing else.

/** @typedef {{ text: string, href?: string }} Part */

// Without spaces, quotes, brackets of markup, and what turns the direction of text and could show another address.
const CANDIDATE = /\b(?:https?:\/\/|mailto:)[^\s<>"'`\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+/giu;
const SCHEMES = new Set(['http:', 'https:', 'mailto:']);
/** Of a sentence, not of the link that ends it. */
const TRAILING = new Set('.,;:!?…*_~');
const OPENING = new Map([[')', '('], [']', '['], ['}', '{']]);

/**
 * Cuts a text into links and what stands between them.
 *
 * @param {string} text
 * @returns {Part[]} which make the text when put together
 */
export function partsOf(text) {
  /** @type {Part[]} */
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    const link = withoutTrailing(match[0]);
    const href = addressOf(link);
    if (href === undefined) continue;
    if (match.index > end) parts.push({ text: text.slice(end, match.index) });
    parts.push({ text: link, href });
    end = match.index + link.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}

/** Leaves out what ends a sentence, and brackets that were opened before the link. @param {string} link */
function withoutTrailing(link) {
  const surplus = new Map(Array.from(OPENING, ([closing, opening]) => [closing, countOf(link, closing) - countOf(link, opening)]));
  let end = link.length;
  for (; end > 0; end -= 1) {
    const last = /** @type {string} */ (link[end - 1]);
    const left = surplus.get(last) ?? 0;
    if (left > 0) surplus.set(last, left - 1);
    else if (!TRAILING.has(last)) break;
  }
  return link.slice(0, end);
}

/** @param {string} text @param {string} letter */
function countOf(text, letter) {
  return text.split(letter).length - 1;
}

/** @param {string} link @returns {string | undefined} */
function addressOf(link) {
  if (!URL.canParse(link)) return undefined;
  const { protocol, href, username, pathname } = new URL(link);
  // A name before the host is there to be taken for the host.
  if (!SCHEMES.has(protocol) || username !== '') return undefined;
  return protocol === 'mailto:' && !pathname.includes('@') ? undefined : href;
}
