// A client for the fault suite (tests/src/chaos): does as it is told by lines of JSON, and prints what it was given.

import { createInterface } from 'node:readline';

import { WebSocket } from 'ws';

import { ChatClient } from '../src/index.js';
import { Chance } from './simulation/chance.js';

/** @import { ChannelEvent, Credentials } from '../src/types.js' */

/** The longest text it says, and how long it is silent at most. */
const TEXT_MAX = 400;
const SILENCE_MAX_MS = 800;

/** Small pages: all of one may have been deleted a moment ago. */
const PAGE_SIZE = 17;

/** @param {object} line */
function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/**
 * How events came on the connection that is there: live, in a page up to a `seq`, or both. The client does not tell, and
 * does not have to; whoever holds a page against the log must know up to where it knew.
 */
class Ways {
  /** @type {Map<string, number>} the end of the page that an event was in */
  #through = new Map();
  /** @type {Set<string>} what came live */
  #live = new Set();

  /** @param {string} data a frame */
  note(data) {
    const frame = JSON.parse(data);
    const { channel, messages, prev, seq } = frame;
    if (frame.type === 'subscribed') {
      for (const one of messages) this.#through.set(`${channel} ${one.seq}`, messages.at(-1).seq);
    } else if (Number.isInteger(prev)) {
      this.#live.add(`${channel} ${seq}`);
    }
  }

  /** Which of both it was shows only where the page had it edited. @param {ChannelEvent} event */
  take(event) {
    const key = `${event.channel} ${event.seq}`;
    const through = this.#through.get(key);
    const isLive = this.#live.delete(key) && !('edited_at' in event);
    this.#through.delete(key);
    return isLive ? undefined : through;
  }
}

/** Talks in all channels, and prints. */
class Talker {
  #chance;
  #ways = new Ways();
  #client;
  /** @type {Set<string>} channels in which no more is said */
  #calm = new Set();
  #count = 0;

  /** @param {{ gateways: string[], seed: number }} plan */
  constructor({ gateways, seed }) {
    this.#chance = new Chance(seed);
    const [chance, ways] = [this.#chance, this.#ways];
    const connected = () => print({ connected: true });
    // Another gateway each time, as behind a load balancer.
    const Balanced = class extends WebSocket {
      /** @param {string} _url @param {string} protocol */
      constructor(_url, protocol) {
        super(`ws://${chance.pick(gateways)}/connect`, protocol);
        this.addEventListener('open', connected);
        this.addEventListener('message', ({ data }) => ways.note(String(data)));
      }
    };
    this.#client = new ChatClient({
      url: 'ws://balanced/connect', WebSocket: Balanced, pageSize: PAGE_SIZE, backoffMaxMs: 2_000,
    });
    this.#listen();
  }

  /** @param {Credentials} member */
  async enter(member) {
    const { more } = await this.#client.subscribe(member);
    if (more) print({ surprise: `${member.channel} had more than a page at the beginning` });
    print({ ready: member.channel });
    this.#talk(member.channel, String(member.uid));
  }

  /** Says no more there, and tells once everything is stored or has failed. @param {string} channel */
  calm(channel) {
    this.#calm.add(channel);
    const timer = setInterval(() => {
      if (this.#client.outgoing(channel).some(({ status }) => status === 'pending')) return;
      clearInterval(timer);
      print({ settled: channel });
    }, 50);
  }

  #listen() {
    this.#client.addEventListener('events', ({ detail: { channel, events } }) => {
      for (const event of events) print({ given: channel, event, through: this.#ways.take(event) });
      const last = events.at(-1)?.seq ?? 0;
      if (this.#chance.is(0.1)) this.#client.read(channel, last);
    });
    this.#client.addEventListener('refused', ({ detail: { channel, error } }) => {
      print({ surprise: `${channel} was refused: ${error.code}` });
    });
    this.#client.addEventListener('fault', ({ detail: { error } }) => print({ surprise: `a fault: ${error.message}` }));
    this.#client.addEventListener('state', ({ detail: { state, code } }) => {
      if (state === 'closed') print({ surprise: `closed for good with ${code}` });
    });
  }

  /** @param {string} channel @param {string} uid */
  #talk(channel, uid) {
    if (this.#calm.has(channel)) return;
    this.#say(channel, uid);
    setTimeout(() => this.#talk(channel, uid), this.#chance.between(20, SILENCE_MAX_MS));
  }

  /** @param {string} channel @param {string} uid */
  #say(channel, uid) {
    const text = `#${this.#count += 1} of ${uid} in ${channel}. ${'x'.repeat(this.#chance.between(0, TEXT_MAX))}`;
    let outgoing;
    try {
      outgoing = this.#client.send(channel, text);
    } catch {
      // The outbox is full while nothing can be sent.
      return;
    }
    const { id, stored } = outgoing;
    print({ said: channel, id, text });
    stored.then(
      ({ seq, time, duplicate }) => print({ stored: channel, id, seq, time, duplicate }),
      ({ code }) => {
        this.#client.discard(id);
        if (code !== 'expired') print({ surprise: `${id} failed: ${code}` });
      },
    );
  }
}

/** @type {Talker | undefined} */
let talker;
for await (const line of createInterface({ input: process.stdin })) {
  const { plan, member, calm } = JSON.parse(line);
  if (plan) talker = new Talker(plan);
  if (member) talker?.enter(member).catch((error) => print({ surprise: String(error) }));
  if (calm) talker?.calm(calm);
}
// Whoever started this has ended, or has what he wants.
process.exit();
