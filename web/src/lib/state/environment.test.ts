import { describe, expect, it } from 'vitest';
import type { Health, ServerConfig } from '#lib/api/types.ts';
import { findings } from './environment.ts';

const health: Health = {
  status: 'healthy',
  inference: { reachable: true, instance_id: 'i', device: 'cpu', running: 0, waiting: 0 },
  model_id: 'm',
  sae_ids: ['demo'],
};
const deployment: ServerConfig['deployment'] = {
  host: '127.0.0.1',
  port: 8000,
  inference_url: 'http://127.0.0.1:8100',
  hub_endpoint: 'https://huggingface.co',
  hub_token_set: true,
  database: 'embedded',
  redis: false,
  keys_required: false,
  api_keys_set: false,
  rate_limit_per_minute: 0,
  cors_origins: [],
  log_level: 'info',
  log_format: 'json',
  strict: false,
  max_n: 1,
  max_prompts: 1,
  body_limit_bytes: 1,
};
const levelOf = (name: string, of: [Health | null, ServerConfig['deployment'] | null]) =>
  findings(...of).find((finding) => finding.name === name)?.level;

describe('the environment check', () => {
  it('finds nothing wrong where nothing is', () => {
    expect(findings(health, deployment).every(({ level }) => level === 'ok')).toBe(true);
  });

  it('says nothing of what it was not told', () => {
    expect(findings(null, null)).toEqual([]);
  });

  it('tells what is missing from what is wrong', () => {
    const bare: Health = { ...health, model_id: null, sae_ids: [] };
    expect(levelOf('Model', [bare, null])).toBe('note');
    expect(levelOf('SAEs', [bare, null])).toBe('note');
    expect(levelOf('Inference', [{ status: 'degraded' }, null])).toBe('problem');
    expect(levelOf('Hub', [null, { ...deployment, hub_token_set: false }])).toBe('note');
  });

  it('warns of a door that stands open to others', () => {
    expect(levelOf('Access', [null, { ...deployment, host: '0.0.0.0' }])).toBe('problem');
    expect(levelOf('Access', [null, { ...deployment, host: '0.0.0.0', keys_required: true }])).toBe('ok');
  });
});
