/** The record of a run as a notebook holds it: what `orchmagic/trace/record.py` writes, and README.md here describes. */

export const MIME = 'application/vnd.orchmagic.trace.v1+json';
export const VERSION = 1;

export interface Usage {
  input: number;
  output: number;
  cached: number;
  reasoning: number;
  estimated?: boolean; // the endpoint sent no counts
}

export interface Asked {
  question: string;
  choices: string[];
  value: unknown;
}

/** Why a span went as it did: `orchmagic/trace/reasons.py` has the fields of each kind, `words` are made there. */
export interface Reason {
  kind: string;
  words: string;
  target?: string;
}

export interface Span {
  id: string;
  parent: string | null;
  kind: string;
  name: string;
  status: string;
  start: number;
  end: number | null;
  model: string;
  provider: string;
  usage: Usage;
  cost: number | null;
  unpriced: number;
  age: number | null;
  saved: number | null;
  recalled: boolean;
  asked: Asked | null;
  input: unknown;
  output: unknown;
  error: string | null;
  left_out: Record<string, number>; // of a span that stands for many: how many, by status
  why: Reason[];
  doubt: string; // why it has no check mark though it is done
  cut: string[]; // `input`, `output`: what is longer than what is saved
}

export interface Totals {
  run: string;
  name: string;
  pattern: string;
  status: string;
  started: string;
  seconds: number;
  usage: Usage;
  cost: number;
  unpriced: number;
  calls: number;
  cached: number;
  recalled: number;
  inputs: Record<string, unknown>;
  output: unknown;
  error: string | null;
  reason: string | null;
  doubt: string; // why it is not good though it is done
}

// What a file may make the page do is bounded, whatever it holds: a saved trace may come from anybody.
const MOST = 20_000; // spans
const DEEPEST = 100; // spans inside each other
const REASONS = 50; // of a span
const NAME = 2_000; // characters of a name or id
const CONTROL = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // in a name
const HUGE = 1e12; // numbers beyond it are shown as this

/** A run at one moment; what is inside what is found once. */
export class Trace {
  readonly totals: Totals;
  readonly spans: readonly Span[];
  /** What the card of a notebook adds; of any form. */
  readonly card: Record<string, unknown>;
  /** How many spans of the file are not shown: too many, too deep, or without a place. */
  readonly left: number;
  private readonly inner = new Map<string | null, Span[]>();

  /** Throws an Error whose message is for a person: written by a newer version, no trace, or a damaged one. */
  constructor(data: unknown) {
    const found = fields(data);
    if (found.version !== VERSION) {
      const told = typeof found.version === 'number' ? `trace version ${found.version}` : 'this is no trace';
      throw new Error(`${told}: this orchmagic reads version ${VERSION}`);
    }
    if (!Array.isArray(found.spans)) {
      const is =
        found.spans === undefined ? 'missing' : found.spans === null ? 'null' : `of type ${typeof found.spans}`;
      throw new Error(`This trace is damaged: its "spans" must be a list, but it is ${is}. Run the cell again.`);
    }
    this.totals = {
      run: name(found.run), name: name(found.name), pattern: name(found.pattern), status: name(found.status) || 'done',
      started: name(found.started), seconds: number(found.seconds), usage: usage(found.usage), cost: number(found.cost),
      unpriced: number(found.unpriced), calls: number(found.calls), cached: number(found.cached),
      recalled: number(found.recalled), inputs: fields(found.inputs), output: found.output, error: text(found.error),
      reason: text(found.reason), doubt: name(found.doubt) || (found.verified === false ? 'not verified' : '')
    }; // prettier-ignore
    this.card = fields(found.card);
    this.spans = this.placed(found.spans);
    this.left = found.spans.length - this.spans.length;
  }

  /** The spans that have a place: parents come first, so nothing can be inside itself. */
  private placed(saved: readonly unknown[]): Span[] {
    const depths = new Map<string, number>();
    const found: Span[] = [];
    for (const data of saved.slice(0, MOST)) {
      const span = filled(fields(typeof data === 'string' ? parsed(data) : data));
      const above = span.parent === null ? -1 : depths.get(span.parent);
      if (above === undefined || above >= DEEPEST || depths.has(span.id)) {
        continue;
      }
      depths.set(span.id, above + 1);
      found.push(span);
      const beside = this.inner.get(span.parent);
      if (beside) {
        beside.push(span);
      } else {
        this.inner.set(span.parent, [span]);
      }
    }
    return found;
  }

