/** The newest requests, as far as the server keeps a log of them. */
import type { LoggedRequest, Page, ServerConfig } from '#lib/api/types.ts';

export interface RequestLogSource {
  listRequests: (query: { limit: number }) => Promise<Page<LoggedRequest>>;
  getConfig: () => Promise<ServerConfig>;
}

const SHOWN = 6;

export class RequestLog {
  #items = $state.raw<LoggedRequest[]>([]);
  #total = $state(0);
  #isEnabled = $state<boolean | null>(null);
  readonly #source: RequestLogSource;

  constructor(source: RequestLogSource) {
    this.#source = source;
  }

  get items(): LoggedRequest[] {
    return this.#items;
  }
  get total(): number {
    return this.#total;
  }
  /** null = not known yet. */
  get isEnabled(): boolean | null {
    return this.#isEnabled;
  }

  /** Keeps the last known where the server does not answer: it only enriches the page. */
  async refresh(): Promise<void> {
    try {
      const [page, { settings }] = await Promise.all([
        this.#source.listRequests({ limit: SHOWN }),
        this.#source.getConfig(),
      ]);
      this.#items = page.items;
      this.#total = page.total;
      this.#isEnabled = settings.request_log_enabled;
    } catch {
      // the connection's state says what is wrong
    }
  }
}
