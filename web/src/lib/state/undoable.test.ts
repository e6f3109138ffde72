import { describe, expect, it, vi } from 'vitest';
import { Undoable } from './undoable.svelte.ts';

describe('a removal that can be taken back', () => {
  it('hides at once and removes when its moment has passed', async () => {
    const undoable = new Undoable();
    const commit = vi.fn(async () => undefined);
    undoable.remove('a', commit);
    expect(undoable.isGone('a')).toBe(true);
    expect(commit).not.toHaveBeenCalled();
    await undoable.commit('a');
    await undoable.commit('a');
    expect(commit).toHaveBeenCalledOnce();
    expect(undoable.isGone('a')).toBe(false);
  });

  it('comes back when it is undone, and is never removed then', async () => {
    const undoable = new Undoable();
    const commit = vi.fn(async () => undefined);
    undoable.remove('a', commit);
    undoable.undo('a');
    await undoable.commit('a');
    expect(undoable.isGone('a')).toBe(false);
    expect(commit).not.toHaveBeenCalled();
  });

  it('stays hidden while the server removes it, and undoing is too late then', async () => {
    const undoable = new Undoable();
    let done: () => void = () => undefined;
    undoable.remove('a', () => new Promise((resolve) => (done = resolve)));
    const committed = undoable.commit('a');
    undoable.undo('a');
    expect(undoable.isGone('a')).toBe(true);
    done();
    await committed;
    expect(undoable.isGone('a')).toBe(false);
  });

  it('is done at once when the page is left', async () => {
    const undoable = new Undoable();
    const commits = [vi.fn(async () => undefined), vi.fn(async () => undefined)];
    commits.forEach((commit, at) => undoable.remove(String(at), commit));
    await undoable.commitAll();
    expect(commits.every((commit) => commit.mock.calls.length === 1)).toBe(true);
  });
});
