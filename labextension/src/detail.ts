/** What is told of one span: figures, why, what went in and out, and the questions that were asked for it. */

import { el, foreign, several } from './dom.js';
import { Asked, Span, Trace, soFar, tokens } from './record.js';
import { cache, count, label, models, money, oneLine, path, seconds, shown } from './words.js';

const LONG = 20_000; // characters of a value that are shown
const MANY = 50; // questions, attempts and messages that are shown

/** The whole of a span, for the pane under the rows. */
export function detail(trace: Trace, span: Span): HTMLElement {
  const asks = trace.inside(span).filter(s => s.kind === 'ask');
  const head = el(
    'h4',
    { class: 'om-detail-head' },
    foreign(oneLine(path(span.id), 300)),
    ' ',
    el('small', {}, kind(span))
  );
  return el(
    'div',
    { class: 'om-detail' },
    head,
    figures(trace, span),
    span.error && el('div', { class: 'om-error' }, '✗ ', foreign(shown(span.error, LONG))),
    ...span.why.map(why => el('div', { class: 'om-why' }, foreign(shown(why.words, LONG)))),
    span.asked && question(span.asked),
    value('in', span.input),
    value('out', span.output),
    ...(tellsMore(trace, asks) ? several(asks, MANY, ask => asking(trace, ask)) : [])
  );
}

/** What the run itself took in and gave. */
export function whole(trace: Trace): HTMLElement {
  const { inputs, output, error, reason } = trace.totals;
  return el(
    'div',
    { class: 'om-detail' },
    el('h4', { class: 'om-detail-head' }, foreign(oneLine(trace.totals.name)), ' ', el('small', {}, 'the run')),
    error && el('div', { class: 'om-error' }, '✗ ', foreign(shown(error, LONG))),
    reason && el('div', { class: 'om-why' }, foreign(shown(reason, LONG))),
    value('in', Object.keys(inputs).length ? inputs : null),
    value('out', output)
  );
}

function kind(span: Span): string {
  return [span.kind, span.status, span.id.includes('#') ? `visit ${visit(span.id)}` : ''].filter(Boolean).join(', ');
}

function visit(id: string): string {
  return /#(\d+)[^#]*$/.exec(id)?.[1] ?? '1';
}

function figures(trace: Trace, span: Span): HTMLElement {
  const from = span.start;
  const { input, output, cached, reasoning } = span.usage;
  const spent = [`${count(input)} in`, `${count(output)} out`];
  if (cached) {
    spent.push(`${count(cached)} of the input cached`);
  }
  if (reasoning) {
    spent.push(`${count(reasoning)} of the output reasoning`);
  }
  const facts: [string, string][] = [
    ['time', `${seconds(soFar(trace, span))}, from ${seconds(from)}`],
    ['tokens', tokens(span.usage) ? spent.join(', ') : ''],
    ['cost', tokens(span.usage) ? money(span.cost, span.unpriced) : ''],
    ['model', span.model || models(trace, span)],
    ['provider', span.provider],
    ['cache', cache(trace, span)]
  ];
  const told = facts.filter(([, said]) => said);
  const made = told.map(([name, said]) => el('span', {}, el('span', { class: 'om-word' }, name), ' ', foreign(said)));
  return el('div', { class: 'om-figures' }, ...made);
}

/** One question that went well is the step: it is told there. */
function tellsMore(trace: Trace, asks: readonly Span[]): boolean {
  return asks.length > 1 || asks.some(a => a.why.length > 0 || a.error !== null || trace.inside(a).length > 0);
}

function asking(trace: Trace, ask: Span): HTMLElement {
  const spent = tokens(ask.usage) ? `${count(tokens(ask.usage))} tokens, ${money(ask.cost, ask.unpriced)}` : '';
  const told = [label(trace, ask), ask.model, seconds(soFar(trace, ask)), spent, ask.status]
    .filter(Boolean)
    .join(' · ');
  const tries = trace.inside(ask).filter(s => s.kind === 'attempt');
  return el(
    'details',
    { class: 'om-ask', ...(ask.status === 'done' ? {} : { open: '' }) },
    el('summary', {}, foreign(told)),
    ask.error && el('div', { class: 'om-error' }, '✗ ', foreign(shown(ask.error, LONG))),
    ...ask.why.map(why => el('div', { class: 'om-why' }, foreign(shown(why.words, LONG)))),
    ...several(tries, MANY, attempt),
    value('in', ask.input),
    value('out', ask.output)
  );
}

function attempt(span: Span): HTMLElement {
  const told = [span.name, span.model, span.status, seconds(span.end === null ? 0 : span.end - span.start)];
  const failed = span.error ? `: ${shown(span.error, LONG)}` : '';
  return el(
    'div',
    { class: 'om-why' },
    foreign(told.filter(Boolean).join(' · ') + failed),
    ...span.why.map(w => foreign(` (${shown(w.words, LONG)})`))
  );
}

/** What a person is, or was, asked. */
function question(asked: Asked): HTMLElement {
  return el('div', { class: 'om-asked' }, foreign(shown(asked.question, LONG)), value('about', asked.value));
}

/** Messages as who said what; anything else as JSON. */
function value(word: string, found: unknown): HTMLElement | null {
  if (found === null || found === undefined || found === '') {
    return null;
  }
  const said = messages(found)
    ? several(found as readonly Message[], MANY, m => message(shown(m.role, 40), shown(m.content, LONG)))
    : [message('', shown(found, LONG))];
  return el('div', { class: 'om-value' }, el('span', { class: 'om-word' }, word), el('pre', { dir: 'auto' }, ...said));
}

interface Message {
  role: string;
  content: unknown;
}

function message(role: string, text: string): HTMLElement {
  return el('div', {}, role && el('b', { class: 'om-role' }, foreign(`${role}:`), ' '), foreign(text));
}

function messages(found: unknown): found is Message[] {
  const is = (m: unknown): m is Message =>
    m !== null && typeof m === 'object' && 'role' in m && 'content' in m && typeof m.role === 'string';
  return Array.isArray(found) && found.length > 0 && found.every(is);
}
