// Of several candidates, the n whose tokens are likeliest on average; renumbered from the best.
import type { OutputEvent } from '../inference/contract.ts';

type TextEvent = Extract<OutputEvent, { type: 'delta' | 'finish' }>;

export async function* bestOf(events: AsyncIterable<OutputEvent>, n: number): AsyncGenerator<OutputEvent> {
  const byChoice = new Map<number, TextEvent[]>();
  const others: OutputEvent[] = [];
  for await (const event of events) {
    if (event.type === 'delta' || event.type === 'finish') {
      const own = byChoice.get(event.index);
      if (own) own.push(event);
      else byChoice.set(event.index, [event]);
    } else others.push(event);
  }
  yield* others.filter((event) => event.type === 'prompt');
  const ranked = [...byChoice.values()].sort((a, b) => meanLogprob(b) - meanLogprob(a)).slice(0, n);
  for (const [index, own] of ranked.entries()) yield* own.map((event) => ({ ...event, index }));
  yield* others.filter((event) => event.type === 'done');
}

function meanLogprob(events: readonly TextEvent[]): number {
  const values = events.flatMap((event) => event.logprobs.map((entry) => entry.logprob ?? 0));
  if (values.length === 0) return -Infinity;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
