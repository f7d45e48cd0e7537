/** Saved traces of somebody else: whatever they hold, they are drawn in bounded work, and nothing of them runs. */

import { describe, expect, it } from 'vitest';
import { CompareView } from '../src/compare.js';
import { RunCard } from '../src/card.js';
import { Details } from '../src/detail.js';
import { Trace } from '../src/record.js';
import { headline, shown } from '../src/words.js';

const X =
  '<img src=x onerror="window.PWNED=1"><script>window.PWNED=2</script><iframe src="http://127.0.0.1:9"></iframe>\x1b[31m\u202eg';

const span = (id: string, more: object = {}) => ({
  id, parent: null, kind: 'call', name: id, status: 'done', start: 0, end: 1,
  usage: { input: 1, output: 1, cached: 0, reasoning: 0 }, cost: 0.1, ...more
}); // prettier-ignore
const many = (n: number, made: (i: number) => object) => Array.from({ length: n }, (_, i) => made(i));
const run = (spans: unknown, more: object = {}) => ({
  version: 1, run: 'r1', name: 'n', pattern: 'chain', status: 'done', seconds: 2, spans, ...more
}); // prettier-ignore
const nested = (depth: number) => {
  let value: unknown = [];
  for (let i = 0; i < depth; i += 1) {
    value = i % 2 ? [value] : { a: value };
  }
  return value;
};
const numbers = many(300_000, i => i as unknown as object);

const CASES: Record<string, unknown> = {
  markup: run([
    span(X, { kind: X, status: X, model: X, provider: X, error: X, why: [X], input: [{ role: X, content: X }], output: X }),
    span('f', { status: 'failed', error: X, input: X, asked: { question: X, choices: [X], value: X } })
  ], { run: X, name: X, pattern: X, status: X, error: X, reason: X, inputs: { [X]: X }, output: { [X]: X }, started: X }),
  types: run([{ id: 5, parent: {}, kind: [], name: null, status: 7, start: 'x', end: {}, usage: 'no', why: 'text', cost: 'free', input: 3, asked: 4, left_out: [1] }]),
  'spans of other types': run([null, 3, 'x', [], [[]], { left_out: null, why: [null, 3, {}] }]),
  prototypes: run([JSON.parse('{"__proto__": {"polluted": 1}, "id": "constructor", "parent": "__proto__"}'), span('__proto__', { status: 'constructor' })]),
  'huge numbers': run([span('a', { start: 1e308, end: -1e308, cost: 1e308, usage: { input: 1e308 } })], { seconds: 1e308 }),
  'a span inside itself': run([span('a'), span('a', { parent: 'a' }), span('b', { parent: 'b' })]),
  'a circle of parents': run([span('r'), span('a', { parent: 'b', status: 'failed' }), span('b', { parent: 'a' })]),
  'spans 20,000 deep': run(many(20_000, i => span(`s${i}`, { parent: i ? `s${i - 1}` : null, kind: 'sub' }))),
  '100,000 steps': run(many(100_000, i => span(`s${i}`))),
  '100,000 items': run([span('m'), ...many(100_000, i => span(`m/${i}`, { parent: 'm', kind: 'item', age: 1 }))]),
  '130,000 calls': run([span('m'), ...many(130_000, i => span(`m/${i}`, { parent: 'm', kind: 'ask', age: 1, model: `m${i}` }))]),
  '100,000 failures': run(many(100_000, i => span(`s${i}`, { status: 'failed', error: 'e', input: numbers }))),
  '300,000 numbers': run([span('a', { output: numbers, input: numbers, asked: { question: 'q', choices: numbers, value: numbers } })], { output: numbers, inputs: { numbers } }),
  '100,000 messages': run([span('a', { input: many(100_000, () => ({ role: 'user', content: X })) })]),
  'many long reasons': run([span('a', { why: many(100_000, () => `fell back ${' to x'.repeat(50)}` as unknown as object) })]),
  'long texts': run([span('a', { error: `a${' '.repeat(2e6)}b`, status: 'failed', output: 'x'.repeat(2e7) })], { error: ' '.repeat(2e6), output: ' '.repeat(5e6), name: 'n'.repeat(2e6) }),
  'cut marks': run([span('a', { output: '… ('.repeat(300_000) })], { output: '… (1'.repeat(300_000) }),
  'escape sequences': run([span('a', { output: '\x1b['.repeat(400_000) })], { output: '\x1b[0'.repeat(400_000) }),
  'a value nested in itself': run([span('a', { output: nested(3000) })], { output: nested(3000) }),
  'a card of other types': run([span('a')], { card: { state: [], why: {}, graph: 5, answer: 7, table: 'x', pending: {}, items: 'x', says: 3, limits: [] } }),
  'a table of 300,000 rows': run([span('a')], { card: { table: { columns: numbers, rows: numbers.map(n => `[2,${JSON.stringify(n)},"<img src=x>"]`), total: {} } } }),
  'a graph with scripts': run([span('a')], { card: { graph: `<svg onload="window.PWNED=1"><script>window.PWNED=1</script><image href="x"/><a href="javascript:1"><text>t</text></a><foreignObject>${X}</foreignObject></svg>` } }),
  'a huge graph': run([span('a')], { card: { graph: `<svg>${'<g><text>t</text></g>'.repeat(50_000)}</svg>` } }),
  'lines that are no JSON': run(['{', '[]', '"x"', 'null', '{"id": "a"}', 'x'.repeat(1e6)]),
  'an object of many keys': run([span('a', { kind: 'item', input: Object.fromEntries(numbers.map(n => [`k${JSON.stringify(n)}`, []])) })])
}; // prettier-ignore

