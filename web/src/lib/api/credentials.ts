/** The API key of this browser, where the server asks for one. It lives in the browser's storage and nowhere else. */
const STORAGE_KEY = 'millm:api-key';

export function readKey(): string | null {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null; // storage is blocked
  }
}

/** null forgets it. Returns whether the browser kept it. */
export function rememberKey(key: string | null): boolean {
  try {
    if (key) localStorage.setItem(STORAGE_KEY, key);
    else localStorage.removeItem(STORAGE_KEY);
    return true;
  } catch {
    return false;
  }
}

export function authorization(): Record<string, string> {
  const key = readKey();
  return key ? { authorization: `Bearer ${key}` } : {};
}
