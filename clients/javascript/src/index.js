// What the package exports.

/**
 * @typedef {import('./types.js').ChannelEvent} ChannelEvent
 * @typedef {import('./types.js').Credentials} Credentials
 * @typedef {import('./types.js').EventDetails} EventDetails
 * @typedef {import('./types.js').Options} Options
 * @typedef {import('./types.js').Outgoing} Outgoing
 * @typedef {import('./types.js').OutgoingChange} OutgoingChange
 * @typedef {import('./types.js').OutboxStorage} OutboxStorage
 * @typedef {import('./types.js').State} State
 * @typedef {import('./types.js').Stored} Stored
 * @typedef {import('./types.js').StoredMessage} StoredMessage
 * @typedef {import('./types.js').Subscribed} Subscribed
 */

export { ChatClient } from './client.js';
export { ChatError } from './error.js';
export { ChatEvent } from './events.js';
export { randomId } from './id.js';
export { indexedDbOutbox } from './indexeddb.js';
export { join } from './join.js';
