import { describe, expect, it } from 'vitest';
import { sampleModel, sampleSae } from '../../../tests/samples/catalogue.ts';
import { sampleProfile } from '../../../tests/samples/profiles.ts';
import { nextStep, stepsFor, type Situation } from './next-step.ts';

const empty: Situation = { models: [], saes: [], steering: null, profiles: [], requests: 0 };
const next = (situation: Partial<Situation>) => nextStep(stepsFor({ ...empty, ...situation }));

describe('the next step', () => {
  it('is a model first, in the words that fit', () => {
    expect(next({})).toMatchObject({ id: 'model', action: 'Get one' });
    expect(next({ models: [sampleModel({ status: 'ready' })] })).toMatchObject({ action: 'Load it' });
    expect(next({ models: [sampleModel({ status: 'downloading' })] })).toMatchObject({ action: 'See how far it is' });
  });

  it('goes on to an SAE, a question and a profile, and ends', () => {
    const models = [sampleModel()];
    expect(next({ models })).toMatchObject({ id: 'sae', action: 'Get one' });
    expect(next({ models, saes: [sampleSae({ attached: false })] })).toMatchObject({ id: 'sae', action: 'Attach it' });
    const ready = { models, saes: [sampleSae()] };
    expect(next(ready)?.id).toBe('steer');
    expect(next({ ...ready, requests: 3 })?.id).toBe('profile');
    expect(next({ ...ready, requests: 3, profiles: [sampleProfile()] })).toBeNull();
    const steering = {
      enabled: true,
      intensity: 1,
      sae_id: 'demo',
      features: [{ index: 1, label: null, strength: 1 }],
    };
    expect(next({ ...ready, requests: 3, steering })).toBeNull();
  });
});
