/** One question at a time, asked from anywhere, answered in the dialog of the layout. */
import { createContext } from 'svelte';

export interface Question {
  title: string;
  /** What follows from a yes, and whether it can be taken back. */
  text: string;
  /** The word on the button that does it: a verb. */
  action: string;
  isDangerous?: boolean;
}

export class Confirmation {
  #question = $state.raw<Question | null>(null);
  #answer: ((isYes: boolean) => void) | null = null;

  get question(): Question | null {
    return this.#question;
  }

  /** Resolves with the answer; a question that is replaced by another was answered no. */
  ask(question: Question): Promise<boolean> {
    this.#answer?.(false);
    this.#question = question;
    return new Promise((resolve) => (this.#answer = resolve));
  }

  answer(isYes: boolean): void {
    this.#answer?.(isYes);
    this.#answer = null;
    this.#question = null;
  }
}

export const [useConfirmation, provideConfirmation] = createContext<Confirmation>();
