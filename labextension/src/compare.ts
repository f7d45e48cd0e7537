/** Two runs side by side: their totals, the steps that differ, and both timelines on one axis. */

import { el, foreign, several } from './dom.js';
import { Span, Trace, length, tokens } from './record.js';
import { TraceView } from './view.js';
import { count, label, money, oneLine, seconds, shown, stateOf, stateWord, states, total } from './words.js';

const LONG = 4_000; // characters of a value that are shown
const MANY = 200; // steps that are shown

export class CompareView {
  readonly node = el('div', { class: 'om-compare' });

  constructor(a: Trace, b: Trace) {
    const span = Math.max(a.totals.seconds, b.totals.seconds);
    const views = [a, b].map(trace => {
      const view = new TraceView({ span });
      view.show(trace);
      return el('div', {}, el('h4', {}, foreign(oneLine(`${trace.totals.name} ${trace.totals.run}`))), view.node);
    });
    this.node.append(totals(a, b), steps(a, b), ...views);
  }
}

function totals(a: Trace, b: Trace): HTMLElement {
  const rows: [string, (t: Trace) => string][] = [
    ['status', t => states(stateOf(t)).slice(0, 2).join(' ')],
    ['seconds', t => seconds(t.totals.seconds)],
    ['tokens', t => count(tokens(t.totals.usage))],
    ['cost', t => total(t)],
    ['calls', t => count(t.totals.calls)],
    ['cached', t => count(t.totals.cached)]
  ];
  const named = (t: Trace) => el('th', { scope: 'col' }, foreign(t.totals.name), ' ', el('small', {}, t.totals.run));
  const lines = rows.map(([name, said]) => line(name, said(a), said(b)));
  return el('table', { class: 'om-table' }, el('tr', {}, el('td'), named(a), named(b)), ...lines);
}

function line(name: string, one: string, other: string): HTMLElement {
  const differs: Record<string, string> = one === other ? {} : { class: 'om-differs' };
  return el('tr', differs, el('th', { scope: 'row' }, name), el('td', {}, foreign(one)), el('td', {}, foreign(other)));
}

/** The pairs of steps, in the order of the first run; null where the other one has none. */
export function pairs(a: Trace, b: Trace): [Span | null, Span | null][] {
  const left = new Map(a.steps.map(s => [s.id, s]));
  const right = new Map(b.steps.map(s => [s.id, s]));
  return [...new Set([...left.keys(), ...right.keys()])].map(id => [left.get(id) ?? null, right.get(id) ?? null]);
}

function steps(a: Trace, b: Trace): HTMLElement {
  const differ = pairs(a, b).filter(([one, other]) => facts(one) !== facts(other));
  const same = pairs(a, b).length - differ.length;
  const made = several(differ, MANY, ([one, other]) => step(a, b, one, other));
  const head = differ.length ? `${differ.length} of ${differ.length + same} steps differ` : 'Every step is the same';
  return el('div', { class: 'om-steps' }, el('h4', {}, head), ...made);
}

function step(a: Trace, b: Trace, one: Span | null, other: Span | null): HTMLElement {
  const name = one ? label(a, one) : label(b, other!);
  const head = [a, b].map((t, i) => figures(t, i ? other : one)).join(' → ');
  const cells = (['input', 'output', 'error'] as const)
    .filter(part => shown(one?.[part], LONG) !== shown(other?.[part], LONG))
    .map(part => row(SAID[part], one?.[part] ?? null, other?.[part] ?? null));
  const table = el('table', { class: 'om-table om-wide' }, ...cells);
  return el(
    'details',
    {},
    el('summary', {}, el('b', {}, foreign(name)), ' ', el('span', { class: 'om-faint' }, head)),
    table
  );
}

const SAID = { input: 'prompt', output: 'reply', error: 'error' };

function row(name: string, one: unknown, other: unknown): HTMLElement {
  const cell = (value: unknown) =>
    el('td', {}, value !== null && el('pre', { dir: 'auto' }, foreign(shown(value, LONG))));
  return el('tr', {}, el('th', { scope: 'row' }, name), cell(one), cell(other));
}

function figures(trace: Trace, span: Span | null): string {
  if (!span) {
    return `not in ${trace.totals.run}`;
  }
  return [stateWord(span.doubt || span.status), seconds(length(span)), money(span.cost, span.unpriced)].join(', ');
}

function facts(span: Span | null): string {
  return span ? [span.status, ...[span.input, span.output, span.error].map(v => shown(v, LONG))].join('\0') : '';
}
