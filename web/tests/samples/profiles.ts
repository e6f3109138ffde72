/** A whole profile for unit tests. */
import type { ProfileDetail } from '#lib/api/types.ts';

export function sampleProfile(fields: Partial<ProfileDetail> = {}): ProfileDetail {
  const features = fields.features ?? [
    { index: 7, op: 'add', strength: 12, label: 'the sea', sae_id: 'demo', layer: null },
  ];
  return {
    id: 'p1',
    name: 'calm',
    description: null,
    format: 'spec',
    source_kind: 'manual',
    model: null,
    sae_id: 'demo',
    layer: 15,
    layers: [15],
    intensity: 1,
    intensity_range: null,
    feature_count: features.length,
    bound: true,
    is_active: false,
    rung: null,
    rung_language: null,
    edited: false,
    warnings: [],
    created_at: '2026-01-01T00:00:00Z',
    updated_at: '2026-01-01T00:00:00Z',
    ...fields,
    features,
  };
}
