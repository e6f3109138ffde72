import { expect, it } from 'vitest';
import { ApiError } from '#lib/api/errors.ts';
import { RepositoryLook, type RepositorySource } from './repository-look.svelte.ts';

it('asks for a token where the repository wants one, and sends it only then', async () => {
  const asked: RepositorySource[] = [];
  const look = new RepositoryLook(' some/model ', async (source) => {
    asked.push(source);
    if (!source.hf_token) throw new ApiError('GATED_REPOSITORY', 'It wants a token.', 403);
    return { gated: true };
  });
  expect(look.isGated).toBe(false);
  expect(await look.look()).toBeUndefined();
  expect(look.isGated).toBe(true);
  look.token = ' hf_x ';
  expect(await look.look()).toEqual({ gated: true });
  expect([look.error, look.isGated]).toEqual([null, true]);
  expect(asked).toEqual([{ repo_id: 'some/model' }, { repo_id: 'some/model', hf_token: 'hf_x' }]);
});

it('shows nothing of one repository under the name of another', async () => {
  let answer: (found: { gated: boolean }) => void = () => undefined;
  const look = new RepositoryLook<{ gated: boolean }>('a/b', () => new Promise((resolve) => (answer = resolve)));
  const first = look.look();
  look.repoId = 'a/c';
  answer({ gated: false });
  expect(await first).toBeUndefined();
  expect(look.preview).toBeNull();

  const second = look.look();
  answer({ gated: false });
  expect(await second).toBe(look.preview);
  look.repoId = 'a/d';
  expect(look.preview).toBeNull();
});
