/**
 * Conversations kept in this browser: the newest ones, as many as fit. Where the browser has no room, the oldest make
 * place; where it keeps nothing at all, saving says so.
 */
export interface SavedTurn {
  prompt: string;
  seed: number;
  plain: string;
  steered: string;
}

export interface SavedConversation {
  id: string;
  /** Of the first question. */
  title: string;
  savedAt: string;
  /** The steering, as the query of an address. */
  query: string;
  turns: SavedTurn[];
}

export const MAX_CONVERSATIONS = 30;
const KEY = 'millm:conversations';
const TITLE_LENGTH = 80;

type Store = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

export function listConversations(store: Store = localStorage): SavedConversation[] {
  try {
    const saved: unknown = JSON.parse(store.getItem(KEY) ?? '[]');
    return Array.isArray(saved) ? saved.filter(isConversation) : [];
  } catch {
    return [];
  }
}

/** Newest first; false when the browser refused to keep even this one. */
export function keepConversation(
  { id, query, turns }: Pick<SavedConversation, 'id' | 'query' | 'turns'>,
  store: Store = localStorage,
  now = new Date(),
): boolean {
  const title = (turns[0]?.prompt ?? '').slice(0, TITLE_LENGTH);
  const saved = { id, title, savedAt: now.toISOString(), query, turns };
  const kept = [saved, ...listConversations(store).filter((other) => other.id !== id)].slice(0, MAX_CONVERSATIONS);
  for (; kept.length > 0; kept.pop()) if (write(kept, store)) return true;
  return false;
}

export function forgetConversation(id: string, store: Store = localStorage): void {
  write(
    listConversations(store).filter((other) => other.id !== id),
    store,
  );
}

function write(conversations: SavedConversation[], store: Store): boolean {
  try {
    store.setItem(KEY, JSON.stringify(conversations));
    return true;
  } catch {
    return false; // full, or storage is switched off
  }
}

function isConversation(value: unknown): value is SavedConversation {
  if (typeof value !== 'object' || value === null) return false;
  const { id, title, savedAt, query, turns } = value as Record<string, unknown>;
  const isTurn = (turn: unknown) =>
    typeof turn === 'object' &&
    turn !== null &&
    ['prompt', 'plain', 'steered'].every((name) => typeof (turn as Record<string, unknown>)[name] === 'string');
  return (
    [id, title, savedAt, query].every((text) => typeof text === 'string') && Array.isArray(turns) && turns.every(isTurn)
  );
}
