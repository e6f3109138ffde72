/** The saved profiles: asked for, kept as the last known. */
import { asApiError, type ApiError } from '#lib/api/errors.ts';
import type { Profile } from '#lib/api/types.ts';

export class Profiles {
  #list = $state.raw<Profile[] | null>(null);
  #error = $state.raw<ApiError | null>(null);
  readonly #ask: () => Promise<Profile[]>;

  constructor(listProfiles: () => Promise<Profile[]>) {
    this.#ask = listProfiles;
  }

  get list(): Profile[] | null {
    return this.#list;
  }
  get error(): ApiError | null {
    return this.#error;
  }
  readonly active = $derived(this.#list?.find(({ is_active }) => is_active) ?? null);

  async refresh(): Promise<void> {
    try {
      this.#list = await this.#ask();
      this.#error = null;
    } catch (thrown) {
      this.#error = asApiError(thrown);
    }
  }
}
