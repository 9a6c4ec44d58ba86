// The promise of docs/guarantees.md, held by the client against a hostile server: thousands of seeds.
// SEED=7 runs one, SEEDS=10000 as many.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { run } from './simulation/run.js';

const { SEED, SEEDS = '3000' } = process.env;

test('every event once and in order, every message stored once or failed', async () => {
  const seeds = SEED ? [Number(SEED)] : Array.from({ length: Number(SEEDS) }, (_, index) => index + 1);
  for (const seed of seeds) {
    const faults = await run(seed);
    assert.deepEqual(faults, [], `again with: SEED=${seed} npm test`);
  }
});
