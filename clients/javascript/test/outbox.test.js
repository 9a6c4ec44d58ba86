// Messages on their way: the window, failures, what outlives a page.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Desk, message } from './desk.js';

/** A desk with a storage that outlives its pages. */
function withDisk() {
  const desk = new Desk({ hasDisk: true });
  return { desk, disk: /** @type {import('./simulation/storage.js').Disk} */ (desk.disk) };
}

/** A page that loses its connection, sends two messages and is loaded anew: their ids. @param {Desk} desk */
async function reloadWithTwoUnsent(desk) {
  await desk.enter();
  desk.opens = false;
  await desk.end(1006);
  const ids = ['one', 'two'].map((text) => desk.client.send('c', text).id);
  await desk.pass(1_000);
  desk.reload();
  desk.opens = true;
  return ids;
}

/** @param {Desk} desk @param {string} id @param {number} seq */
function ack(desk, id, seq) {
  return desk.say({ type: 'ack', id, channel: 'c', seq, time: 1, duplicate: false });
}

test('a message that was never written does not expire', async () => {
  const desk = new Desk();
  await desk.enter();
  desk.opens = false;
  await desk.end(1006);
  const { id, stored } = desk.client.send('c', 'Hello');
  await desk.pass(3_600_000);
  assert.deepEqual(desk.told('outgoing').map(({ status }) => status), ['pending']);
  desk.opens = true;
  desk.answers = true;
  await desk.pass(60_000);
  await ack(desk, desk.last('send').id, 3);
  assert.equal((await stored).seq, 3);
  assert.equal(desk.last('send').id, id);
});

test('a message that may have been stored is not sent again after the window', async () => {
  const desk = new Desk();
  await desk.enter();
  const { id, stored } = desk.client.send('c', 'Hello');
  await desk.pass(0);
  assert.equal(desk.last('send').id, id);
  desk.opens = false;
  await desk.end(1006);
  await desk.pass(109_000);
  assert.equal(desk.told('outgoing').at(-1).status, 'pending');
  await desk.pass(2_000);
  await assert.rejects(stored, { code: 'expired' });
  desk.opens = true;
  desk.answers = true;
  await desk.pass(60_000);
  assert.deepEqual(desk.frames('send'), []);
  // It was stored after all, and shows up.
  await desk.say(message(5, 0, { id, from_uid: 'me' }));
  assert.equal(desk.told('outgoing').at(-1).status, 'sent');
});

test('a computer that slept past the window does not send again, whichever of its clocks went on', async () => {
  for (const clock of /** @type {const} */ (['steady', 'wall'])) {
    const desk = new Desk();
    await desk.enter();
    desk.client.send('c', 'Hello');
    await desk.pass(0);
    await desk.end(1006);
    desk.computer.skew[clock] += 3_600_000;
    await desk.pass(2_000);
    await desk.answer();
    assert.deepEqual(desk.frames('send'), []);
  }
});

test('a clock that is set back does not lengthen the window', async () => {
  const desk = new Desk();
  await desk.enter();
  const { stored } = desk.client.send('c', 'Hello');
  await desk.pass(0);
  desk.opens = false;
  await desk.end(1006);
  desk.computer.skew.wall -= 3_600_000;
  await desk.pass(111_000);
  await assert.rejects(stored, { code: 'expired' });
});

test('a message that the server certainly has not stored has no window', async () => {
  const desk = new Desk();
  await desk.enter();
  desk.answers = true;
  const { id, stored } = desk.client.send('c', 'Hello');
  for (let attempt = 1; attempt <= 40; attempt += 1) {
    for (let waited = 0; desk.frames('send').length < attempt && waited < 40; waited += 1) await desk.pass(1_000);
    assert.equal(desk.frames('send').length, attempt);
    await desk.say({ type: 'error', id, code: 'rate_limited', message: '' });
  }
  assert.ok(desk.time.now > 200_000);
  await desk.pass(40_000);
  await ack(desk, id, 3);
  assert.equal((await stored).seq, 3);
});

test('a failed message is sent again under its id within the window, whatever has become of the clock', async () => {
  for (const [set, isSame] of /** @type {const} */ ([[-3_600_000, true], [0, true], [3_600_000, false]])) {
    const desk = new Desk();
    await desk.enter();
    const { id } = desk.client.send('c', 'Hello');
    await desk.pass(0);
    await desk.say({ type: 'error', id, code: 'channel_closed', message: '' });
    desk.computer.skew.wall += set;
    const again = desk.client.retry(id);
    await desk.pass(0);
    assert.equal(desk.frames('send').length, 2);
    assert.equal(desk.last('send').id, again.id);
    assert.equal(again.id === id, isSame);
  }
});

