import { describe, expect, it } from 'vitest';
import { amend, searchLabels, searchable, stem } from '../../src/features/search.ts';

const labels = new Map([
  [5, 'Jokes about ducks'],
  [7, 'a joke'],
  [20, 'joke'],
  [21, 'ship names'],
  [30, 'studies of the sea, running'],
  [31, 'Über 100%_sure'],
]);
const find = (query: string) => searchLabels(searchable(labels), query);

describe('searching labels', () => {
  it('finds words in any form, all of them, in any order', () => {
    expect(find('duck joking')).toEqual([5]);
    expect(find('study')).toEqual([30]);
    expect(find('runs sea')).toEqual([30]);
    expect(find('ducks ships')).toEqual([]);
  });

  it('puts the closest first: the same, a beginning, whole words, a part', () => {
    expect(find('joke')).toEqual([20, 5, 7]);
    expect(find('hip nam')).toEqual([21]);
    expect(find('ÜBER')).toEqual([31]);
    expect(find('100%_s')).toEqual([31]);
  });

  it('puts the feature of a number before everything', () => {
    expect(find('20')).toEqual([20]);
    expect(find('100')).toEqual([31]);
    expect(
      searchLabels(
        searchable(
          new Map([
            [1, 'about 20'],
            [20, 'x'],
          ]),
        ),
        '20',
      ),
    ).toEqual([20, 1]);
  });

  it('takes nothing for everything, and odd characters for themselves', () => {
    expect(find(' ')).toHaveLength(6);
    for (const odd of ['\\', '"', '((', '%%%', '***']) expect(find(odd)).toEqual([]);
  });

  it('finds after edits in place what a fresh start would find', () => {
    const edited = new Map(labels);
    const amended = searchable(edited);
    let state = 7;
    const random = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below;
    for (let edit = 0; edit < 500; edit += 1) {
      const [index, label] = [random(40), random(3) === 0 ? null : `Label ${random(10)}`];
      if (label === null) edited.delete(index);
      else edited.set(index, label);
      amend(amended, index, label);
      expect(amended).toEqual(searchable(edited));
    }
  });

  it('is fast over many labels', () => {
    const many = searchable(
      new Map(Array.from({ length: 65_536 }, (_, n) => [n, `harbour and recipe in river number ${n}`])),
    );
    const startedAt = performance.now();
    expect(searchLabels(many, 'river recipes')).toHaveLength(65_536);
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  it('shortens words to what their forms share', () => {
    expect(['jokes', 'joking', 'joked', 'joke'].map(stem)).toEqual(['jok', 'jok', 'jok', 'jok']);
    expect(['running', 'classes', 'bus', 'sing', 'city'].map(stem)).toEqual(['run', 'class', 'bus', 'sing', 'cit']);
  });
});
