import { describe, expect, it, vi } from 'vitest';
import { ApiError } from '#lib/api/errors.ts';
import type { Health } from '#lib/api/types.ts';
import { Connection } from './connection.svelte.ts';

function connect(...answers: (Health | Error)[]) {
  const onPulse = vi.fn();
  const getHealth = async () => {
    const answer = answers.shift() ?? new ApiError('NETWORK_ERROR', 'gone');
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return { connection: new Connection({ getHealth, onPulse }), onPulse };
}

const gone = () => new ApiError('NETWORK_ERROR', 'gone');

describe('the connection', () => {
  it('is online when the gateway is healthy, and gives the pulse', async () => {
    const { connection, onPulse } = connect({ status: 'healthy', version: '1' });
    expect(connection.phase).toBe('connecting');
    await connection.poll();
    expect(connection.phase).toBe('online');
    expect(connection.health?.version).toBe('1');
    expect(onPulse).toHaveBeenCalledOnce();
  });

  it('is degraded, but there, when the gateway says so or answers with an error', async () => {
    const { connection } = connect({ status: 'degraded' }, new ApiError('SIDECAR_UNAVAILABLE', 'x', 503));
    await connection.poll();
    expect(connection.phase).toBe('degraded');
    await connection.poll();
    expect(connection.isReachable).toBe(true);
  });

  it('goes from reconnecting to offline and back', async () => {
    const { connection } = connect({ status: 'healthy' }, gone(), gone(), gone(), { status: 'healthy' });
    await connection.poll();
    await connection.poll();
    expect(connection.phase).toBe('reconnecting');
    expect(connection.isStale).toBe(true);
    await connection.poll();
    await connection.poll();
    expect(connection.phase).toBe('offline');
    await connection.poll();
    expect(connection.phase).toBe('online');
  });

  it('takes a dead proxy for a gateway that is not there', async () => {
    const { connection } = connect({ status: 'healthy' }, new ApiError('NETWORK_ERROR', 'x', 502));
    await connection.poll();
    await connection.poll();
    expect(connection.phase).toBe('reconnecting');
  });

  it('never polls twice at once', async () => {
    const getHealth = vi.fn(
      () => new Promise<Health>((resolve) => setTimeout(() => resolve({ status: 'healthy' }), 5)),
    );
    const connection = new Connection({ getHealth });
    await Promise.all([connection.poll(), connection.poll()]);
    expect(getHealth).toHaveBeenCalledOnce();
  });
});
