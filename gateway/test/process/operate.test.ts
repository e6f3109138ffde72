// The commands of docs/operate.md, in order, in one shell, against a gateway with keys.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { copyTemplate } from '../database.ts';
import { startFakeInference } from '../fake-inference.ts';
import { startGatewayProcess, temporary, untilReady } from '../gateway-process.ts';

const page = readFileSync(new URL('../../../docs/operate.md', import.meta.url), 'utf8');
const blocks = [...page.matchAll(/^```bash tried\n([^]*?)^```/gm)].map(([, block = '']) => block);

it("the operator's commands do what the page says", { timeout: 60_000 }, async () => {
  const fake = await startFakeInference();
  onTestFinished(() => fake.close());
  const key = 'a-key-of-the-environment';
  const gateway = await startGatewayProcess({
    inferenceUrl: fake.url,
    dataDir: temporary(copyTemplate()),
    env: { MILLM_API_KEYS: key },
  });
  await untilReady(gateway);
  expect(blocks.length).toBe(2);
  // Not in this process's own time: the scripted sidecar lives here.
  const shell = spawn('bash', ['-xeuo', 'pipefail', '-c', blocks.join('\n')], {
    env: { ...process.env, URL: gateway.url, KEY: key },
  });
  let text = '';
  for (const stream of [shell.stdout, shell.stderr]) stream.on('data', (data: Buffer) => (text += data.toString()));
  const [status] = (await once(shell, 'close')) as [number | null];
  expect(status, text).toBe(0);
  expect(text).toContain('"status":"revoked"');
  expect(text).toContain('millm:request_success_total');
});
