// The dashboard for Grafana: well formed, every query parses, and every metric it names is one of ours.
import { readFileSync } from 'node:fs';
import { parser } from '@prometheus-io/lezer-promql';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createMetrics } from '../../src/metrics/metrics.ts';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');
const datasource = z.object({ type: z.literal('prometheus'), uid: z.literal('${datasource}') });
const position = z.object({
  x: z.int().min(0).max(23),
  y: z.int().min(0),
  w: z.int().min(1).max(24),
  h: z.int().min(1),
});

/** As much of Grafana's model as this file uses. */
const panel = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('row'),
    id: z.int(),
    title: z.string().min(1),
    collapsed: z.literal(false),
    gridPos: position,
    panels: z.array(z.never()),
  }),
  z.strictObject({
    type: z.enum(['timeseries', 'stat']),
    id: z.int(),
    title: z.string().min(1),
    description: z.string(),
    datasource,
    gridPos: position,
    fieldConfig: z.object({ defaults: z.object({ unit: z.string(), min: z.number() }), overrides: z.array(z.never()) }),
    options: z.record(z.string(), z.unknown()),
    targets: z
      .array(z.strictObject({ refId: z.string(), datasource, expr: z.string().min(1), legendFormat: z.string() }))
      .min(1),
  }),
]);
const dashboard = z.object({
  title: z.string().min(1),
  uid: z.string().regex(/^[\w-]{1,40}$/),
  schemaVersion: z.int().min(36),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.enum(['datasource', 'query']) })) }),
  time: z.object({ from: z.string(), to: z.string() }),
  panels: z.array(panel).min(1),
});
const { panels, templating } = dashboard.parse(JSON.parse(read('docs/deploy/grafana/millm.json')));
const expressions = panels.flatMap((shown) => (shown.type === 'row' ? [] : shown.targets.map(({ expr }) => expr)));

/** Grafana puts a duration and a pattern in before Prometheus sees the query. */
const filledIn = (expr: string) => expr.replaceAll('$__rate_interval', '1m').replaceAll('$model', '.*');

function namesIn(expr: string): string[] {
  const names: string[] = [];
  parser.parse(expr).iterate({
    enter({ type, from, to }) {
      if (type.isError) throw new Error(`${expr}\n${' '.repeat(from)}^ does not parse`);
      if (type.name === 'Identifier' && expr[to] !== '(') names.push(expr.slice(from, to));
    },
  });
  return names;
}

function known(): Set<string> {
  const own = createMetrics({ state: () => null, nameOf: async (id) => id }).names();
  const ofSidecar = [...read('inference/millm_inference/metrics.py').matchAll(/"(millm:engine_\w+)"/g)].map(
    ([, name = '']) => name,
  );
  const all = [...own.map(({ name }) => name), ...ofSidecar];
  return new Set(all.flatMap((name) => ['', '_bucket', '_sum', '_count', '_total'].map((end) => name + end)));
}

describe('the dashboard for Grafana', () => {
  it('names only metrics that exist', () => {
    const names = known();
    const used = expressions.flatMap((expr) => namesIn(filledIn(expr)));
    expect(used.length).toBeGreaterThan(30);
    expect([...new Set(used.filter((name) => !names.has(name)))]).toEqual([]);
  });

  it('shows every metric of ours that a request moves', () => {
    const shown = expressions.join('\n');
    const ours = createMetrics({ state: () => null, nameOf: async (id) => id }).names();
    const requests = ours.filter(({ name }) => name.startsWith('millm:') && /request|token|latency|cache/.test(name));
    expect(requests.map(({ name }) => name).filter((name) => !shown.includes(name))).toEqual([]);
  });

  it('has panels with ids of their own that do not overlap, and variables that its queries name', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'model']);
    expect(() => namesIn('sum(rate(x[1m])')).toThrow('does not parse');
  });
});
