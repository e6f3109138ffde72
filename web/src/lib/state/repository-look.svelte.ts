/** A repository of the hub that somebody looks at before taking something from it; some want a token. */
import type { ApiError } from '#lib/api/errors.ts';
import { Task } from './task.svelte.ts';

export interface RepositorySource {
  repo_id: string;
  hf_token?: string;
}

export class RepositoryLook<Preview extends { gated: boolean }> {
  #repoId = $state('');
  token = $state('');
  #preview = $state.raw<Preview | null>(null);
  readonly #task = new Task();
  readonly #ask: (source: RepositorySource) => Promise<Preview>;

  constructor(repository: string, ask: (source: RepositorySource) => Promise<Preview>) {
    this.#repoId = repository;
    this.#ask = ask;
  }

  get repoId(): string {
    return this.#repoId;
  }
  /** What was found is of another repository then. */
  set repoId(to: string) {
    this.#repoId = to;
    this.#preview = null;
  }

  get preview(): Preview | null {
    return this.#preview;
  }
  get isRunning(): boolean {
    return this.#task.isRunning;
  }
  get error(): ApiError | null {
    return this.#task.error;
  }

  readonly source = $derived.by((): RepositorySource => {
    const token = this.token.trim();
    return { repo_id: this.#repoId.trim(), ...(token && { hf_token: token }) };
  });
  readonly isGated = $derived.by(() => this.error?.code === 'GATED_REPOSITORY' || (this.#preview?.gated ?? false));

  /** What it holds, or undefined where it could not be looked at, which `error` explains. */
  async look(): Promise<Preview | undefined> {
    this.#preview = null;
    const asked = this.#repoId;
    const found = await this.#task.run(() => this.#ask(this.source));
    if (!found || this.#repoId !== asked) return undefined;
    this.#preview = found;
    return found;
  }
}
