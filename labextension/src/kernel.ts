/** Questions to `orchmagic/panel.py` in a kernel: silent, so that no execution count, no history and no `_` changes. */

import { Kernel } from '@jupyterlab/services';
import { Asked } from './record.js';

/** A run in the list. `asked` is what a waiting one asks; `shown` is its value as text, cut. */
export interface Run {
  id: string;
  name: string;
  pattern: string;
  status: string;
  /** Why it has no check mark though it is done; empty without one. */
  doubt?: string;
  started: string;
  parent: string | null;
  here: boolean;
  seconds: number;
  tokens: number;
  cost: number;
  unpriced?: number;
  asked?: { span: string; question: string; choices: string[]; shown: string };
}

/** `today` is what the runs that began today cost, in US dollars, without the `unpriced` calls. */
export interface Overview {
  today: number;
  unpriced?: number;
  runs: Run[];
  /** There are older runs. */
  more?: boolean;
}

export type Reply =
  string | { action: 'approve' } | { action: 'edit'; value: unknown } | { action: 'reject'; why: string };

/** What a person said of a run; without a verdict nothing was said. `expect` has by step what would have been right. */
export interface Said {
  verdict?: string;
  note?: string;
  expect?: Record<string, unknown>;
}

/** The kernel has not loaded the extension: `%load_ext orchmagic` is missing. */
export class NotLoaded extends Error {}

/** What the panel can be told and can do; a test gives it one without a kernel. */
export interface Face {
  /** The latest `shown` runs. */
  overview(shown: number): Promise<Overview>;
  record(run: string): Promise<unknown>;
  /** The question of `span`, uncut. */
  asked(run: string, span: string): Promise<Asked>;
  answer(run: string, reply: Reply, span: string): Promise<unknown>;
  resume(run: string): Promise<unknown>;
  export(run: string): Promise<{ file: string }>;
  /** Stop a run that goes on while the kernel is free. */
  stop(run: string): Promise<unknown>;
  /** The whole input or output of a span. */
  value(run: string, span: string, part: string): Promise<{ value: unknown }>;
  /** The table of rows of a run, of which the notebook holds the first. `of` as in `feedback`. */
  rows(run: string, of: [name: string, started: string]): Promise<unknown>;
  /** Keep what a person says of a run, or tell what was said. `of`: its name and start, since ids are those of one machine. */
  feedback(run: string, of: [name: string, started: string], said?: Said): Promise<Said>;
}

/** The face of one kernel. Each question throws an Error whose message is for a person. */
export function faceOf(kernel: Kernel.IKernelConnection): Face {
  const put = async <T>(...question: unknown[]) => (await ask(kernel, question)) as T;
  return {
    overview: shown => put('overview', shown),
    record: run => put('record', run),
    asked: (run, span) => put('asked', run, span),
    answer: (run, reply, span) => put('answer', run, reply, span),
    resume: run => put('resume', run),
    export: run => put('export', run),
    stop: run => put('stop', run),
    value: (run, span, part) => put('value', run, span, part),
    rows: (run, of) => put('rows', run, of),
    feedback: (run, of, said) => put('feedback', run, said?.verdict ?? null, said?.note ?? '', said?.expect ?? {}, of)
  };
}

/** The expression that the kernel works out: JSON is written as a Python text, which reads JSON's escapes alike. */
export function expression(question: readonly unknown[]): string {
  const text = JSON.stringify(JSON.stringify(question));
  const face = 'getattr(get_ipython(), "_orchmagic_face", None)';
  return `(lambda f: f and __import__("orchmagic.notebook.panel", fromlist=["ask"]).ask(f.session, ${text}))(${face})`;
}

interface Told {
  status: string;
  data?: Record<string, unknown>;
  evalue?: string;
}

async function ask(kernel: Kernel.IKernelConnection, question: readonly unknown[]): Promise<unknown> {
  const content = {
    code: '',
    silent: true,
    store_history: false,
    allow_stdin: false,
    stop_on_error: false,
    user_expressions: { orchmagic: expression(question) }
  };
  const reply = (await kernel.requestExecute(content, true).done).content;
  if (reply.status !== 'ok') {
    throw new Error('the kernel was interrupted');
  }
  return read(reply.user_expressions.orchmagic as unknown as Told);
}

/** What came back, or why nothing did. */
export function read(told: Told): unknown {
  const data = told.data?.['application/json'] as { found?: unknown; error?: string } | undefined;
  if (told.status === 'ok' && data === undefined) {
    throw new NotLoaded('Run %load_ext orchmagic in this notebook.');
  }
  if (data?.found === undefined) {
    throw new Error(data?.error ?? told.evalue ?? 'the kernel gave no answer');
  }
  return data.found;
}
