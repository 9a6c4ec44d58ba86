// What a product in TypeScript does with the package: compiled strictly, run under Node against a gateway.

import assert from 'node:assert/strict';

import { ChatClient, ChatError, join } from 'goch-client';
import type { ChannelEvent, EventDetails, Options } from 'goch-client';

const { GATEWAY = '', CHANNEL = '' } = process.env;

// @ts-expect-error: away from a gateway's own page there is no default address.
(): ChatClient => new ChatClient({});

function textOf(event: ChannelEvent): string {
  switch (event.type) {
    case 'message':
      return event.text;
    case 'deleted':
      return `-${event.message}`;
    case 'joined':
      // @ts-expect-error: who joins says nothing.
      return event.text ?? event.display_name;
    default:
      return '';
  }
}

async function webSocket(): Promise<Pick<Options, 'WebSocket'>> {
  if ('WebSocket' in globalThis) return {};
  const { WebSocket } = await import('ws');
  return { WebSocket };
}

const { channel, uid, secret } = await join(
  { channel: CHANNEL, uid: 'node', displayName: 'Node', email: 'node@example.org' },
  { url: GATEWAY },
);
const client = new ChatClient({ url: `${GATEWAY}/connect`, ...(await webSocket()) });
const texts: string[] = [];
const states: EventDetails['state']['state'][] = [];
client.addEventListener('events', ({ detail }) => texts.push(...detail.events.map(textOf)));
client.addEventListener('state', ({ detail }) => states.push(detail.state));
client.addEventListener('typing', ({ detail }) => console.log(`${detail.uid satisfies string} is typing`));
// @ts-expect-error: there is no such detail.
client.addEventListener('unread', ({ detail }) => console.log(detail.members));

const { more } = await client.subscribe({ channel, uid, secret });
assert.equal(more, false);
const { seq } = await client.send(channel, 'Hello from Node', { page: '/pricing' }).stored;
const edited = await client.edit(channel, seq, 'Hello!');
const { events } = await client.history(channel, edited.seq);
assert.equal(events.map(textOf).at(-1), 'Hello!');
await client.delete(channel, seq);
assert.equal(await client.watch({ channel, uid, secret }), 0);
await assert.rejects(
  client.subscribe({ channel: `${channel}-of-somebody-else`, uid, secret }),
  (error: unknown) => error instanceof ChatError && error.code === 'unauthorized',
);
const deadline = Date.now() + 30_000;
while (!texts.includes(`-${seq}`)) {
  assert.ok(Date.now() < deadline, `waited in vain for the deletion: ${texts}`);
  await new Promise((resolve) => setTimeout(resolve, 10));
}
assert.ok(texts.includes('Hello from Node'));
client.close();
await new Promise((resolve) => setTimeout(resolve, 0));
assert.deepEqual(states, ['connecting', 'online', 'closed']);
console.log('done');