test('messages of a channel that is left fail and leave room for others', async () => {
  const desk = new Desk({ outboxSize: 3 });
  await desk.enter('d');
  await desk.enter('c');
  await desk.end(1006);
  const sent = [1, 2, 3].map((number) => desk.client.send('c', String(number)));
  assert.throws(() => desk.client.send('c', 'one too many'), { code: 'outbox_full' });
  desk.client.unsubscribe('c');
  for (const { id, stored } of sent) {
    await assert.rejects(stored, { code: 'closed' });
    assert.throws(() => desk.client.retry(id), { code: 'bad_request' });
  }
  assert.deepEqual(desk.client.outgoing('c'), []);
  desk.client.send('d', 'room enough');
});

test('of several messages on their way the largest is the one that is too large', async () => {
  const desk = new Desk();
  await desk.enter('d');
  await desk.enter('c');
  const small = desk.client.send('d', 'small');
  const large = desk.client.send('c', 'large'.repeat(10_000));
  await desk.pass(0);
  await desk.end(1009);
  await assert.rejects(large.stored, { code: 'too_long' });
  await desk.pass(2_000);
  assert.equal(desk.client.outgoing('d')[0]?.id, small.id);
  assert.equal(desk.client.outgoing('d')[0]?.status, 'pending');
});

test('an edit that is too large fails, and not the message that is on its way beside it', async () => {
  const desk = new Desk();
  await desk.enter();
  const small = desk.client.send('c', 'small');
  const edited = desk.client.edit('c', 1, 'large'.repeat(10_000));
  edited.catch(() => {});
  const page = desk.client.history('c', 9);
  page.catch(() => {});
  await desk.pass(0);
  await desk.end(1009);
  await assert.rejects(edited, { code: 'too_long' });
  await assert.rejects(page, { code: 'unavailable' });
  assert.equal(desk.client.outgoing('c')[0]?.id, small.id);
  assert.equal(desk.client.outgoing('c')[0]?.status, 'pending');
});

test('what one page could not send, the next one does, under the same id and in order', async () => {
  const { desk, disk } = withDisk();
  const ids = await reloadWithTwoUnsent(desk);
  await desk.pass(3_600_000);
  await desk.enter();
  await desk.pass(100);
  for (const [index, text] of ['one', 'two'].entries()) {
    assert.deepEqual([desk.last('send').text, desk.last('send').id], [text, ids[index]]);
    await ack(desk, String(ids[index]), index + 1);
    await desk.pass(100);
  }
  await desk.pass(100);
  assert.equal(disk.messages.size, 0);
  desk.reload();
  await desk.enter();
  await desk.pass(100);
  assert.deepEqual(desk.frames('send'), []);
});

test('what a page had written is sent again by the next one within the window, and fails after it', async () => {
  for (const away of [60_000, 180_000]) {
    const { desk } = withDisk();
    await desk.enter();
    const { id } = desk.client.send('c', 'Hello');
    await desk.pass(1_000);
    assert.equal(desk.last('send').id, id);
    desk.reload();
    await desk.pass(away);
    await desk.enter();
    await desk.pass(100);
    const [outgoing] = desk.client.outgoing('c');
    if (away < 110_000) assert.equal(desk.last('send').id, id);
    else assert.deepEqual([desk.frames('send'), outgoing?.status], [[], 'failed']);
  }
});

test('what a page had written counts as beyond the window if the clock has been set back since', async () => {
  const { desk } = withDisk();
  await desk.enter();
  desk.client.send('c', 'Hello');
  await desk.pass(1_000);
  desk.computer.skew.wall -= 3_600_000;
  desk.reload();
  await desk.enter();
  await desk.pass(100);
  assert.deepEqual(desk.frames('send'), []);
});

test('that a message is written is kept before it is written', async () => {
  const { desk, disk } = withDisk();
  await desk.enter();
  const { id } = desk.client.send('c', 'Hello');
  for (let waited = 0; desk.frames('send').length === 0 && waited < 1_000; waited += 1) await desk.pass(1);
  assert.equal(typeof disk.messages.get(id)?.writtenAt, 'number');
});

test('a message is not written while a storage has a copy that would be sent again too late', async () => {
  const { desk, disk } = withDisk();
  await desk.enter();
  desk.opens = false;
  await desk.end(1006);
  desk.client.send('c', 'Hello');
  await desk.pass(1_000);
  disk.broken = 1;
  desk.opens = true;
  desk.answers = true;
  await desk.pass(60_000);
  await desk.pass(5_000);
  assert.deepEqual(desk.frames('send'), []);
  assert.equal(desk.told('fault')[0].error.code, 'storage');
  disk.broken = 0;
  for (let waited = 0; desk.frames('send').length === 0 && waited < 60; waited += 1) await desk.pass(1_000);
  assert.equal(desk.last('send').text, 'Hello');
});

