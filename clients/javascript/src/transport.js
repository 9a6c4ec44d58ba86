// What carries frames: the interface, and the WebSocket.

import { ChatError } from './error.js';

/**
 * @import { WebSocketConstructor } from './types.js'
 *
 * @typedef {object} TransportEvents what a transport tells whoever opened it, never before `open` has returned
 * @property {() => void} opened frames may be sent
 * @property {(text: string) => void} received
 * @property {(code: number, reason: string) => void} closed the last word, with a close code of the protocol
 *
 * @typedef {object} Transport one connection
 * @property {boolean} isOpen whether a frame can be sent just now
 * @property {(text: string) => void} send
 * @property {() => void} close may take long to be told by `closed`
 *
 * @typedef {(events: TransportEvents) => Transport} OpenTransport throws if no connection can be tried
 */

/** The version of the protocol that is spoken here: a server that speaks only others is told apart by it. */
const SUBPROTOCOL = 'goch.v1';

/** `readyState` of a socket that is open. */
const OPEN = 1;

/**
 * Opens WebSockets.
 *
 * @param {string | URL} url
 * @param {WebSocketConstructor | undefined} constructor where there is no global one
 * @returns {OpenTransport}
 * @throws {ChatError} `bad_request` if the address is none, or there is no WebSocket at all
 */
export function webSocketTransport(url, constructor) {
  const address = webSocketUrl(url);
  const WebSocket = constructor ?? /** @type {WebSocketConstructor | undefined} */ (globalThis.WebSocket);
  if (!WebSocket) throw new ChatError('bad_request', 'There is no WebSocket here: give one by the option WebSocket.');
  return ({ opened, received, closed }) => {
    const socket = /** @type {import('./types.js').WebSocketLike & { readyState: number }} */ (new WebSocket(address, SUBPROTOCOL));
    socket.addEventListener('open', () => opened());
    socket.addEventListener('message', ({ data }) => received(String(data)));
    socket.addEventListener('close', ({ code, reason }) => closed(code, String(reason)));
    // `close` follows. Node's libraries take an error that nobody listens to for a fatal one.
    socket.addEventListener('error', () => {});
    return {
      get isOpen() {
        return socket.readyState === OPEN;
      },
      send: (text) => socket.send(text),
      close: () => socket.close(1000),
    };
  };
}

/** `ws` for `http`, `wss` for `https`. @param {string | URL} url */
function webSocketUrl(url) {
  try {
    const result = new URL(url, globalThis.location?.href);
    result.protocol = result.protocol.replace(/^http/, 'ws');
    return result.href;
  } catch {
    throw new ChatError('bad_request', `The option url is no address: ${url}`);
  }
}
