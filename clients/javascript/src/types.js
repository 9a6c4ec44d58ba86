// The types of what goes in and out: credentials, events of the log, options. Types only, nothing at run time.

/**
 * @import { ChatError } from './error.js'
 *
 * @typedef {'connecting' | 'online' | 'reconnecting' | 'closed'} State
 *
 * @typedef {object} Credentials who one is in a channel
 * @property {string} channel
 * @property {string} [uid] with `secret`; without both, a token says who it is
 * @property {string} [secret] the member's own secret, as `join` returned it
 *
 * @typedef {Record<string, string>} Meta passed on untouched
 *
 * @typedef {object} LoggedEvent what all events of the log have
 * @property {string} channel
 * @property {number} seq rises along the channel, with holes
 * @property {number} [prev] the `seq` before this one; 0 if there is none or it is unknown
 * @property {number} time Unix milliseconds
 *
 * @typedef {LoggedEvent & { type: 'created' | 'closed' | 'reopened' }} ChannelChanged
 *
 * @typedef {LoggedEvent & {
 *   type: 'message', id: string, from_uid?: string, from_name?: string, from_role?: string, text: string, meta?: Meta,
 *   edited_at?: number
 * }} Message `id`: the one its sender gave it; `from_role`: `guest`, `member`, `agent`, `system` or another word
 *   that only ticketing gives; `edited_at`: in a page, when it was last edited, in Unix milliseconds
 *
 * @typedef {LoggedEvent & {
 *   type: 'edited', id?: string, message: number, uid?: string, text: string, meta?: Meta
 * }} Edited `message`: the `seq` of the message, which says `text` from now on
 *
 * @typedef {LoggedEvent & { type: 'deleted', id?: string, message: number, uid?: string }} Deleted
 *   `message`: the `seq` of the message to take off the screen
 *
 * @typedef {LoggedEvent & {
 *   type: 'joined' | 'updated', uid: string, display_name: string, role: string, membership: string
 * }} MemberChanged
 *
 * @typedef {LoggedEvent & { type: 'left', uid: string, membership: string }} MemberLeft
 *
 * @typedef {ChannelChanged | Message | Edited | Deleted | MemberChanged | MemberLeft} ChannelEvent an event of the
 *   log, told apart by `type`. Later servers may send types that are not listed here: have a default case
 *
 * @typedef {object} Online somebody who is there
 * @property {string} uid
 * @property {string} role
 *
 * @typedef {object} Subscribed
 * @property {string} channel
 * @property {string} uid who one is there, which a token need not say
 * @property {boolean} more whether `history` has events older than the first page
 * @property {number | undefined} unread messages of others after the member's read position, if the server can tell
 *   just now
 *
 * @typedef {object} Stored
 * @property {number} seq
 * @property {number} time Unix milliseconds
 * @property {boolean} duplicate whether an earlier attempt had stored it
 *
 * @typedef {object} Outgoing a message on its way
 * @property {string} id
 * @property {Promise<Stored>} stored rejects with a `ChatError` once the message has failed
 *
 * @typedef {object} OutgoingChange a message of ours that became pending, sent or failed
 * @property {string} id
 * @property {string} channel
 * @property {string} text
 * @property {Meta | undefined} meta
 * @property {number} createdAt Unix milliseconds
 * @property {'pending' | 'sent' | 'failed'} status
 * @property {ChatError | undefined} error why it failed
 *
 * @typedef {object} EventDetails what each event of a client carries
 * @property {{ state: State, code?: number, reason?: string }} state with `closed` by the server its close code and
 *   reason
 * @property {{ channel: string, events: ChannelEvent[] }} events in order, each event once; unknown types included
 * @property {{ channel: string, after: number, before: number }} gap events between these two are no longer in the
 *   log, as a live event shows; pages leave out without a word what was deleted or has reached the end of its age
 * @property {{ channel: string, count: number }} unread of a watched channel, at first and at each change
 * @property {{ channel: string, members: Online[] | undefined }} presence the others who are there; undefined if
 *   there are too many to tell
 * @property {{ channel: string, uid: string }} typing somebody is typing
 * @property {{ channel: string, uid: string, seq: number }} read somebody's read position, one's own included
 * @property {OutgoingChange} outgoing a message of ours became pending, sent or failed
 * @property {{ channel: string, error: ChatError }} refused the channel has been given up
 * @property {{ error: ChatError }} fault an error that answers nothing we know of, and nobody else is told
 *
 * @typedef {object} StoredMessage a message of the outbox, as an `OutboxStorage` keeps it: structured data only
 * @property {string} id
 * @property {string} channel
 * @property {string} text
 * @property {Meta | undefined} meta
 * @property {number} createdAt Unix milliseconds
 * @property {number | undefined} writtenAt when it was first written to a server, in Unix milliseconds; undefined
 *   while it certainly was not
 * @property {{ code: string, message: string } | undefined} failure why it has failed; undefined while it is to be sent
 *
 * @typedef {object} OutboxStorage keeps unsent messages over a reload. Each method may reject; what takes longer than
 *   two seconds is not waited for
 * @property {() => Promise<StoredMessage[]>} load what is kept and belongs to nobody else who is running, oldest first
 * @property {(message: StoredMessage) => Promise<void>} put keeps a message, in place of one with the same id
 * @property {(id: string) => Promise<void>} remove
 *
 * @typedef {object} Options
 * @property {string | URL} url the gateway's `/connect`, with `http`, `https`, `ws` or `wss`
 * @property {() => string | Promise<string>} [getToken] gives a signed token of the user, for channels without
 *   `secret`: at first, shortly before the last one ends, and when the server refuses the last one. If it throws or
 *   rejects, it is called again a little later
 * @property {OutboxStorage} [storage] keeps unsent messages over a reload; without it they end with the page
 * @property {WebSocketConstructor} [WebSocket] where there is no global one, as in Node before 22
 * @property {number} [pageSize] events per page, 1 to 500
 * @property {number} [deduplicationWindowMs] how long the server recognises a resent id (its DEDUPLICATION_SECONDS)
 * @property {number} [outboxSize] messages kept while unsent or failed
 * @property {number} [answerTimeoutMs] after so long a silence while an answer is awaited, the connection counts as dead
 * @property {number} [idleCheckMs] after so long a silence the client asks whether anybody is there
 * @property {number} [backoffBaseMs] upper bound of the first wait before a reconnect
 * @property {number} [backoffMaxMs] upper bound of any later one
 *
 * @typedef {new (url: string, protocol: string) => WebSocketLike} WebSocketConstructor
 *
 * @typedef {object} WebSocketLike what is used of a WebSocket
 * @property {(data: string) => void} send
 * @property {(code?: number) => void} close
 * @property {(type: 'open' | 'message' | 'close' | 'error', listener: (event: any) => void) => void} addEventListener
 */

export {};
