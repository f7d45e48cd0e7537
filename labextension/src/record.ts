/** The record of a run as a notebook holds it: what `orchmagic/trace/record.py` writes, and README.md here describes. */

export const MIME = 'application/vnd.orchmagic.trace.v1+json';
export const VERSION = 1;

export interface Usage {
  input: number;
  output: number;
  cached: number;
  reasoning: number;
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
}

type SavedSpan = Partial<Omit<Span, 'why'>> & { why?: (Reason | string)[] };

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
}

const NOTHING: Usage = { input: 0, output: 0, cached: 0, reasoning: 0 };
const SPAN = {
  parent: null, end: null, model: '', provider: '', cost: 0, unpriced: 0, age: null, saved: null,
  recalled: false, asked: null, input: null, output: null, error: null, left_out: {}
}; // prettier-ignore

/** A run at one moment; what is inside what is found once. */
export class Trace {
  readonly totals: Totals;
  readonly spans: readonly Span[];
  private readonly inner = new Map<string | null, Span[]>();

  /** Throws an Error whose message is for a person: written by a newer version, or no trace. */
  constructor(data: unknown) {
    const found = (data ?? {}) as Partial<Totals> & { version?: number; spans?: SavedSpan[] };
    if (found.version !== VERSION || !Array.isArray(found.spans)) {
      const told = typeof found.version === 'number' ? `trace version ${found.version}` : 'this is no trace';
      throw new Error(`${told}: this orchmagic reads version ${VERSION}`);
    }
    this.totals = {
      run: '', name: '', pattern: '', status: 'done', started: '', seconds: 0, cost: 0, unpriced: 0, calls: 0,
      cached: 0, recalled: 0, inputs: {}, output: null, error: null, reason: null,
      ...found,
      usage: { ...NOTHING, ...found.usage }
    }; // prettier-ignore
    this.spans = found.spans.map(filled);
    for (const span of this.spans) {
      const beside = this.inner.get(span.parent);
      if (beside) {
        beside.push(span);
      } else {
        this.inner.set(span.parent, [span]);
      }
    }
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

function filled(span: SavedSpan): Span {
  return {
    ...SPAN, id: '', kind: '', name: '', status: 'done', start: 0,
    ...span,
    usage: { ...NOTHING, ...span.usage },
    why: (span.why ?? []).map(reasonOf)
  }; // prettier-ignore
}

/** Notebooks of older versions hold the words alone. */
function reasonOf(data: Reason | string): Reason {
  return typeof data === 'string' ? { kind: 'note', words: data } : data;
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
