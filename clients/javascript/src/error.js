// What goes wrong, as an error with a stable code.

/** Codes of errors that pass by themselves: worth another try with the same id. */
const TEMPORARY = new Set(['rate_limited', 'unavailable', 'internal', 'network']);

/**
 * An error of the server, with the stable `code` of docs/protocol.md or docs/rest.md, or one of the
 * client's own: `expired` (it cannot be sent again without being stored twice), `outbox_full`, `removed`,
 * `closed`, `network`, `storage`.
 */
export class ChatError extends Error {
  /**
   * @param {string} code
   * @param {string} message for developers
   * @param {{ field?: string | undefined, status?: number | undefined }} [details] `status`: of a REST answer
   */
  constructor(code, message, { field, status } = {}) {
    super(message);
    this.name = 'ChatError';
    /** @type {string} a stable word */
    this.code = code;
    /** @type {string | undefined} the field at fault, if there is one */
    this.field = field;
    /** @type {number | undefined} the HTTP status of a REST answer */
    this.status = status;
  }
}

/**
 * Whether the same may be tried again later.
 *
 * @param {ChatError} error
 */
export function isTemporary(error) {
  return TEMPORARY.has(error.code);
}
