/** One answer while it streams and after: its text, its tokens with what fired, its pace, its end. */
import { streamChat, type ChatEvent, type ChatStreamOptions } from '#lib/api/chat-stream.ts';
import { ApiError, isAbort } from '#lib/api/errors.ts';
import type { ActivationEntry, ChatRequest, TokenLogprob } from '#lib/api/types.ts';
import { TokenAligner, type Segment } from './token-aligner.ts';

export type AnswerStatus = 'idle' | 'waiting' | 'streaming' | 'done' | 'stopped' | 'error';

export type ChatStream = (body: ChatRequest, options: ChatStreamOptions) => AsyncIterable<ChatEvent>;
/** A long text costs more to lay out, so it is drawn a little less often: the page must stay quick. */
const LONG_TOKENS = 400;
const LONG_PAUSE_MS = 80;

export type Schedule = (flush: () => void) => void;

export class Answer {
  #status = $state<AnswerStatus>('idle');
  #segments = $state.raw<readonly Segment[]>([]);
  #tail = $state('');
  #tokens = $state(0);
  #seconds = $state(0);
  #error = $state.raw<ApiError | null>(null);
  #finishReason = $state<string | null>(null);
  #request = $state.raw<ChatRequest | null>(null);
  #prompt = $state.raw<readonly Segment[]>([]);

  #aligner = new TokenAligner();
  #abort: AbortController | null = null;
  #firstTextAt = 0;
  #pieces = 0;
  #logprobs: TokenLogprob[] = [];
  #firstPosition: number | null = null;
  #laid = 0;
  #flushIsDue = false;
  readonly #stream: ChatStream;
  readonly #schedule: Schedule;

  constructor(stream: ChatStream = streamChat, schedule: Schedule = (flush) => requestAnimationFrame(flush)) {
    this.#stream = stream;
    this.#schedule = schedule;
  }

  get status(): AnswerStatus {
    return this.#status;
  }
  get segments(): readonly Segment[] {
    return this.#segments;
  }
  get tail(): string {
    return this.#tail;
  }
  get tokens(): number {
    return this.#tokens;
  }
  get tokensPerSecond(): number {
    return this.#seconds > 0.2 && this.#tokens > 1 ? (this.#tokens - 1) / this.#seconds : 0;
  }
  get error(): ApiError | null {
    return this.#error;
  }
  get finishReason(): string | null {
    return this.#finishReason;
  }
  /** What was asked, for showing and for copying as code. */
  get request(): ChatRequest | null {
    return this.#request;
  }
  get text(): string {
    return this.#segments.map((segment) => segment.text).join('') + this.#tail;
  }
  /** The prompt's tokens with what fired there, where that was asked for. */
  get prompt(): readonly Segment[] {
    return this.#prompt;
  }
  get isRunning(): boolean {
    return this.#status === 'waiting' || this.#status === 'streaming';
  }

  /** An answer of an earlier day: its text alone. */
  restore(text: string, request: ChatRequest | null = null): void {
    this.stop();
    this.#segments = [];
    this.#tail = text;
    this.#request = request;
    this.#status = text ? 'done' : 'idle';
  }

  /** Asks and streams; a run in progress is stopped first. The text shown stays until the new one begins. */
  async run(request: ChatRequest): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#aligner = new TokenAligner();
    this.#pieces = 0;
    this.#logprobs = [];
    this.#firstPosition = null;
    this.#laid = 0;
    this.#flushIsDue = false;
    this.#request = request;
    this.#status = 'waiting';
    this.#error = null;
    this.#finishReason = null;
    try {
      for await (const event of this.#stream(request, { signal: abort.signal })) {
        if (abort.signal.aborted) return;
        this.#take(event);
      }
      this.#end('done', abort);
    } catch (thrown) {
      if (isAbort(thrown) || abort.signal.aborted) return;
      // The stream throws nothing but ApiErrors; anything else is a mistake of ours and must not hide.
      if (!(thrown instanceof ApiError)) reportError(thrown);
      this.#error = thrown instanceof ApiError ? thrown : new ApiError('PAGE_ERROR', String(thrown));
      this.#end('error', abort);
    }
  }

  stop(): void {
    if (!this.isRunning) return;
    const abort = this.#abort;
    abort?.abort();
    if (abort) this.#end('stopped', abort);
  }

  #take(event: ChatEvent): void {
    switch (event.type) {
      case 'accepted':
        return;
      case 'text':
        if (this.#pieces === 0) this.#firstTextAt = performance.now();
        this.#pieces += 1;
        this.#aligner.appendText(event.text);
        this.#flushSoon();
        return;
      case 'activations':
        this.#takeEntries(event.entries);
        this.#flushSoon();
        return;
      case 'logprobs':
        this.#takeLogprobs(event.tokens);
        this.#flushSoon();
        return;
      case 'finish':
        this.#finishReason = event.reason;
        return;
      case 'usage':
        this.#pieces = event.usage.completion_tokens;
        return;
      default:
        event satisfies never;
    }
  }

  #takeEntries(entries: ActivationEntry[]): void {
    // The prompt's entries come in one piece, before any text.
    if (this.#request?.activations?.prompt && this.#firstPosition === null && this.#pieces === 0) {
      this.#prompt = entries.map((entry) => ({ id: entry.position, text: entry.token, entry }));
      this.#firstPosition = (entries.at(-1)?.position ?? -1) + 1;
      return;
    }
    this.#firstPosition ??= entries[0]?.position ?? null;
    this.#aligner.appendEntries(entries);
  }

  #takeLogprobs(tokens: TokenLogprob[]): void {
    const first = this.#logprobs.length;
    this.#logprobs.push(...tokens);
    if (this.#request?.activations) return;
    // Nothing else tells where a token ends, so these do.
    this.#firstPosition ??= 0;
    const toEntry = ({ token }: TokenLogprob, at: number): ActivationEntry => ({
      position: first + at,
      token_id: -1,
      token,
      sae_id: '',
      features: [],
    });
    this.#aligner.appendEntries(tokens.map(toEntry));
  }

  /** Each token's own, laid on it once: a long answer is not gone through again for every frame. */
  #layLogprobs(segments: Segment[]): void {
    for (; this.#laid < segments.length; this.#laid += 1) {
      const segment = segments[this.#laid];
      if (!segment?.entry || this.#firstPosition === null) continue;
      const at = segment.entry.position - this.#firstPosition;
      if (at >= this.#logprobs.length) return; // still to come
      const found = this.#logprobs[at];
      segment.logprob = found?.token === segment.entry.token ? found : null;
    }
  }

  #end(status: AnswerStatus, abort: AbortController): void {
    if (this.#abort !== abort) return; // a newer run took over
    this.#abort = null;
    this.#aligner.end();
    this.#flush();
    this.#status = status;
  }

  #flushSoon(): void {
    if (this.#flushIsDue) return;
    this.#flushIsDue = true;
    const draw = () =>
      this.#schedule(() => {
        if (this.#flushIsDue && this.#pieces > 0) this.#flush();
      });
    if (this.#pieces > LONG_TOKENS) setTimeout(draw, LONG_PAUSE_MS);
    else draw();
  }

  #flush(): void {
    this.#flushIsDue = false;
    if (this.#logprobs.length > 0) this.#layLogprobs(this.#aligner.segments);
    this.#segments = [...this.#aligner.segments];
    this.#tail = this.#aligner.tail;
    this.#tokens = this.#pieces;
    this.#seconds = this.#pieces > 0 ? (performance.now() - this.#firstTextAt) / 1000 : 0;
    if (this.#status === 'waiting' && this.#pieces > 0) this.#status = 'streaming';
  }
}
