/**
 * Two conversations with one person, side by side: the model as it is, and the model steered. Both get the same prompt
 * and seed; what else they send is said by those who extend this.
 */
import type { ChatMessage, ChatRequest } from '#lib/api/types.ts';
import { Answer } from './answer.svelte.ts';

export interface Turn {
  id: number;
  prompt: string;
  seed: number;
  plain: Answer;
  steered: Answer;
}

export type Side = 'plain' | 'steered';

const SETTLE_MS = 250;

export abstract class Conversation {
  turns = $state<Turn[]>([]);
  draft = $state('');
  #settling: ReturnType<typeof setTimeout> | undefined;
  #lastId = 0;
  readonly #createAnswer: () => Answer;

  constructor(createAnswer: () => Answer = () => new Answer()) {
    this.#createAnswer = createAnswer;
  }

  readonly isRunning = $derived(this.turns.some((turn) => turn.plain.isRunning || turn.steered.isRunning));

  /** The request of one side of a turn; null where that side cannot be asked. */
  protected abstract compose(side: Side, messages: ChatMessage[], seed: number): ChatRequest | null;

  send(): void {
    const prompt = this.draft.trim();
    if (!prompt || this.isRunning || !this.compose('plain', [], 0)) return;
    this.draft = '';
    const turn = this.addTurn(prompt, Math.floor(Math.random() * 2 ** 31));
    this.retry(turn);
  }

  retry(turn: Turn, side?: Side): void {
    if (side !== 'steered') this.#ask(turn, 'plain');
    if (side !== 'plain') this.#ask(turn, 'steered');
  }

  stop(): void {
    clearTimeout(this.#settling);
    for (const turn of this.turns) {
      turn.plain.stop();
      turn.steered.stop();
    }
  }

  clear(): void {
    this.stop();
    this.turns = [];
  }

  /** A turn that nobody has asked yet. */
  protected addTurn(prompt: string, seed: number): Turn {
    this.#lastId += 1;
    const turn = { id: this.#lastId, prompt, seed, plain: this.#createAnswer(), steered: this.#createAnswer() };
    this.turns.push(turn);
    return turn;
  }

  /** The steering changed: the last answer is steered anew once it rests, unless it was steered so already. */
  protected resteerSoon(): void {
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => {
      const turn = this.turns.at(-1);
      if (turn && (turn.steered.request ?? turn.plain.request) && !this.#isAnswered(turn)) this.#ask(turn, 'steered');
    }, SETTLE_MS);
  }

  #isAnswered(turn: Turn): boolean {
    const steering = this.#request(turn, 'steered')?.steering;
    const isSame = JSON.stringify(steering) === JSON.stringify(turn.steered.request?.steering);
    return isSame && turn.steered.status !== 'error';
  }

  #ask(turn: Turn, side: Side): void {
    if (side === 'steered') clearTimeout(this.#settling); // asked with what is set now, whatever comes of it
    const request = this.#request(turn, side);
    if (request) void turn[side].run(request);
  }

  #request(turn: Turn, side: Side): ChatRequest | null {
    return this.compose(side, [...this.#history(side, turn), { role: 'user', content: turn.prompt }], turn.seed);
  }

  #history(side: Side, until: Turn): ChatMessage[] {
    const messages: ChatMessage[] = [];
    for (const turn of this.turns) {
      if (turn.id === until.id) break;
      const answer = turn[side].text || turn.plain.text;
      if (!answer) continue;
      messages.push({ role: 'user', content: turn.prompt }, { role: 'assistant', content: answer });
    }
    return messages;
  }
}
