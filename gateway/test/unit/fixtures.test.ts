import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { errorBody, generateEvent } from '../../src/inference/contract.ts';

const folder = new URL('../../../proto/fixtures/', import.meta.url);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
const events = readdirSync(folder).filter((name) => name.startsWith('generate-event.'));

describe('golden messages of the contract', () => {
  it('has one for every kind of event', () => {
    const kinds = generateEvent.options.map((option) => option.shape.type.value).sort();
    expect(events.map((name) => name.split('.')[1]).sort()).toEqual(kinds);
  });

  it.each(events)('%s is parsed and written again unchanged', (name) => {
    expect(generateEvent.parse(read(name))).toEqual(read(name));
  });

  it('error-body.json is parsed and written again unchanged', () => {
    expect(errorBody.parse(read('error-body.json'))).toEqual(read('error-body.json'));
  });

  it('refuses an event with a type nobody knows', () => {
    expect(generateEvent.safeParse({ type: 'later' }).success).toBe(false);
  });
});