  /** The top-level spans, in the order they started. */
  get steps(): readonly Span[] {
    return this.inside(null);
  }

  /** The spans directly inside `span`. */
  inside(span: Span | null): readonly Span[] {
    return this.inner.get(span ? span.id : null) ?? [];
  }

  /** The spans of the same parent, with `span`. */
  beside(span: Span): readonly Span[] {
    return this.inner.get(span.parent) ?? [];
  }

  /** All spans inside `span`, at any depth, each before what is inside it. */
  *below(span: Span): Generator<Span> {
    for (const inner of this.inside(span)) {
      yield inner;
      yield* this.below(inner);
    }
  }
}

function filled(data: Record<string, unknown>): Span {
  return {
    id: name(data.id), parent: typeof data.parent === 'string' ? name(data.parent) : null, kind: name(data.kind),
    name: name(data.name), status: name(data.status) || 'done', start: number(data.start), end: known(data.end),
    model: name(data.model), provider: name(data.provider), usage: usage(data.usage),
    cost: data.cost === undefined ? 0 : known(data.cost), unpriced: number(data.unpriced), age: known(data.age),
    saved: known(data.saved), recalled: data.recalled === true, asked: asked(data.asked), input: data.input ?? null,
    output: data.output ?? null, error: text(data.error), left_out: counts(data.left_out),
    why: Array.isArray(data.why) ? data.why.slice(0, REASONS).map(reasonOf) : [], doubt: doubt(data),
    cut: Array.isArray(data.cut) ? data.cut.slice(0, 2).map(name) : []
  }; // prettier-ignore
}

/** A span of a notebook is one line of JSON. */
export function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

/** As `Span.doubt` in Python, which traces of older versions do not hold. */
function doubt(data: Record<string, unknown>): string {
  if (data.doubt !== undefined || (data.status ?? 'done') !== 'done') {
    return name(data.doubt);
  }
  if (data.kind === 'gate' && data.output === false) {
    return 'check said no';
  }
  return data.verified === false ? 'not verified' : '';
}

/** The fields of an object; of anything else none. */
export function fields(data: unknown): Record<string, unknown> {
  return data !== null && typeof data === 'object' && !Array.isArray(data) ? (data as Record<string, unknown>) : {};
}

export function name(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, NAME).replace(CONTROL, '\ufffd') : '';
}

/** A text of any length: `shown` in words.ts cuts it. */
export function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function known(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? Math.max(-HUGE, Math.min(HUGE, value)) : null;
}

export function number(value: unknown): number {
  return known(value) ?? 0;
}

function usage(data: unknown): Usage {
  const { input, output, cached, reasoning, estimated } = fields(data);
  const counts = { input: number(input), output: number(output), cached: number(cached), reasoning: number(reasoning) };
  return estimated === true ? { ...counts, estimated } : counts;
}

function asked(data: unknown): Asked | null {
  const { question, choices, value } = fields(data);
  if (typeof question !== 'string') {
    return null;
  }
  return { question, choices: Array.isArray(choices) ? choices.slice(0, REASONS).map(name) : [], value };
}

function counts(data: unknown): Record<string, number> {
  const found = Object.entries(fields(data)).slice(0, REASONS);
  return Object.fromEntries(found.map(([status, many]) => [name(status), number(many)]));
}

/** Notebooks of older versions hold the words alone. */
function reasonOf(data: unknown): Reason {
  if (typeof data === 'string') {
    return { kind: 'note', words: data };
  }
  const { kind, words, target } = fields(data);
  return { kind: name(kind), words: text(words) ?? '', ...(typeof target === 'string' ? { target } : {}) };
}

/** Seconds that a span took. */
export function length(span: Span): number {
  return span.end === null ? 0 : span.end - span.start;
}

/** Seconds that a span took, so far if it is open. */
export function soFar(trace: Trace, span: Span): number {
  return span.end === null ? Math.max(0, trace.totals.seconds - span.start) : span.end - span.start;
}

export function tokens(usage: Usage): number {
  return usage.input + usage.output;
}
