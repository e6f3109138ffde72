import { describe, expect, it, vi } from 'vitest';
import { request, type Fetch } from './client.ts';
import { explain, ApiError, asApiError } from './errors.ts';

function answering(status: number, body: string, headers: Record<string, string> = {}): Fetch {
  return vi.fn<Fetch>(async () => new Response(body, { status, headers }));
}

describe('a call to the gateway', () => {
  it('takes the data out of the envelope', async () => {
    const fetch = answering(200, '{"success":true,"data":[1,2],"error":null}');
    expect(await request('/api/models', { fetch })).toEqual([1, 2]);
  });

  it('gives an answer without an envelope as it is', async () => {
    const fetch = answering(200, '{"status":"healthy"}');
    expect(await request('/api/health', { fetch })).toEqual({ status: 'healthy' });
  });

  it('sends a body as JSON', async () => {
    const fetch = answering(200, '{"success":true,"data":null,"error":null}');
    await request('/api/steering', { method: 'PUT', body: { enabled: true }, fetch });
    const [, init] = vi.mocked(fetch).mock.calls[0] ?? [];
    expect(init).toMatchObject({ method: 'PUT', body: '{"enabled":true}' });
  });

  it('throws the code, message and details of the envelope', async () => {
    const error = { code: 'SAE_NOT_FOUND', message: 'No SAE "x".', details: { id: 'x' } };
    const fetch = answering(404, JSON.stringify({ success: false, data: null, error }), { 'retry-after': '3' });
    await expect(request('/api/saes/x', { fetch })).rejects.toMatchObject({
      code: 'SAE_NOT_FOUND',
      message: 'No SAE "x".',
      status: 404,
      details: { id: 'x' },
      retryAfterS: 3,
    });
  });

  it.each([
    [404, 'NOT_FOUND'],
    [429, 'QUEUE_FULL'],
    [502, 'NETWORK_ERROR'],
    [503, 'SIDECAR_UNAVAILABLE'],
    [500, 'INTERNAL_ERROR'],
  ])('names a bare %i from a proxy %s', async (status, code) => {
    await expect(request('/api/x', { fetch: answering(status, '<html>') })).rejects.toMatchObject({ code, status });
  });

  it('does not mistake a page for an answer', async () => {
    await expect(request('/api/x', { fetch: answering(200, '<html>') })).rejects.toMatchObject({
      code: 'BAD_RESPONSE',
    });
  });

  it('gives up after its time and says so', async () => {
    const hanging = vi.fn<Fetch>(
      (_url, init) =>
        new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason))),
    );
    await expect(request('/api/x', { fetch: hanging, timeoutMs: 5 })).rejects.toMatchObject({ code: 'TIMEOUT' });
  });
});

describe('what a person is told', () => {
  it('has a sentence and a next step for a known code', () => {
    expect(explain(new ApiError('QUEUE_FULL', 'x'))).toEqual({
      sentence: 'The server is busy; its queue is full.',
      nextStep: 'Try again in a moment.',
      canRetry: true,
    });
  });

  it("takes the server's own words where they say more, as a sentence", () => {
    const error = new ApiError('INVALID_FEATURE_INDEX', 'Feature 9999 is out of range');
    expect(explain(error).sentence).toBe('Feature 9999 is out of range.');
    expect(explain(new ApiError('SOMETHING_NEW', '')).sentence).toBe('The request failed.');
  });

  it('keeps an ApiError and wraps anything else as a network failure', () => {
    const error = new ApiError('X', 'y');
    expect(asApiError(error)).toBe(error);
    expect(asApiError('odd').code).toBe('NETWORK_ERROR');
  });
});
