/** The interactive trace: a header, rows on a time axis, and the pane of the row that was chosen. No kernel needed.
 *
 * Only the rows in sight are in the page, so that a run of ten thousand spans is drawn as fast as one of ten. */

import { detail, whole } from './detail.js';
import { button, el, foreign } from './dom.js';
import { Span, Trace, length, soFar, tokens } from './record.js';
import { Opened, Row, critical, failures, rowsOf, tries } from './rows.js';
import { MARKS, cache, calls, count, label, money, note, oneLine, path, seconds, total } from './words.js';

const HEIGHT = 24; // pixels of a row, as in the style sheet
const TALL = 18; // rows that are in sight at most in a notebook
const SPARE = 8; // rows above and below those in sight
const TRIES = 20; // attempts that are drawn in a bar
const SHOWN = 5; // failures that are told above the rows

export interface How {
  /** In a tab of its own the rows take all the height there is. */
  fill?: boolean;
  /** Tell of nothing until a row is chosen. */
  brief?: boolean;
  /** Seconds that the axis shows, where two runs stand on one. */
  span?: number;
}

export class TraceView {
  readonly node = el('div', { class: 'om-trace' });
  private trace!: Trace;
  private rows: Row[] = [];
  private hangs = new Set<string>();
  private readonly opened = new Opened();
  private chosen: string | null = null;
  private asked = false; // somebody has chosen something
  private readonly head = el('div', { class: 'om-head' });
  private readonly failed = el('div', { class: 'om-failures' });
  private readonly axis = el('div', { class: 'om-row om-axis', 'aria-hidden': 'true' });
  private readonly list = el('div', {
    class: 'om-list', role: 'tree', tabindex: '0', 'aria-label': 'Steps of the run', 'data-lm-suppress-shortcuts': 'true'
  }); // prettier-ignore
  private readonly space = el('div', { class: 'om-space' });
  private readonly pane = el('div', { class: 'om-pane' });
  private static count = 0;
  private readonly prefix = `om-${(TraceView.count += 1)}`;

  constructor(private readonly how: How = {}) {
    this.list.append(this.space);
    this.list.addEventListener('scroll', () => {
      this.window();
    });
    this.list.addEventListener('keydown', event => {
      this.pressed(event);
    });
    this.node.classList.toggle('om-fill', how.fill ?? false);
    const rows = el('div', { class: 'om-rows' }, this.axis, this.list);
    this.node.append(this.head, this.failed, el('div', { class: 'om-body' }, rows, this.pane));
  }

  /** Show a trace; what is open and chosen stays so when it is the next moment of the same run. */
  show(trace: Trace): void {
    this.trace = trace;
    const hangs = critical(trace);
    this.node.classList.toggle(
      'om-free',
      trace.spans.every(s => s.cost === 0)
    );
    const forks = trace.steps.length > 0 && this.forks(hangs);
    this.hangs = forks ? hangs : new Set();
    this.header();
    this.troubles();
    this.scale();
    this.rebuild();
    this.tell();
  }

  /** Something ran beside something else: only then is there a path to point out. */
  private forks(hangs: Set<string>): boolean {
    return rowsOf(this.trace, new Opened()).some(r => length(r.span) > 0 && !hangs.has(r.span.id));
  }

  private header(): void {
    const t = this.trace.totals;
    const status = el(
      'span',
      { class: `om-status om-is-${word(t.status)}` },
      `${MARKS[t.status] ?? '·'} ${oneLine(t.status)}`
    );
    const facts = [seconds(t.seconds), `${count(tokens(t.usage))} tokens`, total(this.trace), calls(this.trace)];
    const said = facts.map(fact => el('span', { class: 'om-fact' }, fact));
    const name = button(oneLine(t.name || t.run), () => {
      this.choose(null);
    }, { class: 'om-name', title: 'What went into the run, and what came out' }); // prettier-ignore
    const pattern = t.pattern && el('span', { class: 'om-fact om-faint' }, foreign(oneLine(`%%${t.pattern}`)));
    this.head.replaceChildren(
      name,
      status,
      ...said,
      pattern || '',
      el('span', { class: 'om-fact om-faint' }, oneLine(t.run))
    );
    if (t.error ?? t.reason) {
      const error = el('div', { class: t.error ? 'om-error' : 'om-why' }, foreign(oneLine(t.error ?? t.reason, 300)));
      this.head.append(error);
    }
  }

  /** What failed comes first, red, with its input; a click leads to its row. */
  private troubles(): void {
    const found = failures(this.trace);
    const told = found.slice(0, SHOWN).map(span => {
      const said = button('', () => {
        this.reveal(span);
      }, { class: 'om-failure' }); // prettier-ignore
      const went = span.input === null ? '' : `in: ${oneLine(said_input(span.input), 160)}`;
      said.append(
        el('b', {}, '✗ ', foreign(oneLine(path(span.id)))),
        ' ',
        foreign(oneLine(span.error ?? 'failed', 300))
      );
      said.append(went && el('span', { class: 'om-faint' }, foreign(went)));
      return said;
    });
    const more = found.length - told.length;
    const { left } = this.trace;
    this.failed.replaceChildren(
      ...told,
      more > 0 ? el('div', { class: 'om-faint' }, `… ${count(more)} more failed`) : '',
      left > 0 ? el('div', { class: 'om-faint om-left' }, `… ${count(left)} more spans are not shown`) : ''
    );
  }

