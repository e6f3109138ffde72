import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { asCurl, asPython } from './snippets.ts';
import type { ChatRequest } from './types.ts';

const request: ChatRequest = {
  model: 'HuggingFaceTB/SmolLM2-135M-Instruct',
  messages: [{ role: 'user', content: 'What\'s "new"?\nTell me 🌊' }],
  max_tokens: 60,
  temperature: 0,
  steering: { sae_id: 'demo', features: [{ index: 12, strength: 31.5 }] },
  activations: { sae_id: 'demo', top_k: 5 },
};

describe('a request as code', () => {
  it('is a curl whose shell gives back the exact body', () => {
    const command = asCurl('http://localhost:8000', request);
    expect(command).toContain('http://localhost:8000/v1/chat/completions');
    const echo = command.replace(/^curl -N .*\n.*\n {2}-d /, 'printf %s ');
    const body = execFileSync('sh', ['-c', echo], { encoding: 'utf8' });
    expect(JSON.parse(body)).toEqual({ ...request, stream: true });
  });

  it('is Python with our extension in extra_body and the rest as arguments', () => {
    const code = asPython('http://localhost:8000', request);
    expect(code).toContain('base_url="http://localhost:8000/v1"');
    expect(code).toContain('    temperature=0,');
    expect(code).toMatch(/extra_body=\{\n {8}"steering": \{\n/);
    expect(code).toContain('{"index": 12, "strength": 31.5}');
  });

  it('writes Python literals, not JSON ones', () => {
    const code = asPython('http://x', { model: 'm', messages: [], steering: { enabled: false, sae_id: null } });
    expect(code).toContain('"steering": {"enabled": False, "sae_id": None}');
    expect(code).toContain('messages=[]');
  });
});
