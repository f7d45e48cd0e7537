/** What is told of the row that was chosen: its figures, and Prompt, Reply, Decision and Attempts, one at a time. */

import { copyButton } from './copy.js';
import { button, el, foreign, several } from './dom.js';
import { Tools, markdown, plain } from './markdown.js';
import { Asked, Span, Trace, soFar, tokens } from './record.js';
import { cache, count, label, models, money, oneLine, path, seconds, shown, stateWord, tilde } from './words.js';

const LONG = 20_000; // characters of a value that are shown
const WHOLE = 200_000; // of one that was fetched
const MANY = 50; // questions, attempts and messages that are shown

/** Where the details get what a notebook does not hold. */
export interface Source {
  /** JupyterLab's parser and sanitizer. */
  tools?: Tools;
  /** The whole value of a span, from the kernel. */
  value?: (run: string, span: string, part: string) => Promise<unknown>;
}

interface Part {
  name: string;
  /** What Copy takes. */
  text: string;
  /** A text that may be Markdown, or null. */
  prose: string | null;
  draw: () => HTMLElement;
  /** `input` or `output`, if it is cut. */
  cut: string;
}

const NAMES: Record<string, [string, string]> = {
  tool: ['Arguments', 'Result'], tools: ['Arguments', 'Result'], code: ['Input', 'Output'], gate: ['Input', 'Output']
}; // prettier-ignore
const KINDS: Record<string, string> = {
  call: 'model call', ask: 'model call', code: 'code', gate: 'check', tools: 'tools', tool: 'tool', approve: 'approval',
  sub: 'inner steps', item: 'row', vote: 'vote', more: 'rows', attempt: 'attempt'
}; // prettier-ignore

export class Details {
  readonly node = el('div', { class: 'om-pane', role: 'region', 'aria-label': 'The chosen step' });
  private open = ''; // the part that a person looks at, for the next step as well
  private raw = false;
  private key = '';
  private readonly whole = new Map<string, unknown>();
  private turn = 0;

  constructor(private readonly source: Source) {}

  /** Show a span; null: none is chosen. */
  show(trace: Trace, span: Span | null): void {
    const key = span && JSON.stringify([trace.totals.run, span.id, span.status, span.end, trace.totals.status]);
    if (key !== null && key === this.key) {
      return; // nothing is new: a selection of text stays
    }
    this.key = key ?? '';
    this.draw(trace, span);
  }

  private draw(trace: Trace, span: Span | null): void {
    if (!span) {
      this.node.replaceChildren();
      return;
    }
    const known = this.filled(span);
    const parts = partsOf(trace, known);
    const first = parts.find(p => p.name === this.open) ?? parts.find(p => p.name === second(known)) ?? parts.at(0);
    const tabs = parts.map(
      p =>
      button(p.name, () => {
        this.open = p.name;
        this.draw(trace, span);
      }, { class: 'om-tab-button', role: 'tab', 'aria-selected': `${p === first}` }) // prettier-ignore
    );
    const body = el('div', { class: 'om-part-body', role: 'tabpanel', tabindex: '0' });
    const acts = el('span', { class: 'om-acts' });
    this.node.replaceChildren(
      head(trace, known),
      known.error ? el('div', { class: 'om-error' }, '✗ ', foreign(shown(known.error, LONG))) : '',
      el('div', { class: 'om-tabs' }, el('div', { role: 'tablist', class: 'om-tablist' }, ...tabs), acts),
      body
    );
    if (!first) {
      return;
    }
    this.acts(acts, trace, span, first);
    void this.fill(body, first);
  }

  private acts(acts: HTMLElement, trace: Trace, span: Span, part: Part): void {
    const made: HTMLElement[] = [];
    if (part.cut && this.source.value) {
      made.push(button('Show all', () => void this.fetch(trace, span, part.cut), { class: 'om-act' })); // prettier-ignore
    }
    if (part.prose !== null && this.source.tools?.markdownParser) {
      made.push(
        button(this.raw ? 'Markdown' : 'Raw', () => {
          this.raw = !this.raw;
          this.draw(trace, span);
        }, { class: 'om-act' }) // prettier-ignore
      );
    }
    acts.replaceChildren(
      ...made,
      copyButton(() => part.text, { title: `Copy ${part.name.toLowerCase()}` })
    );
  }

  private async fill(body: HTMLElement, part: Part): Promise<void> {
    const turn = (this.turn += 1);
    const drawn =
      part.prose !== null && !this.raw ? await markdown(part.prose, this.source.tools ?? null) : part.draw();
    if (turn === this.turn) {
      body.replaceChildren(drawn);
    }
  }

  private async fetch(trace: Trace, span: Span, part: string): Promise<void> {
    try {
      this.whole.set(`${span.id} ${part}`, await this.source.value!(trace.totals.run, span.id, part));
      this.draw(trace, span);
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      this.node.append(el('div', { class: 'om-error', role: 'alert' }, foreign(oneLine(said, 300))));
    }
  }

  /** The span with what was fetched of it. */
  private filled(span: Span): Span {
    const key = (part: string) => `${span.id} ${part}`;
    const get = (part: 'input' | 'output') => this.whole.get(key(part)) ?? span[part];
    return {
      ...span,
      input: get('input'),
      output: get('output'),
      cut: span.cut.filter(part => !this.whole.has(key(part)))
    };
  }
}

/** What is shown first: what came out; of what failed, what went in. */
function second(span: Span): string {
  const [input, output] = NAMES[span.kind] ?? ['Prompt', 'Reply'];
  return span.error || span.output === null ? input : output;
}

