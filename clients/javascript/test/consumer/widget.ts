// What a product in TypeScript does with the widget: compiled strictly, not run.

import { Goch, GochChat } from 'goch-client/widget';
import type { OpenOptions, Texts } from 'goch-client/widget';

const texts: Partial<Texts> = { title: 'Help', unread: { one: 'One', other: '{count}' } };
// @ts-expect-error: there is no such text.
({ greeting: 'Hello' }) satisfies Partial<Texts>;

const options: OpenOptions = { channel: 'ticket-42', url: 'https://chat.example.org', tokenUrl: '/chat-token', texts };
const chat: GochChat = Goch.open(options);
// @ts-expect-error: which conversation?
Goch.open({ url: 'https://chat.example.org' });

chat.member = { uid: 'ann', secret: 'secret' };
chat.getToken = async () => (await fetch('/chat-token')).text();
chat.addEventListener('unread', ({ detail }) => console.log(detail.count satisfies number));
chat.addEventListener('error', ({ detail }) => console.log(detail.error.code satisfies string));
// @ts-expect-error: nothing is counted here.
chat.addEventListener('ended', ({ detail }) => console.log(detail.count));
chat.addEventListener('click', ({ type }) => console.log(type));
const found = document.querySelector<GochChat>('goch-chat');
console.log(found?.unread, found?.state === 'online', found?.isOpen);
found?.close();
