/** What stands under a cell: header, one line of status, graph, timeline, and the answer or the table of rows.
 *
 * The same card is drawn while the run goes on and at its end: nothing moves. */

import { copyButton } from './copy.js';
import { button, el, foreign } from './dom.js';
import { graph } from './graph.js';
import { LOOK, hooks } from './hooks.js';
import { Tools, markdown, plain } from './markdown.js';
import { Trace, fields, name, number, text, tokens } from './record.js';
import { Results } from './table.js';
import { Verdict } from './verdict.js';
import { TraceView } from './view.js';
import { calls, count, money, oneLine, seconds, shown, stateOf, states, tilde, total } from './words.js';

const LONG = 20_000; // characters of an answer
const LINE = 400; // of the line of status

export interface How {
  tools?: Tools;
  /** In a tab of its own. */
  fill?: boolean;
}

export class RunCard {
  readonly node = el('section', { class: 'om-card' });
  private readonly head = el('div', { class: 'om-card-head' });
  private readonly why = el('div', { class: 'om-card-why' });
  private readonly picture = el('div', { class: 'om-card-graph' });
  private readonly progress = el('div', { class: 'om-card-progress' });
  private readonly result = el('div', { class: 'om-card-result' });
  private readonly view: TraceView;
  private readonly verdict = new Verdict(() => hooks.face?.(this.node) ?? null);
  private trace!: Trace;
  private drawn = { graph: '', result: '' };
  private copied = '';
  private turn = 0;
  private kept = 0; // pixels that progress had: the result takes no less
  private raw = false;

  constructor(private readonly how: How = {}) {
    const value = async (run: string, span: string, part: string) => {
      const face = hooks.face?.(this.node);
      if (!face) {
        throw new Error('There is no kernel to ask for the whole text.');
      }
      return (await face.value(run, span, part)).value;
    };
    this.view = new TraceView({ fill: how.fill, tools: how.tools, value });
    this.node.append(this.head, this.why, this.picture, this.view.node, this.progress, this.result, this.verdict.node);
    // the kernel may come later than the card, and may be another one by then
    for (const event of ['pointerenter', 'focusin', LOOK]) {
      this.node.addEventListener(event, () => void this.verdict.look());
    }
    this.node.classList.toggle('om-card-fill', how.fill ?? false);
  }

  resized(): void {
    this.view.resized();
    void this.verdict.look();
  }

  /** Show a run at one moment; the next moment of the same run keeps what a person has opened. */
  async show(trace: Trace): Promise<void> {
    this.trace = trace;
    const { card, totals } = trace;
    const running = totals.status === 'running';
    const result = running ? '' : JSON.stringify([card.answer, card.table, totals.output, this.raw]);
    const turn = (this.turn += 1);
    const made = result === this.drawn.result ? null : await this.made(trace);
    if (turn !== this.turn) {
      return;
    }
    this.header(trace, running);
    this.status(trace, running);
    const source = text(card.graph) ?? '';
    if (source !== this.drawn.graph) {
      this.drawn.graph = source;
      this.picture.replaceChildren(...[graph(source)].filter(g => g !== null));
    }
    this.view.pending = Array.isArray(card.pending) ? card.pending.slice(0, 50).map(name) : [];
    this.view.show(trace);
    this.under(trace, running);
    if (made) {
      this.drawn.result = result;
      this.result.style.minHeight = this.kept ? `${this.kept}px` : '';
      this.result.replaceChildren(...made);
    }
    if (totals.status === 'failed') {
      this.view.revealFailure(false);
    }
    this.verdict.show(trace);
  }

  private header(trace: Trace, running: boolean): void {
    const t = trace.totals;
    const [sign, word, tone] = states(stateOf(trace));
    this.node.classList.toggle('om-live', running);
    this.node.setAttribute('aria-label', oneLine(`Run ${t.run} of ${t.name}: ${word}`));
    const fact = (kind: string, said: string) => el('span', { class: `om-fact om-fact-${kind}` }, said);
    const spent = tokens(t.usage);
    const facts = [
      t.seconds ? fact('time', seconds(t.seconds)) : '', fact('tokens', `${tilde(t.usage)}${count(spent)} ${spent === 1 ? 'token' : 'tokens'}`),
      fact('cost', `${t.cost ? tilde(t.usage) : ''}${total(trace)}`), fact('calls', calls(trace))
    ]; // prettier-ignore
    const id = el(
      'span',
      { class: 'om-card-id', title: `The run's id, for %orch show ${oneLine(t.run, 40)}` },
      oneLine(t.run, 40)
    );
    this.head.replaceChildren(
      el('span', { class: `om-badge om-tone-${tone}` }, el('span', { 'aria-hidden': 'true' }, sign), ` ${word}`),
      el('strong', { class: 'om-card-name', title: oneLine(t.name) }, foreign(oneLine(t.name || t.run))),
      el('span', { class: 'om-facts' }, ...facts),
      id,
      el('span', { class: 'om-acts' }, ...this.acts(t.run, running))
    );
  }

  private acts(run: string, running: boolean): HTMLElement[] {
    if (running) {
      const stop = button('■ Stop', () => {
        stop.disabled = true;
        void hooks.stop?.(this.node, run).catch(() => null);
      }, { class: 'om-act', title: 'Stop this run' }); // prettier-ignore
      return hooks.stop ? [stop] : [];
    }
    const copy = copyButton(() => this.copied, { title: 'Copy the answer' });
    copy.hidden = this.copied === '';
    const open = button('Open', () => hooks.open?.(run), { class: 'om-act', title: 'Open this run in a tab' }); // prettier-ignore
    return [copy, ...(hooks.open && !this.how.fill ? [open] : [])];
  }

