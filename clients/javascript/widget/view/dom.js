// Makes elements. All text reaches the page as text; nothing is parsed, and no style attribute is set, so that the
// strictest policy of a page has nothing to object to.

/**
 * @typedef {object} Properties
 * @property {string} [part] names of the element for the product's style sheets, which are its classes here, too
 * @property {string} [class] names that are nobody else's business
 * @property {string | undefined} [text]
 * @property {Record<string, string | undefined>} [attributes]
 * @property {(event: any) => void} [click]
 *
 * @typedef {Node | string | undefined | false} Child
 */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Properties} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, { part, class: own, text, attributes = {}, click } = {}, ...children) {
  const node = document.createElement(tag);
  if (part) node.setAttribute('part', part);
  if (part || own) node.className = [part, own].filter(Boolean).join(' ');
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  if (click) node.addEventListener('click', click);
  for (const child of children) if (child) node.append(child);
  return node;
}

/**
 * @param {Properties} properties
 * @param {...Child} children
 */
export function button({ attributes, ...properties }, ...children) {
  return h('button', { ...properties, attributes: { type: 'button', ...attributes } }, ...children);
}

/** A button that is a picture; its name is for those who do not see it. @param {string} part @param {string} name @param {string} path @param {() => void} click */
export function iconButton(part, name, path, click) {
  return button({ part, class: 'icon', attributes: { 'aria-label': name, title: name }, click }, icon(path));
}

const SVG = 'http://www.w3.org/2000/svg';

/** @param {string} path drawn by a line on a ground of 24 by 24 */
export function icon(path) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(SVG, 'path');
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

export const PATHS = {
  chat: 'M12 4c4.7 0 8.5 3.2 8.5 7.3s-3.8 7.3-8.5 7.3c-1 0-2-.2-2.900-.4L4.600 20l1.300-3.600C4.400 15.100 3.500 13.300 3.500 11.300 3.500 7.200 7.300 4 12 4Z',
  close: 'M6 6l12 12M18 6L6 18',
  down: 'M6 9.500l6 6 6-6',
  send: 'M12 19V5.500M6 11.500l6-6 6 6',
  save: 'M5 12.500l4.500 4.500L19 7.500',
  edit: 'M14.500 6.500l3 3M5 19l.8-3.800L16 5a1.800 1.800 0 0 1 2.600 0l.4.4a1.800 1.800 0 0 1 0 2.600L8.800 18.200 5 19Z',
  delete: 'M5 7h14M10 7V5h4v2M7 7l.8 12h8.400L17 7M10.500 10.500v5M13.500 10.500v5',
  sent: 'M6 12.500l4 4 8.500-9',
  delivered: 'M2.500 12.500l4 4 8.500-9M11 15l1.500 1.500 8.500-9',
  agent: 'M12 3.500l7 2.500v5.500c0 4.200-2.900 7.400-7 9-4.100-1.600-7-4.800-7-9V6l7-2.500ZM9 12l2.200 2.200L15.200 10',
};
