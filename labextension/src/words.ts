/** The same words as `orchmagic/trace/humanize.py` and `summary.py`; a golden trace is read by the tests of both. */

import { Span, Trace, Usage, length, tokens } from './record.js';

export const MARKS: Record<string, string> = Object.assign(Object.create(null) as Record<string, string>, {
  done: '✓', failed: '✗', skipped: '-', retried: '↻', running: '●', waiting: '?', cancelled: '■', capped: '◔', rejected: '✗', lost: '■',
  'with failures': '!', 'not verified': '!', 'low confidence': '!', 'check said no': '!'
}); // prettier-ignore

const WORDS: Record<string, string> = Object.assign(Object.create(null) as Record<string, string>, {
  done: 'Done', failed: 'Failed', skipped: 'Not run', retried: 'Tried again', running: 'Running', waiting: 'Waiting for you',
  cancelled: 'Stopped', capped: 'Stopped at its limit', rejected: 'Rejected', lost: 'Interrupted (kernel gone)',
  'with failures': 'Done, with failures', 'not verified': 'Not verified', 'low confidence': 'Low confidence', 'check said no': 'Check said no'
}); // prettier-ignore

/** `Stopped at its limit` for `capped`: how a run or a step ended, as `orchmagic/trace/marks.py` says it. */
export function word(status: string): string {
  return WORDS[status] ?? status;
}

const TONES: Record<string, string> = {
  done: 'good', failed: 'bad', rejected: 'bad', waiting: 'wait', running: 'run'
}; // prettier-ignore

/** What a person must know of a run: its status, unless something in it is in doubt. */
export function stateOf(trace: Trace): string {
  const { status, doubt } = trace.totals;
  return status === 'done' ? doubt || status : status;
}

/** Sign, word and tone of a state. */
export function states(state: string): readonly [string, string, string] {
  return [MARKS[state] ?? '·', oneLine(word(state), 30), Object.hasOwn(TONES, state) ? TONES[state] : 'warn'];
}

/** The status of a span within a line: `stopped at its limit`. */
export function stateWord(status: string): string {
  return oneLine(word(status), 30).toLowerCase();
}

/** The mark of a row: never a tick for what is in doubt, none for a sum of others. */
export function markOf(span: Span): string {
  if (span.kind === 'more') {
    return '';
  }
  return span.doubt ? '!' : span.status === 'pending' ? '○' : (MARKS[span.status] ?? '·');
}

/** `~` before figures that are estimated: the endpoint sent no counts. */
export function tilde(usage: Usage): string {
  return usage.estimated ? '~' : '';
}

const CONTROL =
  /\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const SLACK = 40; // characters that a text may be over its limit: a saved record holds it cut, with a note of its length
const LINES = 40; // of a value that is shown with a line for each entry
const NODES = 5_000; // parts of a value that are read
const DEEPEST = 40; // values inside each other that are read
const NAMED = 5; // models that are named
const MOST = 0.4; // of the run's time: a step that took as much is called slow

/** `12 ms`, `3.4 s`, `2 min 5 s`. */
export function seconds(value: number): string {
  if (value < 1) {
    return `${(value * 1000).toFixed(0)} ms`;
  }
  return value < 60 ? `${value.toFixed(1)} s` : `${Math.floor(value / 60)} min ${(value % 60).toFixed(0)} s`;
}