function partsOf(trace: Trace, span: Span): Part[] {
  const asks = trace.inside(span).filter(s => s.kind === 'ask');
  const [input, output] = NAMES[span.kind] ?? ['Prompt', 'Reply'];
  const asked = asks.length === 1 && asks[0].input !== null ? asks[0].input : span.input;
  const found: Part[] = [];
  const put = (name: string, value: unknown, side: string, prose: boolean) => {
    if (value === null || value === undefined || value === '') {
      return;
    }
    const most = span.cut.includes(side) ? LONG : WHOLE;
    const said = typeof value === 'string' && prose ? shown(value, most) : null;
    found.push({
      name,
      text: textOf(value),
      prose: said,
      draw: () => valueOf(value, most),
      cut: span.cut.includes(side) ? side : ''
    });
  };
  put(input, asked, 'input', false);
  put(output, span.output, 'output', true);
  const why = [...span.why, ...asks.flatMap(a => a.why)].slice(0, MANY);
  if (why.length || span.asked) {
    const text = why.map(w => shown(w.words, LONG)).join('\n');
    const lines = why.map(w => el('div', { class: 'om-why' }, foreign(shown(w.words, LONG))));
    const draw = () => el('div', {}, span.asked && question(span.asked), ...lines);
    found.push({ name: 'Decision', text: text || shown(span.asked?.question), prose: null, draw, cut: '' });
  }
  if (tellsMore(trace, asks)) {
    const draw = () => el('div', {}, ...several(asks, MANY, ask => asking(trace, ask)));
    const text = asks.slice(0, MANY).map(ask => facts(trace, ask).join(' · ')).join('\n'); // prettier-ignore
    found.push({ name: 'Attempts', text, prose: null, draw, cut: '' });
  }
  return found;
}

function head(trace: Trace, span: Span): HTMLElement {
  const { input, output, cached, reasoning } = span.usage;
  const spent = [`${tilde(span.usage)}${count(input)} + ${count(output)} tokens`];
  if (cached) {
    spent.push(`${count(cached)} of the input from the endpoint's cache`);
  }
  if (reasoning) {
    spent.push(`${count(reasoning)} of the output reasoning`);
  }
  const still = trace.totals.seconds === 0 || ['pending', 'skipped'].includes(span.status);
  const told = [
    KINDS[span.kind] ?? oneLine(span.kind, 20), stateWord(span.doubt || span.status), visit(trace, span),
    still ? '' : `${seconds(soFar(trace, span))} from ${seconds(span.start)}`,
    tokens(span.usage) ? spent.join(', ') : '', tokens(span.usage) ? money(span.cost, span.unpriced) : '',
    oneLine(span.model || models(trace, span)), oneLine(span.provider), cache(trace, span)
  ]; // prettier-ignore
  return el(
    'div',
    { class: 'om-detail-head' },
    el('strong', {}, foreign(oneLine(path(span.id), 300))),
    el('span', { class: 'om-faint' }, foreign(told.filter(Boolean).join(' · ')))
  );
}

function visit(trace: Trace, span: Span): string {
  const again = trace.beside(span).filter(s => s.name === span.name).length > 1;
  const number = /#(\d+)[^#]*$/.exec(span.id)?.[1];
  return again && number ? `round ${number}` : '';
}

/** One question that went well is the step: it is told there. */
function tellsMore(trace: Trace, asks: readonly Span[]): boolean {
  return asks.length > 1 || asks.some(a => a.why.length > 0 || a.error !== null || trace.inside(a).length > 0);
}

function facts(trace: Trace, ask: Span): string[] {
  const spent = tokens(ask.usage) ? `${count(tokens(ask.usage))} tokens, ${money(ask.cost, ask.unpriced)}` : '';
  return [label(trace, ask), ask.model, seconds(soFar(trace, ask)), spent, stateWord(ask.status)].filter(Boolean);
}

function asking(trace: Trace, ask: Span): HTMLElement {
  const tries = trace.inside(ask).filter(s => s.kind === 'attempt');
  return el(
    'details',
    { class: 'om-ask', open: '' },
    el('summary', {}, foreign(facts(trace, ask).join(' · '))),
    ask.error && el('div', { class: 'om-error' }, '✗ ', foreign(shown(ask.error, LONG))),
    ...ask.why.map(why => el('div', { class: 'om-why' }, foreign(shown(why.words, LONG)))),
    ...several(tries, MANY, attempt),
    ask.input !== null && el('div', {}, el('span', { class: 'om-word' }, 'Prompt'), valueOf(ask.input, LONG)),
    ask.output !== null && el('div', {}, el('span', { class: 'om-word' }, 'Reply'), valueOf(ask.output, LONG))
  );
}

function attempt(span: Span): HTMLElement {
  const told = [span.name, span.model, stateWord(span.status), seconds(span.end === null ? 0 : span.end - span.start)];
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
  const about = asked.value === null || asked.value === undefined ? null : valueOf(asked.value, LONG);
  return el('div', { class: 'om-asked' }, foreign(shown(asked.question, LONG)), about);
}

function textOf(value: unknown): string {
  return messages(value)
    ? value.slice(0, MANY).map(m => `${shown(m.role, 40)}: ${shown(m.content, WHOLE)}`).join('\n') // prettier-ignore
    : shown(value, WHOLE);
}

/** Messages as who said what; anything else as text or JSON. */
export function valueOf(value: unknown, most: number): HTMLElement {
  return messages(value)
    ? el('pre', { dir: 'auto' }, ...several(value as readonly Message[], MANY, m => message(shown(m.role, 40), shown(m.content, most))))
    : plain(shown(value, most)); // prettier-ignore
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
