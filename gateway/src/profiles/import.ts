// Import of any known document, one profile or a bundle: everything is stored or reported, nothing silently lost.
import { AppError } from '../errors.ts';
import { admit } from './admit.ts';
import type { World } from './admit.ts';
import type { Format } from './exchange/draft.ts';
import { parseJson } from './exchange/json.ts';
import { read } from './exchange/read.ts';
import type { Dropped } from './exchange/read.ts';
import { recognise, recogniseItem, refuseTooLarge } from './exchange/recognise.ts';
import type { Recognised } from './exchange/recognise.ts';
import { NameTaken } from './repository.ts';
import type { NewProfile, ProfileRecord, ProfileRepository } from './repository.ts';

export interface ImportOptions {
  activate: boolean;
  acknowledge: boolean;
  onConflict: 'rename' | 'fail';
  onInvalid: 'refuse' | 'skip';
  saeId: string | null;
  /** Only these, on routes that take some kinds only. */
  formats?: readonly Format[];
}

export interface ImportResult {
  name: string;
  status: 'imported' | 'imported_unbound' | 'blocked' | 'error';
  profile_id: string | null;
  warnings: string[];
  dropped: Dropped[];
  error: { code: string; message: string; details: Record<string, unknown> } | null;
}

export interface ImportReport {
  results: ImportResult[];
  imported: number;
  blocked: number;
  errors: number;
}

export interface ImportDeps {
  profiles: ProfileRepository;
  world: (modelName: string | null) => Promise<World>;
  activate: (id: string, isAcknowledged: boolean) => Promise<unknown>;
}

type Single = Exclude<Recognised, { kind: 'bundle' }>;

const mostNames = 1_000;

export function importer({ profiles, world, activate }: ImportDeps) {
  async function importOne(
    document: Single,
    duplicates: readonly string[],
    options: ImportOptions,
  ): Promise<ImportResult> {
    const reading = read(document, duplicates);
    if (options.formats && !options.formats.includes(reading.draft.format)) {
      const message = `A ${reading.draft.format} document is imported at /api/profiles/import.`;
      throw new AppError('VALIDATION_ERROR', message, { details: { format: reading.draft.format } });
    }
    const { profile, status, dropped } = admit(reading, await world(reading.draft.modelName), options);
    const stored = await store(profile, options.onConflict);
    const warnings = [...stored.warnings];
    if (stored.name !== profile.name)
      warnings.unshift(`The name "${profile.name}" is taken, so it is called "${stored.name}".`);
    if (options.activate) warnings.push(...(await tryToActivate(stored, options)));
    return { name: stored.name, status, profile_id: stored.id, warnings, dropped, error: null };
  }

  async function tryToActivate({ id }: ProfileRecord, { acknowledge }: ImportOptions): Promise<string[]> {
    try {
      await activate(id, acknowledge);
      return [];
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return [`Not activated: ${error.message}`];
    }
  }

  /** Names are unique; on import the next free one is taken, unless that is a reason to fail. */
  async function store(profile: NewProfile, onConflict: 'rename' | 'fail'): Promise<ProfileRecord> {
    for (let copy = 1; copy < mostNames; copy += 1) {
      const name = copy === 1 ? profile.name : `${profile.name} (${copy})`;
      try {
        return await profiles.create({ ...profile, name });
      } catch (error) {
        if (!(error instanceof NameTaken)) throw error;
        if (onConflict === 'fail') throw nameConflict(name);
      }
    }
    throw nameConflict(profile.name);
  }

  async function importItem(
    item: { value: unknown; exact: unknown },
    prefix: string,
    duplicates: readonly string[],
    options: ImportOptions,
  ): Promise<ImportResult> {
    const given = (item.value as { name?: unknown } | null)?.name;
    const own = duplicates.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length + 1));
    try {
      const recognised = recogniseItem(item.value, item.exact);
      if (recognised.kind === 'bundle') throw new AppError('VALIDATION_ERROR', 'A bundle holds no bundles.');
      return await importOne(recognised, own, options);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const { code, message, details } = error;
      const status = code === 'CONFLICT' ? 'blocked' : 'error';
      const name = typeof given === 'string' ? given : '';
      return { name, status, profile_id: null, warnings: [], dropped: [], error: { code, message, details } };
    }
  }

  /** One document: refused as a whole. A bundle: each item for itself; refused only when nothing of it was imported. */
  return async function importDocument(text: string, options: ImportOptions): Promise<ImportReport> {
    const { value, exact, duplicates } = parseJson(text);
    const kind = (value as { kind?: unknown } | null)?.kind;
    refuseTooLarge(Buffer.byteLength(text), kind);
    const recognised = recognise(value, exact);
    const unwrapped =
      'kind' in Object(value) || !('success' in Object(value))
        ? duplicates
        : duplicates.map((path) => path.replace(/^data\./, ''));
    if (recognised.kind !== 'bundle') return report([await importOne(recognised, unwrapped, options)]);
    const results: ImportResult[] = [];
    for (const [position, item] of recognised.items.entries()) {
      results.push(await importItem(item, `definitions[${position}]`, unwrapped, options));
    }
    const done = report(results);
    if (done.imported > 0) return done;
    throw new AppError('VALIDATION_ERROR', 'No definition of the bundle could be imported.', { details: { ...done } });
  };
}

const nameConflict = (name: string) =>
  new AppError('CONFLICT', `There is already a profile named "${name}".`, { param: 'name', details: { name } });

function report(results: ImportResult[]): ImportReport {
  const count = (...statuses: ImportResult['status'][]) =>
    results.filter(({ status }) => statuses.includes(status)).length;
  return {
    results,
    imported: count('imported', 'imported_unbound'),
    blocked: count('blocked'),
    errors: count('error'),
  };
}
