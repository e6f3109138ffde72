// What a key is made of, and how two are compared. Pure; knows neither rows nor requests.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Recognised by secret scanners and by people. */
const brand = 'millm-';
const shownCharacters = 12;

export interface NewSecret {
  secret: string;
  /** Its beginning, to recognise it by. */
  prefix: string;
  hash: string;
}

/** 256 random bits: a plain hash of it needs no salt and no slowness. */
export function makeSecret(): NewSecret {
  const secret = brand + randomBytes(32).toString('base64url');
  return { secret, prefix: secret.slice(0, shownCharacters), hash: hashOf(secret) };
}

/** Whether it could be one that we made. */
export const isOurs = (secret: string): boolean => secret.startsWith(brand);

export const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** The holder of the hash; every hash is compared in full, so that time tells nothing about them. */
export function findByHash<T extends { hash: string }>(known: readonly T[], hash: string): T | null {
  const wanted = Buffer.from(hash, 'hex');
  return known.filter((key) => timingSafeEqual(Buffer.from(key.hash, 'hex'), wanted))[0] ?? null;
}
