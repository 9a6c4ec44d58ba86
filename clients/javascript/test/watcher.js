// For tests/tests/node_client.rs: watches channels with one token after the other, until each has been counted.

import assert from 'node:assert/strict';

import { WebSocket } from 'ws';

import { ChatClient } from '../src/index.js';

const { GATEWAY = '', CHANNELS = '[]', TOKENS = '[]' } = process.env;

/** @type {string[]} */
const channels = JSON.parse(CHANNELS);
/** @type {string[]} */
const tokens = JSON.parse(TOKENS);
const client = new ChatClient({
  url: `${GATEWAY}/connect`,
  WebSocket,
  // The last one is given again and again.
  getToken: () => String(tokens.length > 1 ? tokens.shift() : tokens[0]),
});
client.addEventListener('state', ({ detail: { state, code, reason } }) => {
  if (state !== 'closed') return;
  console.log(`closed for good with ${code}: ${reason}`);
  process.exit(1);
});
const counts = await Promise.all(channels.map((channel) => client.watch({ channel })));
assert.deepEqual(counts, channels.map(() => 0));
console.log('done');
process.exit(0);
