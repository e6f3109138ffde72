import { z } from 'zod';
import type { ApiKeyRow } from './repository.ts';

export const scopeNames = ['inference', 'manage'] as const;
export type Scope = (typeof scopeNames)[number];

const scopes = z
  .array(z.enum(scopeNames))
  .min(1, 'name at least one scope: inference or manage')
  .transform((names) => scopeNames.filter((name) => names.includes(name)));
const name = z.string().trim().min(1).max(100);

export const newKeyBody = z
  .object({
    name: name.describe('What or whom it is for.'),
    scopes: scopes
      .default(['inference'])
      .describe(
        'inference: /v1, /tokenize and reading activations; manage: everything under /api, and the live views.',
      ),
    expires_at: z.iso.datetime({ offset: true }).nullish().describe('When it stops working; never unless given.'),
  })
  .strict()
  .meta({ id: 'NewApiKey' });

export type NewKeyBody = z.output<typeof newKeyBody>;

export const keyChangeBody = z.object({ name }).strict();

export const keyWire = z
  .object({
    id: z.string(),
    name: z.string(),
    prefix: z.string().describe('How the secret begins.'),
    scopes: z.array(z.enum(scopeNames)),
    status: z.enum(['active', 'expired', 'revoked']),
    created_at: z.string(),
    expires_at: z.string().nullable(),
    last_used_at: z.string().nullable().describe('To the minute.'),
    revoked_at: z.string().nullable(),
  })
  .meta({ id: 'ApiKey' });

export const createdKeyWire = keyWire
  .extend({ secret: z.string().describe('Shown in this answer alone: it is not stored.') })
  .meta({ id: 'CreatedApiKey' });

export const isExpired = (row: Pick<ApiKeyRow, 'expiresAt'>, now: number) =>
  row.expiresAt !== null && row.expiresAt.getTime() <= now;

export const toWire = (row: ApiKeyRow): z.output<typeof keyWire> => ({
  id: row.id,
  name: row.name,
  prefix: row.prefix,
  scopes: scopeNames.filter((scope) => row.scopes.includes(scope)),
  status: row.revokedAt !== null ? 'revoked' : isExpired(row, Date.now()) ? 'expired' : 'active',
  created_at: row.createdAt.toISOString(),
  expires_at: row.expiresAt?.toISOString() ?? null,
  last_used_at: row.lastUsedAt?.toISOString() ?? null,
  revoked_at: row.revokedAt?.toISOString() ?? null,
});