test('a storage that refuses everything, or is never heard of, does not keep messages from being sent', async () => {
  const refuse = async () => {
    throw new Error('denied');
  };
  const never = () => new Promise(() => {});
  const kinds = { refused: refuse, unanswered: never, 'refused but for load': refuse };
  for (const [kind, act] of Object.entries(kinds)) {
    const load = kind === 'refused but for load' ? async () => [] : act;
    const desk = new Desk({ storage: /** @type {any} */ ({ load, put: act, remove: act }) });
    await desk.enter();
    const { id, stored } = desk.client.send('c', 'Hello');
    await desk.pass(3_000);
    assert.equal(desk.last('send')?.id, id, kind);
    await ack(desk, id, 3);
    assert.equal((await stored).seq, 3);
    assert.equal(desk.told('fault')[0].error.code, 'storage');
  }
});

test('a message that is sent before the storage is known is told and sent once', async () => {
  /** @type {Map<string, any>} */
  const kept = new Map();
  const desk = new Desk({
    storage: {
      load: async () => {
        await new Promise((resolve) => desk.time.after(500, () => resolve(undefined)));
        return [...kept.values()];
      },
      put: async (message) => void kept.set(message.id, message),
      remove: async (id) => void kept.delete(id),
    },
  });
  await desk.enter();
  desk.client.send('c', 'taken back');
  desk.client.unsubscribe('c');
  await desk.enter();
  const { id } = desk.client.send('c', 'Hello');
  await desk.pass(1_000);
  const told = desk.told('outgoing').filter((change) => change.id === id).map(({ status }) => status);
  assert.deepEqual(told, ['pending']);
  assert.deepEqual(desk.client.outgoing('c').map(({ text }) => text), ['Hello']);
});

test('a message that has failed stays failed over a reload, says why, and is sent again when that is wished', async () => {
  const { desk, disk } = withDisk();
  await desk.enter();
  const { id } = desk.client.send('c', 'Hello');
  await desk.pass(100);
  await desk.say({ type: 'error', id, code: 'channel_closed', message: 'It is closed.' });
  assert.equal(desk.client.outgoing('c')[0]?.error?.code, 'channel_closed');
  await desk.pass(100);
  desk.reload();
  desk.answers = true;
  await desk.enter();
  await desk.pass(200_000);
  assert.deepEqual(desk.frames('send'), []);
  const [outgoing] = desk.client.outgoing('c');
  assert.deepEqual([outgoing?.status, outgoing?.error?.code], ['failed', 'channel_closed']);
  assert.equal(desk.told('outgoing').at(-1).error.message, 'It is closed.');
  desk.client.retry(id);
  await desk.pass(100);
  const again = desk.last('send').id;
  await ack(desk, again, 3);
  await desk.pass(100);
  assert.equal(disk.messages.size, 0);
});

test('what an earlier page has left for other channels fills no outbox, and can be dropped', async () => {
  const desk = new Desk({ hasDisk: true, outboxSize: 2 });
  const disk = /** @type {import('./simulation/storage.js').Disk} */ (desk.disk);
  const ids = await reloadWithTwoUnsent(desk);
  await desk.enter('d');
  await desk.pass(100);
  desk.client.send('d', 'there is room');
  assert.deepEqual(desk.client.outgoing('c').map(({ id }) => id), ids);
  for (const id of ids) desk.client.discard(id);
  await desk.pass(100);
  assert.deepEqual(desk.client.outgoing('c'), []);
  assert.ok(ids.every((id) => !disk.messages.has(id)));
});

test('that the server does not know us is not forgotten for a check that is under way and fails', async () => {
  const desk = new Desk();
  await desk.enter();
  const { id, stored } = desk.client.send('c', 'Hello');
  await desk.pass(0);
  desk.client.check();
  await desk.pass(0);
  const check = desk.last('subscribe').id;
  await desk.say({ type: 'error', id, code: 'not_subscribed', message: '' });
  await desk.say({ type: 'error', id: check, code: 'unavailable', message: '' });
  for (let waited = 0; desk.last('subscribe').id === check && waited < 20; waited += 1) await desk.pass(1_000);
  await desk.answer();
  assert.equal(desk.frames('send').length, 2);
  await ack(desk, id, 3);
  assert.equal((await stored).seq, 3);
});
