// Words, numbers, times and days of one language.

import { LANGUAGES } from './texts/index.js';

/**
 * @import { Text, Texts } from './texts/index.js'
 *
 * @typedef {Record<string, string | number>} Values what stands in braces
 */

const RIGHT_TO_LEFT = new Set(['ar', 'dv', 'fa', 'ckb', 'he', 'ps', 'sd', 'ug', 'ur', 'yi']);
const DAY_MS = 24 * 60 * 60_000;

/** Formats for one language, with the product's own texts where it has given some. */
export class Format {
  #texts;
  #plurals;
  #number;
  #list;
  #time;
  #moment;
  #day;
  #dayOfYear;
  #relative;

  /**
   * @param {string} language a tag as of BCP 47; English if there is none like it
   * @param {Partial<Texts>} own
   */
  constructor(language, own) {
    const tag = tagOf(language);
    const primary = tag.split('-')[0] ?? '';
    const spoken = primary in LANGUAGES ? primary : 'en';
    this.#texts = { ...LANGUAGES.en, .../** @type {Record<string, Texts>} */ (LANGUAGES)[spoken], ...own };
    // Words and formats are of one language; with texts of its own, a product may have any.
    this.language = primary === spoken || Object.keys(own).length > 0 ? tag : spoken;
    this.direction = RIGHT_TO_LEFT.has(this.language.split('-')[0] ?? '') ? 'rtl' : 'ltr';
    this.#plurals = new Intl.PluralRules(this.language);
    this.#number = new Intl.NumberFormat(this.language);
    this.#list = new Intl.ListFormat(this.language);
    this.#time = new Intl.DateTimeFormat(this.language, { timeStyle: 'short' });
    this.#moment = new Intl.DateTimeFormat(this.language, { dateStyle: 'full', timeStyle: 'short' });
    this.#day = new Intl.DateTimeFormat(this.language, { weekday: 'long', day: 'numeric', month: 'long' });
    this.#dayOfYear = new Intl.DateTimeFormat(this.language, { day: 'numeric', month: 'long', year: 'numeric' });
    this.#relative = new Intl.RelativeTimeFormat(this.language, { numeric: 'auto' });
  }

  /**
   * @param {keyof Texts} key
   * @param {Values} [values] `count` chooses the form of the plural
   */
  text(key, values = {}) {
    /** @type {Text} */
    const text = this.#texts[key];
    const form = typeof text === 'string' ? text
      : text[this.#plurals.select(Number(values['count']))] ?? text.other;
    return form.replace(/\{(\w+)\}/gu, (braces, name) => {
      const value = values[name];
      if (value === undefined) return braces;
      return typeof value === 'number' ? this.number(value) : isolated(value);
    });
  }

  /** The word for a role: the role itself, if no word is known. @param {string} role */
  role(role) {
    const key = `role_${role}`;
    return key in this.#texts ? this.text(/** @type {keyof Texts} */ (key)) : role;
  }

  /** @param {number} number */
  number(number) {
    return this.#number.format(number);
  }

  /** @param {string[]} names */
  list(names) {
    return this.#list.format(names);
  }

  /** The time of day. @param {number} ms Unix milliseconds */
  time(ms) {
    return this.#time.format(ms);
  }

  /** Day and time. @param {number} ms Unix milliseconds */
  moment(ms) {
    return this.#moment.format(ms);
  }

  /** Today, yesterday, or which day it was. @param {number} ms Unix milliseconds @param {number} now Unix milliseconds */
  day(ms, now) {
    const days = Math.round((new Date(ms).setHours(12, 0, 0, 0) - new Date(now).setHours(12, 0, 0, 0)) / DAY_MS);
    if (days === 0 || days === -1) return capitalised(this.#relative.format(days, 'day'), this.language);
    return (new Date(ms).getFullYear() === new Date(now).getFullYear() ? this.#day : this.#dayOfYear).format(ms);
  }
}

/** Words of somebody else, which turn the direction of nothing around them. @param {string} text */
function isolated(text) {
  return `\u2068${text.replace(/[\u202a-\u202e\u2066-\u2069]/gu, '')}\u2069`;
}

/** @param {string} language */
function tagOf(language) {
  try {
    return Intl.getCanonicalLocales(language)[0] ?? 'en';
  } catch {
    return 'en';
  }
}

/** @param {string} text @param {string} language */
function capitalised(text, language) {
  return text.charAt(0).toLocaleUpperCase(language) + text.slice(1);
}
