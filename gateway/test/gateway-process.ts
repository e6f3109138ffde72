// The gateway as a process of its own, on a free port.
import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { manifestPath, until } from './build-test-app.ts';

const server = fileURLToPath(new URL('../src/server.ts', import.meta.url));

export interface GatewayProcess {
  url: string;
  child: ChildProcess;
  output: () => string;
  exitCode: Promise<number | null>;
}

export interface ProcessOptions {
  inferenceUrl: string;
  dataDir: string;
  env?: Record<string, string>;
  stdio?: StdioOptions;
}

export async function startGatewayProcess(options: ProcessOptions): Promise<GatewayProcess> {
  const port = options.env?.['PORT'] ?? String(await freePort());
  const child = spawn(process.execPath, [server], {
    stdio: options.stdio ?? 'pipe',
    env: {
      PATH: process.env['PATH'],
      PORT: port,
      INFERENCE_URL: options.inferenceUrl,
      MILLM_DATA_DIR: options.dataDir,
      MILLM_BOOTSTRAP: manifestPath,
      MILLM_RECONCILE_INTERVAL_S: '0.2',
      ...options.env,
    },
  });
  let text = '';
  child.stdout?.on('data', (data: Buffer) => (text += data.toString()));
  child.stderr?.on('data', (data: Buffer) => (text += data.toString()));
  const exitCode = once(child, 'exit').then(([code]) => code as number | null);
  onTestFinished(() => void child.kill('SIGKILL'));
  return { url: `http://127.0.0.1:${port}`, child, output: () => text, exitCode };
}

export const isReady = async ({ url }: { url: string }) =>
  fetch(`${url}/api/health/ready`).then(
    (response) => response.ok,
    () => false,
  );

export const untilReady = (gateway: { url: string }) => until(() => isReady(gateway), 40_000);

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

export function temporary(path: string): string {
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
