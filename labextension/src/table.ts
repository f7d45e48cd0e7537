/** The rows of a run over items: failed ones first, then unsure ones. A heading sorts, a click leads to the row's step. */

import { button, el, foreign } from './dom.js';
import { fields, name, number, parsed, text } from './record.js';
import { count, oneLine } from './words.js';

const MOST = 1_000; // rows that are drawn
const COLUMNS = 20;
const CELL = 200; // characters
const SIGNS = ['✗', '!', '✓'];
const TONES = ['om-tone-bad', 'om-tone-warn', ''];

/** Which of the signs, the number of the item, and its cells; of a failed one its input and the error. */
interface Line {
  sign: number;
  item: number;
  cells: unknown[];
}

export class Results {
  readonly node: HTMLElement;
  private lines: Line[] = [];
  private columns: string[] = [];
  private readonly heads = el('tr');
  private readonly caption = el('div', { class: 'om-caption' });
  private readonly box: HTMLElement;
  private readonly more: HTMLButtonElement;
  private readonly problem = el('div', { class: 'om-error', role: 'alert' });
  private readonly body = el('tbody');
  private by = -1;
  private up = true;

  /** `chosen` gets the number of the item that was clicked; `fetch` puts the rows that the kernel has. */
  constructor(
    data: Record<string, unknown>,
    private readonly chosen: (item: number) => void,
    private readonly fetch: () => Promise<void>
  ) {
    const table = el('table', { class: 'om-results' }, el('thead', {}, this.heads), this.body);
    this.box = el('div', { class: 'om-table-box', tabindex: '0', role: 'region' }, table);
    this.more = button('', () => void this.ask(), { class: 'om-act om-quiet' });
    this.node = el('div', {}, this.caption, this.box, this.more, this.problem);
    this.put(data);
  }

  /** Show these rows in place of those before. */
  put(data: Record<string, unknown>): void {
    this.columns = (Array.isArray(data.columns) ? data.columns.slice(0, COLUMNS) : []).map(name);
    this.lines = (Array.isArray(data.rows) ? data.rows.slice(0, MOST) : []).map(lineOf);
    const heads = this.columns.map((title, i) => this.head(title, i));
    const told = told_(data, this.lines.length);
    this.heads.replaceChildren(el('th', { scope: 'col', 'aria-label': 'status' }), ...heads);
    this.caption.textContent = told;
    this.box.setAttribute('aria-label', told);
    [this.by, this.up] = [-1, true];
    const left = number(data.total) - this.lines.length;
    this.more.hidden = left <= 0;
    this.more.textContent = `${count(left)} more ${left === 1 ? 'row' : 'rows'} · Show`;
    this.draw();
  }

  /** What Copy takes: tabs between cells. */
  get text(): string {
    return [this.columns, ...this.lines.map(line => [line.item, ...line.cells])]
      .map(cells => cells.map(cell => said(cell)).join('\t'))
      .join('\n');
  }

  private async ask(): Promise<void> {
    const before = this.lines.length;
    this.more.disabled = true;
    this.problem.textContent = '';
    try {
      await this.fetch();
      if (!this.more.hidden) {
        this.more.hidden = true;
        const now = this.lines.length;
        this.problem.textContent = `${now > before ? 'The card shows no more rows than these' : 'The kernel has no more rows of this run'}; run.table() has those of the run.`;
      }
    } catch (error) {
      this.problem.textContent = oneLine(error instanceof Error ? error.message : String(error), 300);
    } finally {
      this.more.disabled = false;
    }
  }

  private head(title: string, at: number): HTMLElement {
    const made = el('th', { scope: 'col', 'aria-sort': 'none', class: this.numbers(at) ? 'om-num' : '' });
    const sort = button(oneLine(title, 40), () => {
      this.up = this.by === at ? !this.up : true;
      this.by = at;
      for (const other of made.parentElement!.querySelectorAll('[aria-sort]')) {
        other.setAttribute('aria-sort', other !== made ? 'none' : this.up ? 'ascending' : 'descending');
      }
      this.draw();
    }, { class: 'om-sort', title: `Sort by ${oneLine(title, 40)}` }); // prettier-ignore
    made.append(sort);
    return made;
  }

  private numbers(at: number): boolean {
    const found = this.lines.filter(line => line.sign > 0).map(line => cell(line, at));
    return found.length > 0 && found.every(value => typeof value === 'number' || value === null || value === undefined);
  }

  private draw(): void {
    const { by } = this;
    const sorted =
      by < 0 ? this.lines : [...this.lines].sort((a, b) => (this.up ? 1 : -1) * compared(cell(a, by), cell(b, by)));
    this.body.replaceChildren(...sorted.map(line => this.row(line)));
  }

  private row(line: Line): HTMLElement {
    const failed = line.sign === 0;
    const cells = [line.item, ...line.cells].slice(0, failed ? 3 : this.columns.length).map((value, i) => {
      const text = said(value);
      const made = el(i === 0 ? 'th' : 'td', { title: text, dir: 'auto' }, foreign(text));
      made.className = typeof value === 'number' ? 'om-num' : '';
      if (i === 0) {
        made.setAttribute('scope', 'row');
      } else if (failed && i === 2) {
        made.colSpan = Math.max(1, this.columns.length - 2);
      }
      return made;
    });
    const made = el('tr', { class: TONES[line.sign] }, el('td', { class: 'om-cell-mark' }, SIGNS[line.sign]), ...cells);
    made.addEventListener('click', () => {
      this.chosen(line.item);
    });
    return made;
  }
}

function lineOf(data: unknown): Line {
  const found: unknown = typeof data === 'string' ? parsed(data) : data;
  const [sign, item, ...cells] = Array.isArray(found) ? (found as unknown[]).slice(0, COLUMNS + 2) : [];
  return { sign: sign === 0 || sign === 1 ? sign : 2, item: number(item), cells };
}

function cell(line: Line, at: number): unknown {
  return at === 0 ? line.item : line.cells[at - 1];
}

function said(value: unknown): string {
  if (typeof value === 'number') {
    return `${Math.round(value * 1000) / 1000}`;
  }
  return typeof value === 'boolean' ? (value ? 'yes' : 'no') : oneLine(value, CELL);
}

function compared(a: unknown, b: unknown): number {
  return typeof a === 'number' && typeof b === 'number' ? a - b : said(a).localeCompare(said(b));
}

function told_(data: Record<string, unknown>, shown: number): string {
  const { total, said } = fields(data);
  const rows = oneLine(text(said)) || `${count(number(total))} rows`;
  return number(total) > shown ? `${rows} · ${count(shown)} shown` : rows;
}
