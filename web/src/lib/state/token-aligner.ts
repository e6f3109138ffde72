/**
 * Lays activation entries over streamed text. The two arrive apart: text first, a token's entry a step later, and a
 * token may be a piece of a character or have lost its leading space. The text always wins; an entry that does not fit
 * is dropped. Pure.
 */
import type { ActivationEntry, TokenLogprob } from '#lib/api/types.ts';

export interface Segment {
  /** Stable and unique within one answer. */
  id: number;
  text: string;
  entry: ActivationEntry | null;
  /** How likely the token was, where that was asked for. */
  logprob?: TokenLogprob | null;
}

/** How far behind the cursor's text a token may start before it is given up: room for one glyph of several tokens. */
const LOOK_AHEAD = 24;

export class TokenAligner {
  #text = '';
  #cursor = 0;
  #segments: Segment[] = [];
  #waiting: ActivationEntry[] = [];

  get text(): string {
    return this.#text;
  }
  get segments(): Segment[] {
    return this.#segments;
  }
  /** Text that no entry covers yet. */
  get tail(): string {
    return this.#text.slice(this.#cursor);
  }

  appendText(text: string): void {
    this.#text += text;
    this.#align(false);
  }

  appendEntries(entries: ActivationEntry[]): void {
    this.#waiting.push(...entries);
    this.#align(false);
  }

  /** No more text will come: whatever still waits does not fit. */
  end(): void {
    this.#align(true);
  }

  #align(isEnd: boolean): void {
    let taken = 0;
    for (const entry of this.#waiting) {
      const place = this.#find(entry.token);
      if (place) {
        this.#push(place.at, null);
        this.#push(place.at + place.length, entry);
      } else if (!isEnd && isText(entry.token) && this.tail.length < LOOK_AHEAD) {
        break; // its text may be held back; wait
      }
      taken += 1;
    }
    this.#waiting = this.#waiting.slice(taken);
  }

  #find(token: string): { at: number; length: number } | null {
    if (!isText(token)) return null;
    for (const form of [token, token.trimStart()]) {
      if (form && this.#text.startsWith(form, this.#cursor)) return { at: this.#cursor, length: form.length };
    }
    const at = this.#text.slice(0, this.#cursor + LOOK_AHEAD).indexOf(token, this.#cursor);
    return at === -1 ? null : { at, length: token.length };
  }

  #push(end: number, entry: ActivationEntry | null): void {
    if (end <= this.#cursor) return;
    this.#segments.push({ id: this.#cursor, text: this.#text.slice(this.#cursor, end), entry });
    this.#cursor = end;
  }
}

/** A token that is only part of a character decodes to the replacement character: it has no text of its own. */
function isText(token: string): boolean {
  return token !== '' && !token.includes('\uFFFD');
}
