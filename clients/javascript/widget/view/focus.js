// Keeps the focus within what covers the page.

const FOCUSABLE = 'button:not([disabled]), textarea, a[href], [tabindex="0"]';

/** @param {HTMLElement} node @param {KeyboardEvent} event of the key Tab */
export function keepFocus(node, event) {
  const stops = [...node.querySelectorAll(FOCUSABLE)].filter((stop) => stop.checkVisibility());
  const root = /** @type {ShadowRoot} */ (node.getRootNode());
  const [leaving, other] = event.shiftKey ? [stops[0], stops.at(-1)] : [stops.at(-1), stops[0]];
  if (root.activeElement !== leaving && root.activeElement !== node) return;
  if (root.activeElement === node && !event.shiftKey) return;
  event.preventDefault();
  /** @type {HTMLElement | undefined} */ (other)?.focus();
}