  /** One line, whose room is always kept: what runs now, why it failed, or why it is in doubt. */
  private status(trace: Trace, running: boolean): void {
    const { card, totals } = trace;
    const [, , tone] = states(stateOf(trace));
    const why = oneLine(text(card.why) ?? totals.error ?? totals.reason, LINE);
    this.why.className = `om-card-why${why && !running ? ` om-tone-${tone}` : ' om-faint'}`;
    if (running) {
      const now = [...new Set(trace.steps.filter(s => s.status === 'running').map(s => s.name))].join(', ');
      this.why.replaceChildren(
        now ? 'Now: ' : '',
        foreign(oneLine([now, text(card.waits), ...limits(trace)].filter(Boolean).join(' · '), LINE))
      );
    } else if (totals.status === 'failed' && why) {
      const lead = button('', () => {
        this.view.revealFailure(true);
      }, { class: 'om-lead', title: 'Go to the step that failed' }); // prettier-ignore
      lead.append(foreign(why));
      this.why.replaceChildren(lead);
    } else {
      this.why.replaceChildren(foreign(why || oneLine(card.note, LINE)));
    }
    this.why.title = this.why.textContent;
  }

  /** Items done and the time left, or what is being written: while the run goes on, in room that is kept. */
  private under(trace: Trace, running: boolean): void {
    this.progress.hidden = !running;
    if (!running) {
      this.progress.replaceChildren();
      return;
    }
    const { items, says } = trace.card;
    const [done, all, from] = Array.isArray(items) ? items.map(number) : [0, 0, 0];
    if (all > 1) {
      const left = done ? ((trace.totals.seconds - from) / done) * (all - done) : null;
      const told = `${count(done)} of ${count(all)}${left === null ? '' : ` · about ${seconds(left)} left`}`;
      const bar = el('progress', { max: `${all}`, value: `${done}`, 'aria-label': 'Rows done' });
      this.progress.replaceChildren(bar, el('span', {}, told));
    } else {
      const [who, said] = Array.isArray(says) ? says.map(v => shown(v, 1_000)) : ['', ''];
      const line = el(
        'div',
        { class: 'om-says' },
        el('span', {}, who && el('b', {}, foreign(`${who}: `)), foreign(said))
      );
      this.progress.replaceChildren(line);
    }
    this.kept = Math.max(this.kept, this.progress.offsetHeight);
  }

  /** The answer or the table; what Copy takes is noted. */
  private async made(trace: Trace): Promise<Node[]> {
    const { table } = trace.card;
    this.copied = '';
    if (trace.totals.status === 'running') {
      return [];
    }
    if (table !== undefined) {
      const { run, name: of, started } = trace.totals;
      const results = new Results(
        fields(table),
        item => {
          this.view.reveal(`${name(fields(table).step)}/${item}`);
        },
        async () => {
          const face = hooks.face?.(this.node);
          if (!face) {
            throw new Error('There is no kernel to ask for the other rows; this notebook holds the ones above.');
          }
          results.put(fields(await face.rows(run, [of, started])));
          this.copied = results.text;
        }
      );
      this.copied = results.text;
      return [results.node];
    }
    const value = this.answer(trace);
    const { last, question } = fields(trace.card.answer);
    const asked = text(question);
    const empty = value === null || value === undefined || value === '';
    if (empty && !asked) {
      return [];
    }
    const said = shown(value, LONG);
    this.copied = said;
    const prose = typeof value === 'string' && !asked;
    const drawn = prose && !this.raw ? await markdown(said, this.how.tools ?? null) : plain(said);
    const title = last === true ? 'Last result before it stopped' : '';
    const head = el(
      'div',
      { class: asked ? 'om-answer-head' : 'om-answer-head om-faint' },
      title,
      asked && el('strong', {}, foreign(asked))
    );
    if (empty) {
      return [head];
    }
    if (prose && this.how.tools?.markdownParser) {
      head.append(
        button(this.raw ? 'Markdown' : 'Raw', () => {
          this.raw = !this.raw;
          void this.show(this.trace);
        }, { class: 'om-act om-quiet' }) // prettier-ignore
      );
    }
    return [head, el('div', { class: 'om-answer', tabindex: '0', role: 'region', 'aria-label': 'Answer' }, drawn)];
  }

  private answer(trace: Trace): unknown {
    const { span, value, question } = fields(trace.card.answer);
    if (text(question) !== null) {
      return value;
    }
    return value ?? trace.spans.find(s => s.id === span)?.output ?? trace.totals.output;
  }
}

/** `$0.0012 of $0.50`: how much of its limits a run under way has used. */
function limits(trace: Trace): string[] {
  const { deadline, max_tokens, budget } = fields(trace.card.limits);
  const { seconds: took, usage, cost } = trace.totals;
  return [
    number(budget) ? `${money(cost)} of ${money(number(budget))}` : '',
    number(max_tokens) ? `${count(tokens(usage))} of ${count(number(max_tokens))} tokens` : '',
    number(deadline) ? `${seconds(took)} of ${seconds(number(deadline))}` : ''
  ];
}
