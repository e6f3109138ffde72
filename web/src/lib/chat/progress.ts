/** What a screen reader hears while answers stream: that they began and how they ended, never token by token. */
import type { ApiError, Explanation } from '#lib/api/errors.ts';
import type { Answer } from '#lib/state/answer.svelte.ts';
import type { Turn } from '#lib/state/conversation.svelte.ts';

export function describeProgress(turn: Turn | undefined, explain: (error: ApiError) => Explanation): string {
  if (!turn) return '';
  if (turn.plain.isRunning && turn.steered.isRunning) return 'Both answers are being written.';
  return [describe('Default answer', turn.plain), describe('Steered answer', turn.steered)].filter(Boolean).join(' ');

  function describe(name: string, answer: Answer): string {
    switch (answer.status) {
      case 'idle':
        return '';
      case 'waiting':
      case 'streaming':
        return `${name} is being written.`;
      case 'done':
        return `${name} is complete.`;
      case 'stopped':
        return `${name} was stopped.`;
      case 'error':
        return `${name} failed. ${answer.error ? explain(answer.error).sentence : ''}`;
      default:
        return answer.status satisfies never;
    }
  }
}