/** `$0.0042`; with `unpriced` calls `$0.0042, plus 2 calls without a price` or `No price known (2 calls)`. */
export function money(value: number | null, unpriced = 0): string {
  const many = `${count(unpriced)} ${unpriced === 1 ? 'call' : 'calls'}`;
  if (value === null || (unpriced && !value)) {
    return unpriced ? `No price known (${many})` : 'No price known';
  }
  if (unpriced) {
    return `${money(value)}, plus ${many} without a price`;
  }
  if (value === 0) {
    return '$0';
  }
  if (value < 1e-6) {
    return '<$0.000001';
  }
  if (value >= 1) {
    return `$${value.toLocaleString('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  }
  return `$${value
    .toFixed(value >= 0.001 ? 4 : 6)
    .replace(/0+$/, '')
    .padEnd(4, '0')}`;
}

/** The run's cost, with the number of calls whose price is unknown. */
export function total(trace: Trace): string {
  return money(trace.totals.cost, trace.totals.unpriced);
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `from cache`, `2 of 3 from cache`, `replayed`, or nothing. */
export function cache(trace: Trace, step: Span): string {
  const asks = [...trace.below(step)].filter(s => s.kind === 'ask');
  const hits = asks.flatMap(s => (s.age === null ? [] : [s.age]));
  if (asks.length && asks.every(s => s.recalled)) {
    return 'replayed';
  }
  if (!hits.length) {
    return '';
  }
  return hits.length === asks.length ? 'from cache' : `${count(hits.length)} of ${count(asks.length)} from cache`;
}

/** The models that answered in a step and in all that is inside it. */
export function models(trace: Trace, step: Span): string {
  const found = [...trace.below(step)].filter(s => s.kind === 'ask' && s.model).map(s => s.model);
  const named = [...new Set(found)];
  const more = named.length > NAMED ? [`${count(named.length - NAMED)} more`] : [];
  return [...named.slice(0, NAMED).map(model => oneLine(model)), ...more].join(', ');
}

/** `40 rows, 2 failed`, `5 votes`, or nothing: what a step did side by side. */
export function parts(trace: Trace, step: Span): string {
  const inner = trace.inside(step).filter(s => s.kind === 'item' || s.kind === 'vote');
  if (!inner.length) {
    return '';
  }
  const rest = trace.inside(step).flatMap(s => Object.entries(s.left_out));
  const sum = (chosen: (status: string) => boolean) =>
    inner.filter(s => chosen(s.status)).length + rest.reduce((n, [status, many]) => n + (chosen(status) ? many : 0), 0);
  const all = sum(() => true);
  const told = [`${count(all)} ${inner[0].kind === 'item' ? 'row' : 'vote'}${all === 1 ? '' : 's'}`];
  for (const status of ['failed', 'running', 'waiting', 'cancelled', 'rejected']) {
    const many = sum(s => s === status);
    if (many) {
      told.push(`${count(many)} ${word(status).toLowerCase()}`);
    }
  }
  const agreement = (step.output as { agreement?: unknown } | null)?.agreement;
  if (typeof agreement === 'number') {
    told.push(`agreement ${(agreement * 100).toFixed(0)}%`);
  }
  return told.join(', ');
}

/** What a waiting step waits for, or nothing. */
export function waits(span: Span, limit = 60): string {
  return span.status === 'waiting' && span.asked ? `waits for: ${oneLine(span.asked.question, limit)}` : '';
}

/** The scores of the rounds so far, or nothing. */
export function scores(span: Span): string {
  return span.why.find(w => w.kind === 'scores')?.words ?? '';
}

/** `Done · triage · 3.4 s · 252 tokens · $0 · 2 calls, 1 from cache`. */
export function headline(trace: Trace): string {
  const t = trace.totals;
  const told = [seconds(t.seconds), `${count(tokens(t.usage))} tokens`, total(trace), calls(trace)];
  return [word(t.status), t.name, ...told].join(' · ');
}

/** `2 calls, 1 from cache`. */
export function calls(trace: Trace): string {
  const t = trace.totals;
  const told = `${count(t.calls)} call${t.calls === 1 ? '' : 's'}`;
  return (
    told + (t.cached ? `, ${count(t.cached)} from cache` : '') + (t.recalled ? `, ${count(t.recalled)} replayed` : '')
  );
}

/** A value as readable text without control characters, cut at `limit`; what is read of it is bounded, too. */
export function shown(value: unknown, limit = 2_000): string {
  if (value === null || value === undefined) {
    return '';
  }
  const rest = { nodes: Math.min(NODES, limit), more: 0 };
  const text = typeof value === 'string' ? value : json(part(value, limit, 0, rest));
  const clean = text.slice(0, 4 * (limit + SLACK)).replace(CONTROL, '\ufffd');
  const more = rest.more ? ` (${count(rest.more)} more)` : '';
  if (clean.length <= limit + SLACK && text.length <= 4 * (limit + SLACK)) {
    return clean + (more && `…${more}`);
  }
  // parts of a value may be cut already: only of a text is the length known
  const long = text.length > 4 * (limit + SLACK) ? text.length : clean.length;
  return clean.slice(0, limit) + (typeof value === 'string' ? `… cut, ${count(long)} characters in all` : `…${more}`);
}

/** The beginning of a JSON value: bounded in its texts, its entries and its depth. */
function part(value: unknown, limit: number, depth: number, rest: { nodes: number; more: number }): unknown {
  if (typeof value === 'string') {
    return value.length > 2 * limit ? `${value.slice(0, 2 * limit)}…` : value;
  }
  if (value === null || typeof value !== 'object') {
    return value;
  }
  if (depth >= DEEPEST) {
    return '…';
  }
  const found: [string, unknown][] = [];
  const keys = Object.keys(value);
  for (const key of keys) {
    if (rest.nodes <= 0) {
      break;
    }
    rest.nodes -= 1;
    found.push([key.slice(0, limit), part((value as Record<string, unknown>)[key], limit, depth + 1, rest)]);
  }
  rest.more += keys.length - found.length;
  return Array.isArray(value) ? found.map(([, inner]) => inner) : Object.fromEntries(found);
}

/** A line for each entry, where those are few. */
function json(value: unknown): string {
  const lines = JSON.stringify(value, null, 1).split('\n');
  return lines.length <= LINES + 1
    ? lines.join('\n')
    : lines.map(line => line.trim() + (line.endsWith(',') ? ' ' : '')).join('');
}

/** The same on one line. */
export function oneLine(value: unknown, limit = 100): string {
  const text = shown(value, 10 * limit)
    .trim()
    .split(/\s+/)
    .join(' ');
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}

/** A step's name, with its visit when it was visited more than once; of an item also what it is. */
export function label(trace: Trace, span: Span): string {
  if (span.kind === 'item') {
    const said = oneLine(gist(span.input), 20);
    return said ? `${span.name} · ${said}` : span.name;
  }
  if (['vote', 'tool', 'more'].includes(span.kind)) {
    return span.name;
  }
  const again = trace.beside(span).filter(s => s.name === span.name).length > 1;
  return again ? `${span.name} ${span.id.slice(span.id.lastIndexOf('#') + 1)}` : span.name;
}

/** Of a record its first text: a row of a table is known by it. */
function gist(value: unknown): unknown {
  const plain = (v: unknown) => typeof v === 'string' || typeof v === 'number';
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
    for (const key in value) {
      if (plain((value as Record<string, unknown>)[key])) {
        return (value as Record<string, unknown>)[key];
      }
    }
    return '';
  }
  return plain(value) ? value : '';
}

/** Where a span stands, without visits: `digest/map/3` for `digest#1/map#1/3`. */
export function path(id: string): string {
  return id
    .split('/')
    .map(part => part.split('#')[0])
    .join('/');
}

/** The model that answered in place of the first one in a step's own questions, or nothing. */
export function fallback(trace: Trace, step: Span): string {
  for (const ask of trace.inside(step).filter(s => s.kind === 'ask')) {
    const fell = ask.why.find(w => w.kind === 'fell_back');
    if (fell) {
      return fell.target ?? '';
    }
  }
  return '';
}

/** `score 8`, of the best one of several rounds `score 9 ★ best`, or nothing. */
export function score(trace: Trace, span: Span): string {
  const own = scored(span);
  if (own === null) {
    return '';
  }
  const rounds = trace.beside(span).filter(s => s.name === span.name && scored(s) !== null);
  const best = rounds.reduce((most, s) => Math.max(most, scored(s)!), -Infinity);
  const first = rounds.find(s => scored(s) === best)!;
  return `score ${own}` + (rounds.length > 1 && span.id === first.id ? ' ★ best' : '');
}

function scored(span: Span): number | null {
  const found = (span.output as { score?: unknown } | null)?.score;
  return span.kind === 'call' && typeof found === 'number' ? found : null;
}

/** `2 retries`, `asked again once (wrong format)`: how often a step was tried again, and asked again. */
export function again(trace: Trace, step: Span): string[] {
  const asks = trace.inside(step).filter(s => s.kind === 'ask');
  const retried = asks.flatMap(a => trace.inside(a)).filter(s => s.kind === 'attempt' && s.status === 'retried').length;
  const asked = asks.filter(s => s.status === 'retried').length;
  return [
    retried ? `${retried} ${retried === 1 ? 'retry' : 'retries'}` : '',
    asked ? `asked again ${asked === 1 ? 'once' : `${asked} times`} (wrong format)` : ''
  ];
}

/** `62% of total time`: how much of the run one step of several took, where that is most of it. */
function slow(trace: Trace, span: Span): string {
  const whole = Math.max(trace.totals.seconds, 1e-9);
  const share = length(span) / whole;
  const others = () => trace.steps.some(s => s.id !== span.id && length(s) > whole / 100);
  return span.parent === null && share >= MOST && others() ? `${(share * 100).toFixed(0)}% of total time` : '';
}

/** What stands at the end of a row: what sets it apart first, then who answered. */
export function note(trace: Trace, span: Span): string {
  if (span.kind === 'tool' || span.kind === 'more') {
    return span.status === 'done' || span.kind === 'more' ? '' : stateWord(span.status);
  }
  const target = fallback(trace, span);
  const said = [
    slow(trace, span),
    ['done', 'waiting', 'running', 'pending'].includes(span.status) ? '' : stateWord(span.status),
    waits(span),
    target && `switched to ${oneLine(target, 24)}`,
    cache(trace, span),
    score(trace, span),
    parts(trace, span),
    ...again(trace, span),
    models(trace, span),
    scores(span)
  ];
  return said.filter(Boolean).join(' · ');
}
