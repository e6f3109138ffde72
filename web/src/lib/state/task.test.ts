import { expect, it } from 'vitest';
import { ApiError } from '#lib/api/errors.ts';
import { Task } from './task.svelte.ts';

it('a task runs one at a time and remembers how it failed', async () => {
  const task = new Task();
  let finish: (value: string) => void = () => undefined;
  const first = task.run(() => new Promise<string>((resolve) => (finish = resolve)));
  expect(task.isRunning).toBe(true);
  expect(await task.run(async () => 'second')).toBeUndefined();
  finish('first');
  expect(await first).toBe('first');
  expect(task.isRunning).toBe(false);

  expect(await task.run(() => Promise.reject(new ApiError('CONFLICT', 'x', 409)))).toBeUndefined();
  expect(task.error?.code).toBe('CONFLICT');
  await task.run(() => Promise.reject(new DOMException('left', 'AbortError')));
  expect(task.error).toBeNull();
  await task.run(() => Promise.reject(new Error('x')));
  task.forget();
  expect(task.error).toBeNull();
});
