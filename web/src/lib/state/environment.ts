/** Is everything there that one needs, and is it safe where it stands? What the server told, as findings. Pure. */
import type { Health, ServerConfig } from '#lib/api/types.ts';

export interface Finding {
  name: string;
  level: 'ok' | 'note' | 'problem';
  text: string;
}

const LOOPBACK = /^(127\.|localhost$|::1$)/;

export function findings(health: Health | null, deployment: ServerConfig['deployment'] | null): Finding[] {
  return [
    ...(health ? ofHealth(health) : []),
    ...(deployment ? [...ofDeployment(deployment), ofAccess(deployment)] : []),
  ];
}

function ofHealth({ inference, model_id, sae_ids }: Health): Finding[] {
  return [
    inference?.reachable
      ? { name: 'Inference', level: 'ok', text: `answers, computes on ${inference.device ?? 'an unknown device'}` }
      : { name: 'Inference', level: 'problem', text: 'does not answer; it is started again by whoever started it' },
    model_id
      ? { name: 'Model', level: 'ok', text: `${model_id} is loaded` }
      : { name: 'Model', level: 'note', text: 'none is loaded; the next request that names one loads it' },
    (sae_ids?.length ?? 0) > 0
      ? { name: 'SAEs', level: 'ok', text: `attached: ${sae_ids?.join(', ')}` }
      : { name: 'SAEs', level: 'note', text: 'none is attached, so nothing can be steered' },
  ];
}

function ofDeployment({ database, redis, hub_token_set, hub_endpoint }: ServerConfig['deployment']): Finding[] {
  return [
    {
      name: 'Storage',
      level: 'ok',
      text: `${database === 'embedded' ? 'the embedded database' : 'PostgreSQL'}, ${redis ? 'Redis' : 'this process’s memory'} for what is short-lived`,
    },
    {
      name: 'Hub',
      level: hub_token_set ? 'ok' : 'note',
      text: hub_token_set ? hub_endpoint : 'no token (HF_TOKEN): gated repositories ask for one at each download',
    },
  ];
}

function ofAccess({ host, keys_required }: ServerConfig['deployment']): Finding {
  if (keys_required) return { name: 'Access', level: 'ok', text: 'API keys are required' };
  if (LOOPBACK.test(host)) return { name: 'Access', level: 'ok', text: 'only from this machine, without a key' };
  return {
    name: 'Access',
    level: 'problem',
    text: `anybody who reaches ${host} may use and change this server; set MILLM_REQUIRE_KEYS=true`,
  };
}
