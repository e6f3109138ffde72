/** Which layer may import which: routes → state → api | live; ui and charts know neither state nor api. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const source = fileURLToPath(new URL('../../src/', import.meta.url));
const forbidden: Record<string, string[]> = {
  'lib/api': ['lib/state', 'lib/ui', 'lib/charts', 'lib/live', 'routes'],
  'lib/live': ['lib/state', 'lib/ui', 'lib/charts', 'routes'],
  'lib/state': ['lib/ui', 'lib/charts', 'routes'],
  'lib/ui': ['lib/api', 'lib/live', 'lib/state', 'lib/charts', 'routes'],
  'lib/charts': ['lib/api', 'lib/live', 'lib/state', 'routes'],
};

describe.each(Object.entries(forbidden))('src/%s', (layer, others) => {
  it(`does not import ${others.join(', ')}`, () => {
    const wrong = globSync(`${layer}/**/*.{ts,svelte}`, { cwd: source }).flatMap((file) =>
      [...readFileSync(source + file, 'utf8').matchAll(/from '([^']+)'/g)]
        .map(([, target]) => (target ?? '').replace('#lib/', 'lib/'))
        .filter((target) => others.some((other) => target.includes(`${other}/`)))
        .map((target) => `${file} imports ${target}`),
    );
    expect(wrong).toEqual([]);
  });
});
