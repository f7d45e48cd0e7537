/** The timeline: a search, rows on a time axis, and the pane of the row that was chosen. No kernel needed.
 *
 * Only the rows in sight are in the page, so that a run of ten thousand spans is drawn as fast as one of ten. */

import { endOf, ticksOf } from './axis.js';
import { Details, Source } from './detail.js';
import { el, foreign } from './dom.js';
import { Bar, HEIGHT, Lanes, loaded } from './lanes.js';
import { Span, Trace, fields, length, soFar, text, tokens } from './record.js';
import { Opened, Row, critical, failures, rowsOf, tries } from './rows.js';
import { cache, count, label, markOf, money, note, oneLine, seconds, shown, stateWord, tilde } from './words.js';

const TALL = 9; // rows in sight under a cell
const SPARE = 8; // rows above and below those in sight
const TRIES = 20; // attempts that are drawn in a bar
const READ = 500; // characters of each value that a search looks at
const COLORS = new Map(Object.entries({
  call: 'call', item: 'call', vote: 'call', ask: 'call', tools: 'tool', tool: 'tool', approve: 'wait', sub: 'grey', more: 'grey'
})); // prettier-ignore
const STATUS_COLORS = new Map(Object.entries({
  failed: 'bad', waiting: 'wait', cancelled: 'grey', rejected: 'grey', skipped: 'grey'
})); // prettier-ignore
const HATCHES = new Map(Object.entries({ failed: 'x', waiting: '|' }));

export interface How extends Source {
  /** In a tab of its own the rows take all the height there is. */
  fill?: boolean;
  /** Seconds that the axis shows, where two runs stand on one. */
  span?: number;
}

export class TraceView {
  readonly node = el('div', { class: 'om-trace' });
  /** Steps to come, by name: they have rows from the start. */
  pending: readonly string[] = [];
  private trace!: Trace;
  private rows: Row[] = [];
  private hangs = new Set<string>();
  private readonly opened = new Opened();
  private chosen: string | null = null;
  private zoom: [number, number] | null = null;
  private end = 1;
  private tallest = 0; // rows: the list never shrinks while it is looked at
  private readonly wide = [4, 6, 4]; // characters of time, tokens and cost: columns never shrink, too
  private readonly texts = new Map<string, string>();
  private readonly find = el('input', {
    type: 'search', class: 'om-find', placeholder: 'Find in this trace', 'aria-label': 'Find in this trace',
    'data-lm-suppress-shortcuts': 'true'
  }); // prettier-ignore
  private readonly found = el('span', { class: 'om-faint', role: 'status' });
  private readonly axis = el('div', { class: 'om-row om-axis', 'aria-hidden': 'true' });
  private readonly list = el('div', {
    class: 'om-list', role: 'tree', tabindex: '0', 'aria-label': 'Steps of the run', 'data-lm-suppress-shortcuts': 'true'
  }); // prettier-ignore
  private readonly space = el('div', { class: 'om-space' });
  private readonly details: Details;
  private readonly lanes = new Lanes(
    row => {
      this.pick(row);
    },
    range => {
      this.zoom = range;
      this.scale();
      this.window();
    }
  );
  private static count = 0;
  private readonly prefix = `om-${(TraceView.count += 1)}`;

  constructor(private readonly how: How = {}) {
    this.details = new Details(how);
    this.list.append(this.axis, this.space, this.lanes.node);
    this.list.addEventListener('scroll', () => {
      this.window();
    });
    this.list.addEventListener('keydown', event => {
      this.pressed(event);
    });
    this.find.addEventListener('input', () => {
      this.rebuild();
    });
    this.node.addEventListener('keydown', event => {
      this.searched(event);
    });
    this.node.classList.toggle('om-fill', how.fill ?? false);
    const tools = el('div', { class: 'om-tools' }, this.find, this.found);
    const rows = el('div', { class: 'om-rows' }, tools, this.list);
    this.node.append(el('div', { class: 'om-body' }, rows, this.details.node));
  }

