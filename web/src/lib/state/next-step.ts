/** What to do next on the way from an empty server to a saved profile. Pure. */
import type { ActiveSteering, Model, Profile, Sae } from '#lib/api/types.ts';

export interface Step {
  id: 'model' | 'sae' | 'steer' | 'profile';
  name: string;
  about: string;
  /** Where it is done, as a path. */
  target: '/models' | '/saes' | '/playground' | '/profiles';
  action: string;
  isDone: boolean;
}

export interface Situation {
  models: Model[];
  saes: Sae[];
  steering: ActiveSteering | null;
  profiles: Profile[];
  /** Requests answered since the engine started. */
  requests: number;
}

export function stepsFor({ models, saes, steering, profiles, requests }: Situation): Step[] {
  const hasModel = models.some(({ status }) => status === 'loaded');
  const isComing = models.some(({ status }) => status === 'downloading' || status === 'loading');
  const hasFiles = models.some(({ status }) => status === 'ready');
  const hasSae = saes.some(({ attached }) => attached);
  return [
    {
      id: 'model',
      name: 'Load a model',
      about: isComing ? 'One is on its way.' : hasFiles ? 'One is on the disk already.' : 'None is here yet.',
      target: '/models',
      action: isComing ? 'See how far it is' : hasFiles ? 'Load it' : 'Get one',
      isDone: hasModel,
    },
    {
      id: 'sae',
      name: 'Attach an SAE',
      about: saes.length > 0 ? 'One is on the disk already.' : 'It turns the model’s state into features.',
      target: '/saes',
      action: saes.length > 0 ? 'Attach it' : 'Get one',
      isDone: hasSae,
    },
    {
      id: 'steer',
      name: 'Ask it something',
      about: 'See the default answer beside the steered one.',
      target: '/playground',
      action: 'Open the playground',
      isDone: requests > 0,
    },
    {
      id: 'profile',
      name: 'Keep what works',
      about: 'A profile saves steering under a name.',
      target: '/profiles',
      action: 'Make a profile',
      isDone: profiles.length > 0 || (steering?.features.length ?? 0) > 0,
    },
  ];
}

export function nextStep(steps: Step[]): Step | null {
  return steps.find(({ isDone }) => !isDone) ?? null;
}
