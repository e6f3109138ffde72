// A stored profile as the writer of documents wants it. Pure.
import { parseJson } from './exchange/json.ts';
import { read } from './exchange/read.ts';
import { recognise } from './exchange/recognise.ts';
import type { Exportable } from './exchange/write.ts';
import type { ProfileRecord } from './repository.ts';

/** A document's own dial is in the document; a profile made here has no other than its own. */
export function toExportable(profile: ProfileRecord): Exportable {
  const { document, intensityMin: low, intensityMax: high } = profile;
  const intensityRange: [number, number] | null = low === null || high === null ? null : [low, high];
  if (document === null) return { ...profile, intensityRange };
  const { value, exact } = parseJson(document);
  const recognised = recognise(
    { ...(profile.format === 'cluster' && { kind: 'mistudio.cluster-definition' }), ...Object(value) },
    exact,
  );
  const intensity = recognised.kind === 'bundle' ? 1 : read(recognised, []).draft.intensity;
  return { ...profile, intensity, intensityRange };
}