  private get seconds(): number {
    return Math.max(this.how.span ?? 0, this.trace.totals.seconds, 1e-9);
  }

  private scale(): void {
    const ticks = [0, 0.25, 0.5, 0.75, 1].map(part =>
      el('span', { class: 'om-tick', style: `left:${part * 100}%` }, part ? seconds(this.seconds * part) : '0')
    );
    const cells = ['step', '', 'time', 'tokens', 'cost', this.hangs.size ? '◆ the length hangs on it' : ''];
    this.axis.replaceChildren(...cells.map((text, i) => el('span', { class: CELLS[i] }, text)));
    this.axis.children[1].append(...ticks);
  }

  private rebuild(): void {
    this.rows = rowsOf(this.trace, this.opened);
    this.space.style.height = `${this.rows.length * HEIGHT}px`;
    const most = this.how.fill ? this.rows.length : Math.min(this.rows.length, TALL);
    this.list.style.height = `${most * HEIGHT + 2}px`;
    this.window();
  }

  /** Draw the rows in sight. */
  private window(): void {
    const tall = this.list.clientHeight || TALL * HEIGHT;
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
  }

  /** The window again, once the view has its size: what is in sight may be more than was guessed. */
  resized(): void {
    if (this.trace as Trace | undefined) {
      this.window();
    }
  }

  private row(row: Row, index: number): HTMLElement {
    const { span, depth, open } = row;
    const made = el('div', {
      class: `om-row om-is-${word(span.status)} om-kind-${word(span.kind)}`, role: 'treeitem', id: `${this.prefix}-${index}`,
      style: `top:${index * HEIGHT}px`, 'aria-level': `${depth + 1}`, 'aria-setsize': `${row.among}`,
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
    const mark = el(
      'span',
      { class: 'om-mark', title: span.status },
      span.kind === 'more' ? '' : (MARKS[span.status] ?? '·')
    );
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
    const spent = tokens(span.usage) > 0;
    made.append(
      step,
      this.bar(span),
      el('span', { class: CELLS[2] }, span.status === 'skipped' ? '' : seconds(soFar(this.trace, span))),
      el('span', { class: CELLS[3] }, spent ? count(tokens(span.usage)) : ''),
      el('span', { class: CELLS[4] }, spent ? money(span.cost, span.unpriced) : ''),
      el('span', { class: CELLS[5] }, foreign(note(this.trace, span)))
    );
    made.addEventListener('click', () => {
      this.choose(span.id);
      if (span.kind === 'more') {
        this.toggle(row);
      }
    });
    return made;
  }

  private bar(span: Span): HTMLElement {
    const lane = el('span', { class: CELLS[1] });
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
    const left = Math.min(99.3, (100 * span.start) / this.seconds);
    const wide = Math.min(100 - left, Math.max(0.4, (100 * soFar(this.trace, span)) / this.seconds));
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

  /** Choose a row (null: the run itself), and tell of it. */
  private choose(id: string | null): void {
    this.chosen = id;
    this.asked = true;
    this.window();
    this.tell();
  }

  /** Open what a span is inside, and go there. */
  private reveal(span: Span): void {
    const above = new Map(this.trace.spans.map(s => [s.id, s]));
    for (let at = span.parent; at !== null; at = above.get(at)?.parent ?? null) {
      this.opened.closed.delete(at);
      if (!rowsOf(this.trace, this.opened).some(r => r.span.id === span.id)) {
        this.opened.all.add(at);
      }
    }
    this.rebuild();
    this.choose(span.id);
    this.inSight(this.rows.findIndex(r => r.span.id === span.id));
    this.list.focus({ preventScroll: true });
  }

  private tell(): void {
    const row = this.rows.find(r => r.span.id === this.chosen);
    if (!row && this.how.brief && !this.asked) {
      this.pane.replaceChildren();
      return;
    }
    this.pane.replaceChildren(row ? detail(this.trace, row.span) : whole(this.trace));
  }

  private inSight(index: number): void {
    const top = index * HEIGHT;
    const tall = this.list.clientHeight || TALL * HEIGHT;
    if (top < this.list.scrollTop) {
      this.list.scrollTop = top;
    } else if (top + HEIGHT > this.list.scrollTop + tall) {
      this.list.scrollTop = top + HEIGHT - tall;
    }
    this.window();
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
    const page = Math.max(1, Math.floor(this.list.clientHeight / HEIGHT) - 1);
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

/** A status or kind as a part of a class name: what comes from a file may be anything. */
function word(text: string): string {
  return /^[a-z]+$/.test(text) ? text : 'other';
}

/** Of messages what was said last. */
function said_input(input: unknown): unknown {
  const last: unknown = Array.isArray(input) ? input[input.length - 1] : null;
  return last !== null && typeof last === 'object' && 'content' in last ? last.content : input;
}
