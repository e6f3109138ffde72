import { describe, expect, it } from 'vitest';
import { forgetConversation, keepConversation, listConversations, MAX_CONVERSATIONS } from './saved-conversations.ts';

/** A browser's store that takes so many characters. */
function storeOf(room = Infinity) {
  const values = new Map<string, string>();
  return {
    getItem: (key: string) => values.get(key) ?? null,
    setItem(key: string, value: string) {
      if (value.length > room) throw new DOMException('full', 'QuotaExceededError');
      values.set(key, value);
    },
    removeItem: (key: string) => void values.delete(key),
  };
}

const conversation = (id: string, prompt = 'Hello') => ({
  id,
  query: 'sae=demo&features=1:5',
  turns: [{ prompt, seed: 1, plain: 'a', steered: 'b' }],
});

describe('saved conversations', () => {
  it('are listed newest first, each once, and forgotten on demand', () => {
    const store = storeOf();
    for (const id of ['a', 'b', 'a']) expect(keepConversation(conversation(id), store)).toBe(true);
    expect(listConversations(store).map(({ id }) => id)).toEqual(['a', 'b']);
    forgetConversation('a', store);
    expect(listConversations(store).map(({ id }) => id)).toEqual(['b']);
  });

  it('are bounded in number', () => {
    const store = storeOf();
    for (let at = 0; at < MAX_CONVERSATIONS + 5; at += 1) keepConversation(conversation(String(at)), store);
    expect(listConversations(store)).toHaveLength(MAX_CONVERSATIONS);
    expect(listConversations(store)[0]?.id).toBe(String(MAX_CONVERSATIONS + 4));
  });

  it('make room where the browser has none, and say when even one is too much', () => {
    const store = storeOf(700);
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) expect(keepConversation(conversation(id), store)).toBe(true);
    const kept = listConversations(store).map(({ id }) => id);
    expect(kept[0]).toBe('f');
    expect(kept.length).toBeLessThan(6);
    expect(keepConversation(conversation('g', 'x'.repeat(1000)), store)).toBe(false);
  });

  it('survive what somebody else wrote there', () => {
    const store = storeOf();
    for (const text of ['{', '{}', '[{"id": 1}]', 'null']) {
      store.setItem('millm:conversations', text);
      expect(listConversations(store)).toEqual([]);
    }
  });
});
