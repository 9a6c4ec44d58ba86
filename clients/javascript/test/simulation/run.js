// One run: a hostile while, then calm, then the truth.

import { Chance } from './chance.js';
import { KIND, Server } from './server.js';
import { Disk } from './storage.js';
import { Time } from './time.js';
import { User } from './user.js';

/** @import { Hostility } from './server.js' */

const WINDOW_MS = 120_000;
const CHANNELS = ['a', 'b', 'c', 'd', 'e', 'f'];

/**
 * How long a client may take, once all is well, until it has and was told everything: the longest back-off, an answer
 * that never comes, and a look into each channel that is quiet.
 */
const CALM_MS = 900_000;

/**
 * @param {number} seed
 * @returns {Promise<string[]>} what was broken; nothing if all was kept
 */
export async function run(seed) {
  const chance = new Chance(seed);
  const time = new Time();
  const server = new Server(time, chance, WINDOW_MS);
  const disk = chance.is(0.5) ? new Disk(time, chance) : undefined;
  const user = new User(time, chance, server, disk, { pageSize: chance.between(1, 6), outboxSize: 20 });
  server.hostility = hostility(chance);
  if (disk && chance.is(0.3)) disk.broken = 0.1;
  let number = 0;
  const steps = chance.between(20, 150);
  for (let step = 0; step < steps; step += 1) {
    if (chance.is(0.1)) server.hostility = hostility(chance);
    act(chance, server, user, disk !== undefined, () => `${seed}-${number += 1}`);
    await time.until(time.now + (chance.is(0.03) ? chance.between(0, 200_000) : chance.between(0, 3_000)));
  }
  server.hostility = KIND;
  if (disk) disk.broken = 0;
  user.meddles = false;
  user.computer.page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  // What was lost at the very end is found without another word being said.
  await time.until(time.now + CALM_MS);
  return [...user.surprises, ...check(user, server)].map((fault) => `seed ${seed}: ${fault}`);
}

/** @param {Chance} chance @returns {Hostility} */
function hostility(chance) {
  const some = (/** @type {number} */ most) => (chance.is(0.5) ? chance.next() * most : 0);
  return {
    refuse: some(0.5), throw: some(0.2), cut: some(0.1), hole: some(0.05), drain: some(0.05), lose: some(0.3),
    repeat: some(0.3), jitter: some(0.5), late: some(0.1), mute: some(0.1), fail: some(0.3),
  };
}

/** @param {Chance} chance @param {Server} server @param {User} user @param {boolean} mayReload @param {() => string} text */
function act(chance, server, user, mayReload, text) {
  const channel = chance.pick(CHANNELS);
  const others = () => server.publish(channel, { id: `other-${text()}`, from_uid: 'other', text: text() });
  const { computer } = user;
  const happens = chance.next();
  if (happens < 0.3) return void others();
  if (happens < 0.36) for (let burst = chance.between(2, 30); burst > 0; burst -= 1) others();
  else if (happens < 0.56) user.send(channel, text());
  else if (happens < 0.66) user.subscribe(channel);
  else if (happens < 0.68) user.unsubscribe(channel);
  else if (happens < 0.72) user.watch(channel);
  else if (happens < 0.73) user.unwatch(channel);
  else if (happens < 0.8) erase(chance, server, channel);
  else if (happens < 0.83) user.retry(channel);
  else if (happens < 0.85) user.client.check();
  else if (happens < 0.87) user.client.connect();
  else if (happens < 0.9) computer.page.dispatchEvent(new Event(chance.pick(['online', 'offline'])));
  else if (happens < 0.91) computer.page.dispatchEvent(new Event('pagehide'));
  else if (happens < 0.93) computer.page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
  else if (happens < 0.94) computer.skew.wall += chance.between(-8_000, 300_000);
  // Asleep, one of the clocks may stand still.
  else if (happens < 0.95) computer.skew.steady -= 1;
  else if (happens < 0.96 && mayReload) user.load();
  else if (happens < 0.97) server.closeAll(...server.aClose());
  else if (happens < 0.975) user.close();
}

/** @param {Chance} chance @param {Server} server @param {string} channel */
function erase(chance, server, channel) {
  const shown = server.log.shown(channel);
  if (shown.length === 0) return;
  // Deleting leaves a trace, the end of an age leaves none.
  if (chance.is(0.6)) server.delete(channel, chance.pick(shown));
  else server.expire(channel, chance.between(1, shown.length));
}

/** @param {User} user @param {Server} server @returns {string[]} */
function check(user, server) {
  const faults = [];
  for (const life of user.lives) {
    const { channel, events, gaps } = life;
    const shown = server.log.shown(channel);
    const seqs = events.map(({ seq }) => seq);
    if (seqs.some((seq, index) => index > 0 && seq <= /** @type {number} */ (seqs[index - 1]))) {
      faults.push(`${channel}: out of order or twice: ${seqs}`);
    }
    for (const { after, before } of gaps) {
      const inside = shown.filter(({ seq }) => seq > after && seq < before);
      if (inside.length > 0) faults.push(`${channel}: the gap ${after} to ${before} has ${inside[0]?.seq} in it`);
    }
    const given = new Set(seqs);
    const [first = 0] = seqs;
    const last = life.isOver ? seqs.at(-1) ?? 0 : Infinity;
    const missed = shown.filter(({ seq }) => seq >= first && seq <= last && !given.has(seq));
    if (missed.length > 0) faults.push(`${channel}: ${missed.map(({ seq }) => seq)} missed of ${seqs}`);
  }
  /** @type {Map<string, number>} */
  const copies = new Map();
  for (const channel of CHANNELS) {
    for (const { id } of server.log.of(channel)) {
      if (id) copies.set(id, (copies.get(id) ?? 0) + 1);
    }
    if (user.watched.has(channel) && user.unread.get(channel) !== server.count(channel)) {
      faults.push(`${channel}: ${user.unread.get(channel)} unread, not ${server.count(channel)}`);
    }
  }
  /** @type {Map<string, number>} */
  const places = new Map();
  for (const { id, channel, text, outcome, seq } of user.sent) {
    if ((copies.get(id) ?? 0) > 1) faults.push(`${id} is stored ${copies.get(id)} times`);
    if (outcome === 'pending' && user.life(channel)) faults.push(`${id} of ${channel} is neither stored nor failed`);
    if (outcome !== 'stored') continue;
    const stored = server.log.of(channel).find((event) => event.seq === seq);
    if (stored?.id !== id || stored.text !== text) faults.push(`${id} was acknowledged as ${seq}, which it is not`);
    if (seq < (places.get(channel) ?? 0)) faults.push(`${id} overtook`);
  }
  for (const [id, status] of user.outgoing) {
    if (status === 'sent' && copies.get(id) !== 1) faults.push(`${id} counts as sent, and is not`);
  }
  // What waits may only wait for its channel to be opened again.
  for (const { channel } of user.lives.filter(({ isOver }) => !isOver)) {
    const waiting = user.client.outgoing(channel).filter(({ status }) => status === 'pending');
    for (const { id } of waiting) faults.push(`${id} of ${channel} is never sent`);
  }
  return faults;
}
