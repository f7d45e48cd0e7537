import { describe, expect, it } from 'vitest';
import { length, tokens } from '../src/record.js';
import { Trace } from '../src/record.js';
import { Opened, critical, failures, few, rowsOf } from '../src/rows.js';
import {
  MARKS,
  cache,
  fallback,
  headline,
  label,
  models,
  money,
  oneLine,
  parts,
  path,
  score,
  seconds,
  shown,
  total,
  waits
} from '../src/words.js';
import { data, golden, head, large, lines } from './golden.js';

describe('the golden trace', () => {
  const trace = golden();
  const hangs = critical(trace);

  it('has the headline of the static views', () => {
    expect(headline(trace)).toBe(head.headline);
  });

  it('has the rows of the static views, in their words', () => {
    const found = rowsOf(trace, new Opened()).map(({ span: s, depth }) => ({
      id: s.id, depth, label: label(trace, s), mark: s.kind === 'more' ? '' : (MARKS[s.status] ?? '·'),
      seconds: seconds(length(s)), tokens: tokens(s.usage), cost: money(s.cost), cache: cache(trace, s),
      models: models(trace, s), parts: parts(trace, s), waits: waits(s), fallback: fallback(trace, s), score: score(trace, s), path: path(s.id), out: oneLine(s.output),
      critical: depth === 0 && hangs.has(s.id)
    })); // prettier-ignore
    expect(found).toEqual(lines);
  });

  it('tells where it failed', () => {
    expect(failures(trace).map(s => s.id)).toEqual(['urgent#1/4']);
  });

  it('is refused when a newer version wrote it, in words for a person', () => {
    expect(() => new Trace({ ...data, version: 2 })).toThrow('trace version 2: this orchmagic reads version 1');
    expect(() => new Trace('<b>')).toThrow('this is no trace');
    const damaged: [unknown, string][] = [[undefined, 'missing'], [null, 'null'], [{}, 'of type object'], ['[]', 'of type string'], [3, 'of type number']]; // prettier-ignore
    for (const [spans, is] of damaged) {
      expect(() => new Trace({ ...data, spans })).toThrow(`its "spans" must be a list, but it is ${is}`);
    }
  });
});

describe('words', () => {
  it.each([
    [0.012, '12 ms'],
    [3.44, '3.4 s'],
    [125, '2 min 5 s']
  ])('says %s seconds as %s', (value, said) => {
    expect(seconds(value)).toBe(said);
  });

  it.each([
    [null, 'No price known'],
    [0, '$0'],
    [1e-7, '<$0.000001'],
    [0.0042, '$0.0042'],
    [0.5, '$0.50'],
    [1234.5, '$1,234.50']
  ])('says %s dollars as %s', (value, said) => {
    expect(money(value)).toBe(said);
  });

  it('never says that what has no price is free, or that a part is all', () => {
    expect(money(0.0042, 2)).toBe('$0.0042, plus 2 calls without a price');
    expect(money(0, 1)).toBe('No price known (1 call)');
    const spent = (cost: number, unpriced: number) => total(new Trace({ ...data, cost, unpriced }));
    expect(spent(0.0042, 0)).toBe('$0.0042');
    expect(spent(0.0042, 1)).toBe('$0.0042, plus 1 call without a price');
    expect(spent(0, 2)).toBe('No price known (2 calls)');
  });

  it('takes control characters and marks of direction out of texts', () => {
    expect(shown('a\x1b[31mb\u202ec\x00\ud800d\ttab\nline 😀')).toBe('a\ufffdb\ufffdc\ufffd\ufffdd\ttab\nline 😀');
  });

  it('cuts long texts, and says once how long they were', () => {
    expect(shown('x'.repeat(60), 10)).toBe(`${'x'.repeat(10)}… cut, 60 characters in all`);
    const saved = `${'x'.repeat(10)}… cut, 9,000 characters in all`; // cut at the same limit already
    expect(shown(saved, 10)).toBe(saved);
  });
});

describe('rows', () => {
  it('of very many items are the failed, the slowest and the first ones, and one line for the rest', () => {
    const trace = large(40);
    const found = rowsOf(trace, new Opened());
    expect(found).toHaveLength(14);
    expect(found.map(r => r.span.id)).toContain('map#1/3');
    expect(found[13].span.name).toBe('28 more rows');
    expect(few(trace.inside(trace.steps[0])).reduce((n, s) => n + s.usage.input, 0)).toBe(4_000);
  });

  it('are all there once somebody asks, and none of what is closed', () => {
    const trace = large(40);
    const opened = new Opened();
    opened.all.add('map#1');
    expect(rowsOf(trace, opened)).toHaveLength(41);
    opened.closed.add('map#1');
    expect(rowsOf(trace, opened)).toHaveLength(1);
  });
});
