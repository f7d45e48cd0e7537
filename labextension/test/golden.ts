/** The trace that pytest makes, and what the static views say of it. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Trace } from '../src/record.js';

export interface Line {
  id: string;
  depth: number;
  label: string;
  mark: string;
  seconds: string;
  tokens: number;
  cost: string;
  cache: string;
  models: string;
  parts: string;
  waits: string;
  fallback: string;
  score: string;
  path: string;
  out: string;
  critical: boolean;
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(resolve(process.cwd(), '../tests/golden', name), 'utf-8'));

export const data = read('trace.json') as Record<string, unknown>;
export const golden = (): Trace => new Trace(structuredClone(data));
export const [head, ...lines] = read('trace_lines.json') as [{ headline: string }, ...Line[]];

/** A trace of `many` items, the third of which failed. */
export function large(many: number): Trace {
  const item = (i: number) => ({
    id: `map#1/${i}`, parent: 'map#1', kind: 'item', name: `${i}`, status: i === 3 ? 'failed' : 'done',
    start: i / 100, end: i / 100 + 0.5, input: `chunk ${i}`, output: 'x'.repeat(80), error: i === 3 ? 'it broke' : null,
    usage: { input: 100, output: 20 }
  }); // prettier-ignore
  const map = { id: 'map#1', parent: null, kind: 'call', name: 'map', status: 'done', start: 0, end: many / 100 + 1 };
  const spans = [map, ...Array.from({ length: many }, (_, i) => item(i + 1))];
  return new Trace({ version: 1, run: 'r1', name: 'digest', status: 'done', seconds: many / 100 + 1, spans });
}
