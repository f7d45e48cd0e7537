/** Which spans are rows, from top to bottom: the same choice as in `orchmagic/views/_tree.py`, until a person opens more. */

import { Span, Trace, length, tokens } from './record.js';
import { MARKS, count, label, word } from './words.js';

/** Items of a step that are shown before somebody asks for all. */
export const BESIDE = 12;

const MANY = new Set(['item', 'vote', 'tool']);
const HIDDEN = new Set(['ask', 'attempt']);
const TROUBLE = new Set(['failed', 'waiting', 'cancelled', 'rejected', 'running']);

/** A line of the view. `open` is null where nothing is inside; `place` of `among` counts what stands side by side. */
export interface Row {
  span: Span;
  depth: number;
  open: boolean | null;
  place: number;
  among: number;
}

/** What a person has opened and closed; `all` are the steps of which every item is shown. */
export class Opened {
  readonly closed = new Set<string>();
  readonly all = new Set<string>();
}

/** The rows of a trace. */
export function rowsOf(trace: Trace, opened: Opened): Row[] {
  const found: Row[] = [];
  const walk = (parent: Span | null, depth: number) => {
    const inner = trace.inside(parent);
    const chosen = parent && opened.all.has(parent.id) ? inner : few(inner);
    const shown = chosen.filter(s => !HIDDEN.has(s.kind));
    shown.forEach((span, i) => {
      const parent = trace.inside(span).some(s => !HIDDEN.has(s.kind));
      const open = parent ? !opened.closed.has(span.id) : null;
      found.push({ span, depth, open, place: i + 1, among: shown.length });
      if (open) {
        walk(span, depth + 1);
      }
    });
  };
  walk(null, 0);
  return found;
}

/** All, or of very many items the telling ones and the rest in one. */
export function few(spans: readonly Span[], most = BESIDE): readonly Span[] {
  const items = spans.filter(s => MANY.has(s.kind));
  if (items.length <= most + 1) {
    return spans;
  }
  const kept = chosen(items, most);
  return [...spans.filter(s => !MANY.has(s.kind) || kept.has(s.id)), summed(items.filter(s => !kept.has(s.id)))];
}

/** The ids of the first failures, of the slowest, and of the first ones. */
function chosen(items: readonly Span[], most: number): Set<string> {
  const kept = new Set<string>();
  const keep = (spans: readonly Span[], many: number) => {
    for (const span of spans) {
      if (many <= 0) {
        return;
      }
      if (!kept.has(span.id)) {
        kept.add(span.id);
        many -= 1;
      }
    }
  };
  keep(items.filter(s => TROUBLE.has(s.status)), most / 2); // prettier-ignore
  keep([...items].sort((a, b) => length(b) - length(a)), most / 4); // prettier-ignore
  keep(items, most - kept.size);
  return kept;
}

/** Many in one, so that what is inside a step still adds up to it. */
function summed(spans: readonly Span[]): Span {
  const counts = new Map<string, number>();
  for (const span of spans) {
    counts.set(span.status, (counts.get(span.status) ?? 0) + 1);
  }
  const troubles = [...counts].filter(([status]) => status !== 'done');
  const said = troubles.map(([status, n]) => `${count(n)} ${word(status).toLowerCase()}`).join(', ');
  const { parent, kind } = spans[0];
  const costs = spans.flatMap(s => (s.cost === null ? [] : [s.cost]));
  const sum = (part: 'input' | 'output' | 'cached' | 'reasoning') => spans.reduce((n, s) => n + s.usage[part], 0);
  return {
    ...spans[0],
    id: parent === null ? 'more' : `${parent}/more`,
    kind: 'more',
    name: `${count(spans.length)} more ${kind === 'item' ? 'row' : kind}s${said ? ` (${said})` : ''}`,
    status: counts.has('failed') ? 'failed' : 'done',
    start: spans.reduce((least, s) => Math.min(least, s.start), Infinity),
    end: spans.some(s => s.end === null) ? null : spans.reduce((most, s) => Math.max(most, s.end!), 0),
    usage: { input: sum('input'), output: sum('output'), cached: sum('cached'), reasoning: sum('reasoning') },
    cost: costs.length ? costs.reduce((a, b) => a + b, 0) : null,
    unpriced: spans.reduce((n, s) => n + s.unpriced, 0),
    input: null, output: null, error: null, left_out: Object.fromEntries(counts), why: [], asked: null, doubt: '', cut: []
  }; // prettier-ignore
}

/** The ids of the spans that the run's length hangs on: from the last end back to the start, at each level. */
export function critical(trace: Trace): Set<string> {
  const found = new Set<string>();
  const walk = (spans: readonly Span[]) => {
    for (const span of hanging(spans.filter(s => !HIDDEN.has(s.kind)))) {
      found.add(span.id);
      walk(trace.inside(span));
    }
  };
  walk(trace.steps);
  return found;
}

function hanging(spans: readonly Span[]): Span[] {
  const found: Span[] = [];
  let at = Infinity;
  for (const span of spans.filter(s => s.end !== null).sort((a, b) => b.end! - a.end!)) {
    if (span.end! <= at + 1e-6) {
      found.push(span);
      at = span.start;
    }
  }
  return found;
}

/** `✓ extract 2`: the mark and the label of a row. */
export function heading(trace: Trace, span: Span): string {
  return `${span.kind === 'more' ? ' ' : (MARKS[span.status] ?? '·')} ${label(trace, span)}`;
}

/** The spans that failed and hold nothing that failed: the places to look at. */
export function failures(trace: Trace): Span[] {
  const within = (span: Span) => trace.inside(span).some(s => s.status === 'failed' && !HIDDEN.has(s.kind));
  return trace.spans.filter(s => s.status === 'failed' && !HIDDEN.has(s.kind) && !within(s));
}

/** The attempts of a step's questions that tell a story: an only one that went well is its step. */
export function tries(trace: Trace, step: Span): readonly Span[] {
  const asks = trace.inside(step).filter(s => s.kind === 'ask');
  const found = asks.flatMap(ask => {
    const inner = trace.inside(ask);
    return inner.length ? inner : ask.age === null && !ask.recalled ? [ask] : [];
  });
  return found.length === 1 && found[0].status === 'done' ? [] : found;
}

/** Tokens and cost as a row shows them. */
export function spends(span: Span): boolean {
  return tokens(span.usage) > 0;
}
