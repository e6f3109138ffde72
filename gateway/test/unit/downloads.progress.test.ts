import { describe, expect, it } from 'vitest';
import { advance, interrupt, newProgress, percent, throttle } from '../../src/downloads/progress.ts';
import type { Schemas } from '../../src/inference/contract.ts';

const event = (seq: number, state: Schemas['DownloadState']['state'], bytes_done = 0): Schemas['DownloadState'] => ({
  ...{ download_id: 'd', kind: 'model', repo_id: 'o/n', state, bytes_done, bytes_total: 200, seq },
});

describe('the progress of a download', () => {
  it('moves with newer events only, whoever brings them', () => {
    const running = advance(newProgress, event(2, 'running', 50), 'a');
    expect(running.change).toBe('state');
    expect(advance(running.next, event(3, 'running', 60), 'a').change).toBe('progress');
    for (const seq of [1, 2]) expect(advance(running.next, event(seq, 'queued'), 'a').change).toBe('none');
    expect(percent(running.next)).toBe(25);
  });

  it('starts over in a new sidecar, and stays done', () => {
    const done = advance(newProgress, event(9, 'done', 200), 'a').next;
    expect(percent(done)).toBe(100);
    expect(advance(done, event(10, 'cancelled'), 'a').change).toBe('none');
    expect(advance(done, event(11, 'queued'), 'a').change).toBe('state');
    const running = advance(newProgress, event(9, 'running'), 'a').next;
    expect(advance(running, event(1, 'running', 5), 'b').next.seq).toBe(1);
  });

  it('is interrupted only while it runs', () => {
    const running = advance(newProgress, event(1, 'running', 20), 'a').next;
    expect(interrupt(running)).toMatchObject({ change: 'state', next: { state: 'interrupted', bytesDone: 20 } });
    const done = advance(newProgress, event(1, 'done'), 'a').next;
    expect(interrupt(done).change).toBe('none');
  });

  it('is told at most four times a second, but always when the state changes', () => {
    const isWorthTelling = throttle(4);
    expect(isWorthTelling('d', 'progress', 0)).toBe(true);
    expect(isWorthTelling('d', 'progress', 100)).toBe(false);
    expect(isWorthTelling('d', 'state', 110)).toBe(true);
    expect(isWorthTelling('d', 'progress', 300)).toBe(false);
    expect(isWorthTelling('e', 'progress', 300)).toBe(true);
    expect(isWorthTelling('d', 'progress', 400)).toBe(true);
    expect(isWorthTelling('d', 'none', 9_000)).toBe(false);
  });
});