  /** Show a trace; what is open and chosen stays so when it is the next moment of the same run. */
  show(trace: Trace): void {
    this.trace = trace;
    const hangs = critical(trace);
    const free = trace.spans.every(s => s.cost === 0);
    this.node.classList.toggle('om-free', free && !this.running);
    this.node.classList.toggle('om-timeless', trace.totals.seconds === 0 && !this.running);
    const forks = trace.steps.length > 0 && this.forks(hangs);
    this.hangs = forks ? hangs : new Set();
    this.texts.clear();
    this.end = Math.max(endOf(this.seconds, this.running), 1e-9);
    this.measure();
    this.scale();
    this.rebuild();
    this.tell();
    if (this.running) {
      void loaded().catch(() => null); // it is there when the run ends
    }
  }

  private get running(): boolean {
    return this.trace.totals.status === 'running';
  }

  /** Something ran beside something else: only then is there a path to point out. */
  private forks(hangs: Set<string>): boolean {
    return rowsOf(this.trace, new Opened()).some(r => length(r.span) > 0 && !hangs.has(r.span.id));
  }

  private get seconds(): number {
    return Math.max(this.how.span ?? 0, this.trace.totals.seconds, 1e-9);
  }

  /** The columns are as wide as their longest figure: no number is cut. */
  private measure(): void {
    for (const row of rowsOf(this.trace, this.opened).slice(0, READ)) {
      this.figures(row.span).forEach((text, i) => {
        this.wide[i] = Math.max(this.wide[i], text.length);
      });
    }
    ['time', 'tokens', 'cost'].forEach((name, i) => {
      this.node.style.setProperty(`--om-${name}-wide`, `${this.wide[i] + 0.5}ch`);
    });
  }

  private figures(span: Span): string[] {
    const spent = tokens(span.usage) > 0;
    const still = ['skipped', 'pending'].includes(span.status) || this.node.classList.contains('om-timeless');
    return [
      still ? '' : seconds(soFar(this.trace, span)),
      spent ? `${tilde(span.usage)}${count(tokens(span.usage))}` : '',
      spent ? `${span.cost ? tilde(span.usage) : ''}${price(span)}` : ''
    ];
  }

  private scale(): void {
    const [from, to] = this.zoom ?? [0, this.end];
    const at = ticksOf(to - from).map(tick => from + tick);
    const ticks = at.map(tick => {
      const place = (100 * (tick - from)) / (to - from);
      return el('span', { class: `om-tick${place > 92 ? ' om-tick-last' : ''}`, style: `left:${place}%` }, tick ? seconds(tick).replace('.0 ', ' ') : '0'); // prettier-ignore
    });
    const cells = ['step', '', 'time', 'tokens', 'cost', this.hangs.size ? '◆ sets the total time' : ''];
    this.axis.replaceChildren(...cells.map((text, i) => el('span', { class: CELLS[i] }, text)));
    this.axis.children[1].append(...ticks);
  }

  private rebuild(): void {
    this.rows = this.searching ? this.matching() : rowsOf(this.trace, this.opened);
    const come = new Set(this.trace.steps.map(s => s.name));
    for (const name of this.searching ? [] : this.pending.filter(n => !come.has(n))) {
      const span = { ...NOTHING, id: `${name}#0`, name, start: this.trace.totals.seconds };
      this.rows.push({ span, depth: 0, open: null, place: this.rows.length + 1, among: this.rows.length + 1 });
    }
    this.space.style.height = `${this.rows.length * HEIGHT}px`;
    const most = this.how.fill ? this.rows.length : Math.min(this.rows.length, TALL);
    this.tallest = this.how.fill ? most : Math.max(this.tallest, most);
    this.list.style.height = `${(this.tallest + 1) * HEIGHT + 2}px`;
    if (!this.searching) {
      const { left } = this.trace;
      this.found.textContent = left > 0 ? `${count(left)} more spans are not shown` : '';
      this.found.classList.toggle('om-left', left > 0);
    }
    this.window();
  }

  private get searching(): boolean {
    return this.find.value.trim() !== '';
  }

  /** The rows that hold what is looked for, with the rows that they are inside. */
  private matching(): Row[] {
    const word = this.find.value.trim().toLowerCase();
    const everything = new Opened();
    this.trace.spans.forEach(s => everything.all.add(s.id));
    const all = rowsOf(this.trace, everything);
    const hits = all.filter(r => this.text(r.span).includes(word));
    const kept = new Set(hits.map(r => r.span.id));
    const above = new Map(all.map(r => [r.span.id, r.span.parent]));
    for (const { span } of hits) {
      for (let at = span.parent; at !== null && !kept.has(at); at = above.get(at) ?? null) {
        kept.add(at);
      }
    }
    this.found.textContent = `${count(hits.length)} of ${count(all.length)} steps`;
    return all.filter(r => kept.has(r.span.id));
  }

