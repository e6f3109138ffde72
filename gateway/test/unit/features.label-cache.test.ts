import { expect, it } from 'vitest';
import { labelCache } from '../../src/features/label-cache.ts';

/** What a database holds: labels of one SAE, with the version of its last write. */
function world() {
  const stored = { version: 1, labels: new Map([[5, 'ducks']]), loads: 0 };
  const cache = labelCache({
    versions: () => Promise.resolve(new Map([['sae', stored.version]])),
    load: () => {
      stored.loads += 1;
      return Promise.resolve({ labels: new Map(stored.labels), indices: [...stored.labels.keys()] });
    },
  });
  return { stored, cache };
}

it('a label typed here is known at once, and nothing is read again for it', async () => {
  const { stored, cache } = world();
  await cache.search('sae');
  await cache.put('sae', { index: 3, label: 'Ships', versions: { before: 1, after: 2 } });
  await cache.put('sae', { index: 5, label: null, versions: { before: 2, after: 3 } });
  expect((await cache.get('sae')).labels).toEqual(new Map([[3, 'Ships']]));
  expect((await cache.get('sae')).indices).toEqual([3, 5]); // the row of 5 stays, without a label
  expect(await cache.search('sae')).toEqual({ indices: [3], texts: ['ships'] });
  expect(stored.loads).toBe(1);
});

it('what another gateway wrote just before is not covered by a label typed here', async () => {
  const { stored, cache } = world();
  await cache.get('sae');
  stored.labels.set(8, 'written elsewhere').set(3, 'typed here');
  stored.version = 3;
  await cache.put('sae', { index: 3, label: 'typed here', versions: { before: 2, after: 3 } });
  expect([...(await cache.get('sae')).labels.keys()].sort()).toEqual([3, 5, 8]);
});
