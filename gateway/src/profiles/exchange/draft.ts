// What every document becomes before it is bound and stored, and the notes that reading it leaves. Pure.
import type { SteeringFeature } from '../../steering/schemas.ts';

export const formats = ['spec', 'p3', 'p1', 'cluster', 'circuit', 'probe'] as const;
export type Format = (typeof formats)[number];

/** An SAE as a document names it; null = not said. */
export interface Target {
  layer: number | null;
  saeId: string | null;
  repoId: string | null;
  path: string | null;
  nFeatures: number | null;
  dModel: number | null;
  hookType: string | null;
}

export interface DraftFeature {
  /** Which of the draft's targets it steers. */
  target: number;
  index: number;
  /** Effective at intensity 1: the sign rule is already applied. */
  strength: number | null;
  op: NonNullable<SteeringFeature['op']>;
  label: string | null;
  /** The rest of the operation: value, min, max, when, scope. */
  options: Record<string, unknown> | null;
  /** An SAE of ours, named by the entry itself. */
  saeId: string | null;
  path: string;
  /** What people call this entry: a P1 key or an index. */
  key: string;
}

export interface Draft {
  format: Format;
  name: string;
  description: string | null;
  modelName: string | null;
  quantization: string | null;
  targets: Target[];
  intensity: number;
  intensityRange: [number, number] | null;
  features: DraftFeature[];
  rung: number | null;
  /** As received, numbers exact. */
  document: unknown;
}

export interface Problem {
  path: string;
  value: unknown;
  reason: string;
}

/** A bad entry can be left out on request; a problem of the whole document cannot. */
export interface BadEntry extends Problem {
  key: string;
}

export interface Notes {
  problems: Problem[];
  entries: BadEntry[];
  warnings: string[];
}

export const newNotes = (): Notes => ({ problems: [], entries: [], warnings: [] });

export type Reading = { draft: Draft; notes: Notes };

export const noTarget: Target = {
  layer: null,
  saeId: null,
  repoId: null,
  path: null,
  nFeatures: null,
  dModel: null,
  hookType: null,
};