  private text(span: Span): string {
    let found = this.texts.get(span.id);
    if (found === undefined) {
      const asks = this.trace.inside(span).filter(s => s.kind === 'ask');
      const values = [span, ...asks].flatMap(s => [s.input, s.output, s.error, s.model, ...s.why.map(w => w.words)]);
      const told = [label(this.trace, span), note(this.trace, span), span.doubt, ...values.map(v => shown(v, READ))];
      found = told.join('\n').toLowerCase();
      this.texts.set(span.id, found);
    }
    return found;
  }

  /** Draw the rows in sight. */
  private window(): void {
    const tall = this.list.clientHeight || (TALL + 1) * HEIGHT;
    const first = Math.max(0, Math.floor(this.list.scrollTop / HEIGHT) - SPARE);
    const last = Math.min(this.rows.length, Math.ceil((this.list.scrollTop + tall) / HEIGHT) + SPARE);
    const drawn = [];
    for (let i = first; i < last; i += 1) {
      drawn.push(this.row(this.rows[i], i));
    }
    this.space.replaceChildren(...drawn);
    const at = this.rows.findIndex(r => r.span.id === this.chosen);
    if (at >= first && at < last) {
      this.list.setAttribute('aria-activedescendant', `${this.prefix}-${at}`);
    } else {
      this.list.removeAttribute('aria-activedescendant');
    }
    void this.plot(first, last);
  }

  /** The window again: the view has its size only now, or the theme is another one. */
  resized(): void {
    if (this.trace as Trace | undefined) {
      this.window();
    }
  }

  /** Plotly's bars in place of those of the rows, once the run has ended. */
  private async plot(first: number, last: number): Promise<void> {
    const row = this.space.firstElementChild;
    const none = !row || this.running || this.node.classList.contains('om-timeless') || !this.list.offsetParent;
    this.lanes.node.hidden = none;
    if (none) {
      this.node.classList.remove('om-plotted');
      return;
    }
    const origin = this.list.getBoundingClientRect().left;
    const place = (name: string) => {
      const cell = row.querySelector(`.${name}`)?.getBoundingClientRect();
      return cell && cell.width > 20 ? cell : null;
    };
    const [lane, spent, paid] = ['om-lane', 'om-tokens', 'om-cost'].map(place);
    if (!lane) {
      return;
    }
    const left = lane.left - origin;
    const width = (paid ?? spent ?? lane).right - lane.left;
    const part = (cell: DOMRect | null): [number, number] | null =>
      cell && [(cell.left - lane.left) / width, Math.min(1, (cell.right - lane.left) / width)];
    const bars = this.rows.slice(first, last).map(({ span }, i) => this.barOf(span, first + i));
    const style = getComputedStyle(this.node);
    const done = await this.lanes.draw({
      bars, first, last, end: this.end, ticks: ticksOf(this.end),
      at: { left, width, lane: part(lane)!, tokens: part(spent), cost: part(paid) },
      color: name => style.getPropertyValue(`--om-${name}`).trim() || '#777777'
    }).catch(() => false); // prettier-ignore
    if (done) {
      this.node.classList.add('om-plotted');
    }
  }

  private barOf(span: Span, row: number): Bar {
    const kept = cache(this.trace, span) !== '';
    const told = [
      label(this.trace, span),
      `${seconds(soFar(this.trace, span))}, from ${seconds(span.start)}`,
      note(this.trace, span)
    ];
    return {
      row, start: span.start, length: ['pending', 'skipped'].includes(span.status) ? -1 : soFar(this.trace, span),
      color: STATUS_COLORS.get(span.status) ?? COLORS.get(span.kind) ?? 'code', hatch: kept ? '/' : (HATCHES.get(span.status) ?? ''),
      input: span.usage.input, output: span.usage.output, cost: span.cost ?? 0,
      tries: tries(this.trace, span).slice(0, TRIES).map(t => ({ start: t.start, length: soFar(this.trace, t), bad: t.status !== 'done' })),
      hover: told.filter(Boolean).map(text => plain(oneLine(text, 90))).join('<br>')
    }; // prettier-ignore
  }

