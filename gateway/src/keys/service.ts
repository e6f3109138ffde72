// Keys: who holds one, and what it allows. Those of the environment may do everything; those of the database have scopes.
import { AppError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Cache } from '../storage/cache.ts';
import { cached } from '../storage/cached.ts';
import type { ApiKeyRow, KeyRepository } from './repository.ts';
import { isExpired, scopeNames } from './schemas.ts';
import type { NewKeyBody, Scope } from './schemas.ts';
import { findByHash, hashOf, isOurs, makeSecret } from './secret.ts';

export interface KeyHolder {
  id: string;
  scopes: readonly string[];
}

export interface KeyServiceOptions {
  keys: KeyRepository;
  /** Of the environment. */
  configured: readonly string[];
  isRequired: boolean;
  cache: Pick<Cache, 'publish' | 'subscribe'>;
  log: Logger;
  now?: () => number;
}

export type KeyService = ReturnType<typeof keyService>;

/** Another gateway that cannot tell us of a change is noticed after so long. */
const freshMs = 5_000;
const usedEveryMs = 60_000;
const channel = 'keys';

export function keyService({ keys, configured, isRequired, cache, log, now = Date.now }: KeyServiceOptions) {
  const ofEnvironment = configured.map((secret, index) => ({
    id: `environment-${index + 1}`,
    hash: hashOf(secret),
    scopes: scopeNames as readonly string[],
  }));
  const stored = cached(freshMs, keys.live);
  let lastKnown: ApiKeyRow[] = [];
  const usedAt = new Map<string, number>();
  const listeners = new Set<() => void>();
  let unsubscribe: () => Promise<void> = async () => undefined;

  /** While the database is away, those it last told of: nobody can revoke one meanwhile either. */
  async function live(): Promise<ApiKeyRow[]> {
    try {
      lastKnown = await stored.get();
    } catch (error) {
      log.warn({ event: 'keys:stale', err: error }, 'the keys could not be read; the last known ones hold');
    }
    return lastKnown.filter((key) => !isExpired(key, now()));
  }

  function heard(): void {
    stored.invalidate();
    listeners.forEach((listener) => listener());
  }

  async function changed(): Promise<void> {
    heard();
    await cache.publish(channel, null);
  }

  function noteUse(id: string): void {
    if (now() - (usedAt.get(id) ?? Number.NEGATIVE_INFINITY) < usedEveryMs) return;
    usedAt.set(id, now());
    keys.used(id, new Date(now())).catch((error: unknown) => {
      log.warn({ event: 'keys:use-not-noted', key_id: id, err: error }, 'the use of a key was not noted');
    });
  }

  async function find(id: string): Promise<ApiKeyRow> {
    const row = await keys.find(id);
    if (!row) throw new AppError('NOT_FOUND', `There is no key "${id}".`);
    return row;
  }

  const managers = async () => (await live()).filter((key) => key.scopes.includes('manage'));

  return {
    isRequired,
    list: keys.list,

    /** null = nobody's. The database is asked only for what the environment does not hold. */
    async identify(secret: string): Promise<KeyHolder | null> {
      if (secret === '') return null;
      const hash = hashOf(secret);
      const own = findByHash(ofEnvironment, hash);
      if (own || !isOurs(secret)) return own;
      const row = findByHash(await live(), hash);
      if (row) noteUse(row.id);
      return row;
    },

    async isLive(id: string): Promise<boolean> {
      return ofEnvironment.some((key) => key.id === id) || (await live()).some((key) => key.id === id);
    },

    async create(body: NewKeyBody): Promise<{ row: ApiKeyRow; secret: string }> {
      const expiresAt = body.expires_at == null ? null : new Date(body.expires_at);
      if (expiresAt !== null && expiresAt.getTime() <= now()) {
        throw new AppError('VALIDATION_ERROR', 'expires_at: must be in the future', { param: 'expires_at' });
      }
      const { secret, prefix, hash } = makeSecret();
      const row = await keys.create({ name: body.name, prefix, hash, scopes: [...body.scopes], expiresAt });
      await changed();
      return { row, secret };
    },

    async rename(id: string, name: string): Promise<ApiKeyRow> {
      await find(id);
      return keys.rename(id, name);
    },

    /** Takes effect at once, here and on every replica that can be reached. */
    async revoke(id: string): Promise<ApiKeyRow> {
      const row = await find(id);
      if (row.revokedAt !== null) return row;
      stored.invalidate();
      const others = (await managers()).filter((key) => key.id !== id);
      if (isRequired && ofEnvironment.length === 0 && others.length === 0 && row.scopes.includes('manage')) {
        throw new AppError('CONFLICT', 'This is the last key that may manage; make another before you revoke it.');
      }
      const revoked = await keys.revoke(id);
      await changed();
      return revoked;
    },

    /** Keys may have been revoked. */
    onChange: (listener: () => void) => void listeners.add(listener),

    /** Listens to the other gateways; throws when keys are required and nobody could ever make one. */
    async start(): Promise<void> {
      unsubscribe = await cache.subscribe(channel, heard);
      if (!isRequired || ofEnvironment.length > 0 || (await managers()).length > 0) return;
      throw new NoKeys(
        'MILLM_REQUIRE_KEYS is set, but no key may manage. Name one in MILLM_API_KEYS (openssl rand -hex 32 makes one), ' +
          'create others with it at /api/keys, then remove it.',
      );
    },
    close: () => unsubscribe(),
  };
}

export class NoKeys extends Error {}

export const allows = (holder: KeyHolder, scopes: readonly Scope[]): boolean =>
  scopes.some((scope) => holder.scopes.includes(scope));