/** Milliseconds of this process's work: other processes of the machine do not count. */
async function work(does: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await does();
  return process.cpuUsage(before).user / 1000;
}

describe('a hostile trace', () => {
  for (const [what, data] of Object.entries(CASES)) {
    it(`of ${what} is drawn in bounded work, as text`, async () => {
      const view = new RunCard();
      const took = await work(async () => {
        const trace = new Trace(data);
        await view.show(trace);
        document.body.replaceChildren(view.node);
        headline(trace);
        for (const one of trace.spans.slice(0, 3)) {
          new Details({}).show(trace, one);
        }
      });
      for (const part of [
        '.om-lead',
        '.om-row.om-kind-call',
        '.om-twist',
        '.om-kind-more',
        '.om-tab-button:last-child'
      ]) {
        view.node.querySelector<HTMLElement>(part)?.click();
      }
      expect(view.node.querySelectorAll('img, script, iframe, image, a, foreignObject')).toHaveLength(0);
      expect((window as unknown as { PWNED?: number }).PWNED).toBeUndefined();
      expect(({} as { polluted?: number }).polluted).toBeUndefined();
      expect(view.node.querySelectorAll('*').length).toBeLessThan(25_000);
      expect(view.node.textContent.length).toBeLessThan(2_000_000);
      expect(view.node.textContent).not.toMatch(/\x1b|\u202e/);
      expect(took).toBeLessThan(1_500);
    }, 60_000);
  }

  it('is compared in bounded work', () => {
    const steps = new Trace(CASES['100,000 steps']);
    const other = new Trace(CASES['300,000 numbers']);
    const view = new CompareView(steps, other);
    expect(view.node.querySelectorAll('.om-steps details').length).toBeLessThan(300);
    expect(view.node.textContent).toContain('more');
  }, 60_000);

  it('says how many spans it does not show', async () => {
    const left = (name: string) => new Trace(CASES[name]).left;
    expect(left('100,000 steps')).toBe(80_000);
    expect(left('a circle of parents')).toBe(2);
    expect(left('spans 20,000 deep')).toBe(20_000 - 101);
    const view = new RunCard();
    await view.show(new Trace(CASES['100,000 steps']));
    expect(view.node.querySelector('.om-left')!.textContent).toBe('80,000 more spans are not shown');
  }, 60_000);

  it('shows the first entries of a long list, and how many more there are', () => {
    expect(shown(numbers, 200)).toMatch(/^\[0, 1, 2, .*… \(299,800 more\)$/);
    expect(shown('x'.repeat(1e6), 100)).toBe(`${'x'.repeat(100)}… cut, 1,000,000 characters in all`);
  });
});