  private row(row: Row, index: number): HTMLElement {
    const { span, depth, open } = row;
    const made = el('div', {
      class: `om-row om-is-${word(span.status)} om-kind-${word(span.kind)}${span.doubt ? ' om-doubt' : ''}`, role: 'treeitem',
      id: `${this.prefix}-${index}`, style: `top:${index * HEIGHT}px`, 'aria-level': `${depth + 1}`, 'aria-setsize': `${row.among}`,
      'aria-posinset': `${row.place}`, 'aria-selected': `${span.id === this.chosen}`,
      ...(open === null ? {} : { 'aria-expanded': `${open}` })
    }); // prettier-ignore
    const twist = el(
      'span',
      { class: 'om-twist' },
      open === null ? (span.kind === 'more' ? '⋯' : '') : open ? '▾' : '▸'
    );
    twist.addEventListener('click', event => {
      event.stopPropagation();
      this.toggle(row);
    });
    const mark = el('span', { class: 'om-mark', title: span.status }, markOf(span));
    const name = el('span', { class: 'om-label', title: span.kind }, foreign(oneLine(label(this.trace, span))));
    const path = this.hangs.has(span.id) && el('span', { class: 'om-hangs' }, '◆');
    const step = el(
      'span',
      { class: CELLS[0], style: `padding-left:${4 + Math.min(depth, 8) * 14}px` },
      twist,
      mark,
      name,
      path
    );
    const figures = this.figures(span).map((text, i) => el('span', { class: CELLS[2 + i] }, text));
    const said = [
      span.doubt && stateWord(span.doubt),
      this.below(span) ? stateWord(span.status) : note(this.trace, span)
    ]
      .filter(Boolean)
      .join(' · ');
    made.append(step, this.bar(span), ...figures, el('span', { class: CELLS[5], title: said }, foreign(said)));
    made.addEventListener('click', () => {
      this.choose(span.id);
      if (span.kind === 'more') {
        this.toggle(row);
      }
    });
    return made;
  }

  /** What a step waits for stands below the timeline. */
  private below(span: Span): boolean {
    return span.status === 'waiting' && text(fields(this.trace.card.answer).question) !== null;
  }

  private bar(span: Span): HTMLElement {
    const lane = el('span', { class: CELLS[1] });
    if (['pending', 'skipped'].includes(span.status) || this.node.classList.contains('om-timeless')) {
      return lane;
    }
    const { left, wide } = this.place(span);
    const kept = cache(this.trace, span) ? ' om-cached' : '';
    lane.append(el('span', { class: `om-bar${kept}`, style: `left:${left}%;width:${wide}%` }));
    for (const attempt of tries(this.trace, span)
      .filter(a => a.status !== 'done')
      .slice(0, TRIES)) {
      const at = this.place(attempt);
      const told = `${attempt.name}: ${attempt.status}${attempt.error ? `, ${oneLine(attempt.error)}` : ''}`;
      lane.append(el('span', { class: 'om-try', style: `left:${at.left}%;width:${at.wide}%`, title: told }));
    }
    return lane;
  }

  private place(span: Span): { left: string; wide: string } {
    const [from, to] = this.zoom ?? [0, this.end];
    const part = (at: number) => Math.min(100, Math.max(0, (100 * (at - from)) / (to - from)));
    const left = Math.min(99.6, part(span.start));
    const wide = Math.min(100 - left, Math.max(0.4, part(span.start + soFar(this.trace, span)) - left));
    return { left: left.toFixed(2), wide: wide.toFixed(2) };
  }

  private toggle(row: Row): void {
    const { id, kind, parent } = row.span;
    if (kind === 'more' && parent !== null) {
      this.opened.all.add(parent);
    } else if (row.open) {
      this.opened.closed.add(id);
    } else {
      this.opened.closed.delete(id);
    }
    this.rebuild();
  }

  private pick(index: number): void {
    const row = this.rows.at(index);
    if (row) {
      this.choose(row.span.id);
      this.list.focus({ preventScroll: true });
    }
  }

  /** Choose a row, and tell of it. */
  private choose(id: string): void {
    this.chosen = id;
    this.window();
    this.tell();
  }

