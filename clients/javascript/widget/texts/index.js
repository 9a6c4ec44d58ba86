// The languages that there are.

import { ar } from './ar.js';
import { de } from './de.js';
import { en } from './en.js';
import { es } from './es.js';
import { fr } from './fr.js';
import { pt } from './pt.js';

/**
 * @typedef {{ other: string } & Partial<Record<'zero' | 'one' | 'two' | 'few' | 'many', string>>} Plural
 * @typedef {string | Plural} Text
 * @typedef {{ [Key in keyof typeof en]: (typeof en)[Key] extends string ? string : Text }} Texts every text of the
 *   widget by its key. What stands in braces is filled in. Those with a `count` may be one text or one for each form
 *   of the plural that `Intl.PluralRules` knows
 */

/** @type {{ ar: Texts, de: Texts, en: Texts, es: Texts, fr: Texts, pt: Texts }} */
export const LANGUAGES = { ar, de, en, es, fr, pt };
