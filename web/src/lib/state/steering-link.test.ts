import { describe, expect, it } from 'vitest';
import { fromQuery, toQuery, type LinkedSteering } from './steering-link.ts';

const read = (query: string) => fromQuery(new URLSearchParams(query));

describe('a link to steering', () => {
  it('opens what the pages write: features with strengths', () => {
    expect(read('sae=demo&features=713:55')).toEqual({
      saeId: 'demo',
      intensity: 1,
      features: [{ index: 713, label: null, sae_id: 'demo', op: 'add', strength: 55 }],
    });
  });

  it('comes back as it was written', () => {
    const steering: LinkedSteering = {
      saeId: 'a,b:c',
      intensity: 0.5,
      features: [
        { index: 1, label: null, sae_id: 'a,b:c', op: 'add', strength: -2.5 },
        { index: 2, label: null, sae_id: 'x@y/z', op: 'clamp', value: 4, when: { index: 9, above: 1 } },
        { index: 3, label: null, sae_id: 'a,b:c', op: 'clamp_range', max: 8 },
        { index: 4, label: null, sae_id: 'a,b:c', op: 'ablate', scope: { roles: ['user'] } },
      ],
    };
    expect(read(toQuery(steering))).toEqual(steering);
  });

  it('leaves out what cannot be read, and a feature named twice', () => {
    const { features, intensity } = read('sae=demo&features=1:5,x:3,,-4:1,1:9,2:abc&intensity=99&rules={');
    expect(features.map(({ index, strength }) => [index, strength])).toEqual([
      [1, 5],
      [2, 10],
    ]);
    expect(intensity).toBe(1);
    expect(read('features=5:99999').features[0]?.strength).toBe(300);
  });
});