  /** Open what a span is inside, go there, and put the focus there if a person asked. */
  reveal(id: string, focus = true): boolean {
    const above = new Map(this.trace.spans.map(s => [s.id, s]));
    const span = above.get(id);
    if (!span) {
      return false;
    }
    for (let at = span.parent; at !== null; at = above.get(at)?.parent ?? null) {
      this.opened.closed.delete(at);
      if (!rowsOf(this.trace, this.opened).some(r => r.span.id === span.id)) {
        this.opened.all.add(at);
      }
    }
    this.find.value = '';
    this.rebuild();
    this.choose(span.id);
    this.inSight(this.rows.findIndex(r => r.span.id === span.id));
    if (focus) {
      this.list.focus({ preventScroll: true });
    }
    return true;
  }

  /** The first failure, for a run that failed: what a person looks for. */
  revealFailure(focus: boolean): void {
    const first = failures(this.trace).at(0);
    if (first && (focus || this.chosen === null)) {
      this.reveal(first.id, focus);
    }
  }

  private tell(): void {
    const span =
      this.trace.spans.find(s => s.id === this.chosen) ?? this.rows.find(r => r.span.id === this.chosen)?.span;
    this.details.show(this.trace, span ?? null);
  }

  private inSight(index: number): void {
    const top = index * HEIGHT;
    const tall = (this.list.clientHeight || (TALL + 1) * HEIGHT) - HEIGHT; // without the axis
    if (top < this.list.scrollTop) {
      this.list.scrollTop = top;
    } else if (top + HEIGHT > this.list.scrollTop + tall) {
      this.list.scrollTop = top + HEIGHT - tall;
    }
    this.window();
  }

  /** `/` goes to the search, Escape empties it and goes back. */
  private searched(event: KeyboardEvent): void {
    const inside = event.target === this.find;
    if (event.key === '/' && !inside) {
      this.find.focus();
    } else if (event.key === 'Escape' && inside) {
      this.find.value = '';
      this.rebuild();
      this.list.focus({ preventScroll: true });
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  private pressed(event: KeyboardEvent): void {
    const at = this.rows.findIndex(r => r.span.id === this.chosen);
    const to = this.goal(event.key, at);
    if (to === null) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (to >= 0 && to < this.rows.length) {
      this.choose(this.rows[to].span.id);
      this.inSight(to);
    }
  }

  /** The row that a key leads to; null: not one of our keys. */
  private goal(key: string, at: number): number | null {
    const row = at < 0 ? null : this.rows[at];
    const page = Math.max(1, Math.floor(this.list.clientHeight / HEIGHT) - 2);
    switch (key) {
      case 'ArrowDown': return Math.min(at + 1, this.rows.length - 1);
      case 'ArrowUp': return Math.max(at - 1, 0);
      case 'PageDown': return Math.min(at + page, this.rows.length - 1);
      case 'PageUp': return Math.max(at - page, 0);
      case 'Home': return 0;
      case 'End': return this.rows.length - 1;
      case 'ArrowRight':
        if (row?.open === false) {
          this.toggle(row);
          return at;
        }
        return row?.open ? at + 1 : at;
      case 'ArrowLeft':
        if (row?.open) {
          this.toggle(row);
          return at;
        }
        return row && row.span.parent !== null ? this.rows.findIndex(r => r.span.id === row.span.parent) : at;
      case 'Enter': case ' ':
        if (row && (row.open !== null || row.span.kind === 'more')) {
          this.toggle(row);
        }
        return at;
      default: return null;
    }
  } // prettier-ignore
}

const CELLS = ['om-step', 'om-lane', 'om-time', 'om-tokens', 'om-cost', 'om-note'];
const NOTHING: Span = {
  id: '', parent: null, kind: 'call', name: '', status: 'pending', start: 0, end: 0, model: '', provider: '',
  usage: { input: 0, output: 0, cached: 0, reasoning: 0 }, cost: 0, unpriced: 0, age: null, saved: null, recalled: false, asked: null,
  input: null, output: null, error: null, left_out: {}, why: [], doubt: '', cut: []
}; // prettier-ignore

/** What fits in a column: `$0.0042 +` where the price of a part is not known. */
function price(span: Span): string {
  const known = span.cost !== null && (span.cost > 0 || !span.unpriced);
  return known ? `${money(span.cost)}${span.unpriced ? ' +' : ''}` : 'no price';
}

/** A status or kind as a part of a class name: what comes from a file may be anything. */
function word(text: string): string {
  return /^[a-z]+$/.test(text) ? text : 'other';
}

/** Plotly reads a few tags and formulas in the texts of its labels: none of them is ours. */
function plain(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/\$/g, '&#36;');
}
