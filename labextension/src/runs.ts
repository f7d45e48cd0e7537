/** The list of runs: newest first, what today cost, and for each run what can be done with it. No JupyterLab in here. */

import { button, el, foreign } from './dom.js';
import { message } from './editor.js';
import { RunFilter } from './filter.js';
import { Face, NotLoaded, Overview, Run } from './kernel.js';
import { Question } from './question.js';
import { Trace } from './record.js';
import { MARKS, count, money, oneLine, seconds, word } from './words.js';

/** What the list asks of what it stands in. */
export interface Around {
  /** The kernel of the current notebook; null when there is none. */
  face(): Face | null;
  /** Traces that the current notebook holds, newest first: they can be read without a kernel. */
  saved(): Trace[];
  open(run: Run | Trace): void;
  compare(runs: readonly (Run | Trace)[]): void;
  /** The list was asked for anew. */
  listed(runs: readonly Run[]): void;
}

export class RunList {
  readonly node = el('div', { class: 'om-panel' });
  runs: Run[] = [];
  private saved: Trace[] = [];
  private readonly chosen = new Map<string, Run | Trace>();
  private readonly questions = new Map<string, Question>();
  private readonly today = el('span', { class: 'om-today' });
  private readonly note = el('div', { class: 'om-message', role: 'status' });
  private readonly list = el('ul', { class: 'om-runs', 'aria-label': 'Runs, newest first' });
  private readonly comparing: HTMLButtonElement;
  private said = ''; // by the last refresh
  private shown = FIRST; // runs that the kernel is asked for
  private readonly older = button('Show older runs', () => void this.more(), { class: 'om-button' });
  private readonly all = button('Show all', () => { this.filter.clear(); }, { class: 'om-button' }); // prettier-ignore
  private readonly filter = new RunFilter(() => {
    this.draw(this.said);
  });

  constructor(private readonly around: Around) {
    this.comparing = button('Compare', () => {
      this.around.compare([...this.chosen.values()]);
    }, { class: 'om-button', title: 'Compare the two runs that are ticked' }); // prettier-ignore
    const again = button('↻', () => void this.refresh(), {
      class: 'om-button',
      title: 'Refresh',
      'aria-label': 'Refresh'
    });
    const bar = el('div', { class: 'om-bar-top' }, this.today, this.comparing, again);
    this.older.hidden = true;
    this.node.append(
      bar,
      this.filter.node,
      this.note,
      this.list,
      el('div', { class: 'om-below' }, this.all, this.older)
    );
    this.draw('');
  }

  /** Ask the kernel, and show what it says; without one, what the notebook holds. */
  async refresh(): Promise<void> {
    this.saved = this.around.saved();
    const face = this.around.face();
    let told: Overview = { today: 0, runs: [] };
    let note = face ? '' : NO_KERNEL;
    try {
      told = (await face?.overview(this.shown)) ?? told;
    } catch (error) {
      note = error instanceof NotLoaded ? error.message : `✗ ${message(error)}`;
    }
    this.runs = told.runs;
    this.older.hidden = !told.more;
    this.today.textContent = face && !note ? `Today ${money(told.today, told.unpriced)}` : '';
    this.said = note;
    this.draw(note);
    this.around.listed(this.runs);
  }

  /** As many runs again; the focus goes to the first of them. */
  private async more(): Promise<void> {
    const before = this.list.querySelectorAll('.om-run').length;
    this.shown *= 2;
    await this.refresh();
    [...this.list.querySelectorAll<HTMLElement>('.om-open')].at(before)?.focus();
  }

  /** The latest run of all: of the kernel, or of the notebook. */
  get last(): Run | Trace | undefined {
    return this.runs[0] ?? this.saved[0];
  }

  /** A run by its id: of the kernel, or of the notebook. */
  known(id: string): Run | Trace | undefined {
    return this.runs.find(r => r.id === id) ?? this.saved.find(t => t.totals.run === id);
  }

  /** The two that are ticked; else the two latest. */
  get pair(): readonly (Run | Trace)[] {
    return this.chosen.size === 2 ? [...this.chosen.values()] : [...this.runs, ...this.others()].slice(0, 2);
  }

  /** Go on with the latest run that waits or broke off; false when there is none. */
  async resume(): Promise<boolean> {
    const run = this.runs.find(r => r.status === 'waiting' || BROKEN.has(r.status));
    if (run?.status === 'waiting') {
      this.questions.get(key(run))?.focus();
    } else if (run) {
      await this.act(
        face => face.resume(run.id),
        run,
        () => `Run ${run.id} goes on.`
      );
    }
    return run !== undefined;
  }

  /** The traces of the notebook that are none of the listed runs: ids are those of one machine. */
  private others(): Trace[] {
    const same = (run: Run, { totals: t }: Trace) =>
      run.id === t.run && Math.abs(Date.parse(run.started) - Date.parse(t.started)) < CLOSE;
    return this.saved.filter(trace => !this.runs.some(run => same(run, trace)));
  }

  private draw(note: string): void {
    const asks = new Set(this.runs.filter(r => r.asked).map(key));
    for (const old of [...this.questions.keys()].filter(k => !asks.has(k))) {
      this.questions.delete(old);
    }
    const all = this.others();
    const runs = this.runs.filter(run => this.filter.shows(run));
    const others = all.filter(trace => this.filter.shows(asRun(trace)));
    const listed = this.runs.length + all.length;
    const focus = document.activeElement;
    const rows = [...runs.map(run => this.row(run)), ...others.map(trace => this.row(trace))];
    if (others.length && runs.length) {
      rows.splice(runs.length, 0, el('li', { class: 'om-part', role: 'presentation' }, 'Also in this notebook'));
    }
    this.list.replaceChildren(...rows);
    if (focus instanceof HTMLElement && this.list.contains(focus)) {
      focus.focus(); // a field that a person types in is where it was
    }
    const shown = runs.length + others.length;
    const hidden = shown < listed ? `${count(shown)} of ${count(listed)} listed runs match.` : '';
    this.all.hidden = shown > 0 || !listed;
    this.note.textContent = listed
      ? [note, hidden].filter(Boolean).join('. ')
      : note === NO_KERNEL
        ? NO_RUN
        : note || NONE;
    this.comparing.disabled = this.chosen.size !== 2;
  }

  private row(of: Run | Trace): HTMLElement {
    const run = of instanceof Trace ? asRun(of) : of;
    const tick = el('input', { type: 'checkbox', 'aria-label': `Compare ${run.id}`, title: 'Compare' });
    tick.checked = this.chosen.has(`${run.id} ${run.started}`);
    tick.addEventListener('change', () => {
      this.tick(of, run, tick.checked);
    });
    const state = run.doubt || run.status; // as the card says it
    const mark = el('span', { class: 'om-mark', title: word(state) }, MARKS[state] ?? '·');
    const cost = money(run.cost, run.unpriced);
    const spent = [state === 'done' ? '' : oneLine(word(state), 30), clock(run.started), seconds(run.seconds), cost];
    const open = button('', () => {
      this.around.open(of);
    }, { class: 'om-open', title: `Open the trace of ${run.id}` }); // prettier-ignore
    const name = el('span', { class: 'om-run-name' }, foreign(oneLine(run.name, 60)), ' ', el('small', {}, run.id));
    open.append(mark, name, el('span', { class: 'om-run-facts' }, spent.filter(Boolean).join(' · ')));
    const acts = of instanceof Trace ? [] : this.acts(run);
    const line = el('div', { class: 'om-run-line' }, tick, open, ...acts);
    return el('li', { class: `om-run om-is-${MARKS[run.status] ? run.status : 'other'}` }, line, this.question(run));
  }

  private acts(run: Run): HTMLElement[] {
    const export_ = button('⤓', () => {
      void this.act(face => face.export(run.id), run, found => `Wrote ${found.file}.`);
    }, { class: 'om-small', title: 'Export what ran as a Python module', 'aria-label': `Export ${run.name}` }); // prettier-ignore
    if (!BROKEN.has(run.status)) {
      return [export_];
    }
    const resume = button('▶', () => {
      void this.act(face => face.resume(run.id), run, () => `Run ${run.id} goes on.`);
    }, { class: 'om-small', title: 'Go on where it broke off', 'aria-label': `Resume ${run.id}` }); // prettier-ignore
    return [resume, export_];
  }

  private question(run: Run): HTMLElement | null {
    if (!run.asked) {
      return null;
    }
    const known = this.questions.get(key(run));
    const face = () => {
      const found = this.around.face();
      if (!found) {
        throw new Error('there is no kernel');
      }
      return found;
    };
    const asks = known ?? new Question(run, face, () => void this.refresh());
    this.questions.set(key(run), asks);
    return asks.node;
  }

  /** At most two are ticked: a third takes the place of the first. */
  private tick(of: Run | Trace, run: Run, on: boolean): void {
    this.chosen.delete(`${run.id} ${run.started}`);
    if (on) {
      this.chosen.set(`${run.id} ${run.started}`, of);
    }
    if (this.chosen.size > 2) {
      this.chosen.delete([...this.chosen.keys()][0]);
    }
    this.draw(this.said);
  }

  private async act<T>(what: (face: Face) => Promise<T>, run: Run, said: (found: T) => string): Promise<void> {
    const face = this.around.face();
    if (!face) {
      return;
    }
    let note: string;
    try {
      note = said(await what(face));
    } catch (error) {
      note = `✗ ${run.id}: ${message(error)}`;
    }
    await this.refresh();
    this.note.textContent = oneLine(note, 300);
  }
}

const FIRST = 50; // runs that are listed at first
const NO_KERNEL = 'No kernel: runs saved in this notebook';
const NONE = 'No run yet: run a cell such as %%chain.';
const NO_RUN = 'No kernel, and no run is saved in this notebook';
const CLOSE = 5_000; // milliseconds between what the history and the trace call the start of a run
const BROKEN = new Set(['lost', 'cancelled', 'capped', 'failed']);

function key(run: Run): string {
  return JSON.stringify([run.id, run.started, run.asked]);
}

/** The line of a run that only the notebook holds. */
function asRun(trace: Trace): Run {
  const { run, name, pattern, status, doubt, started, seconds: took, usage, cost, unpriced } = trace.totals;
  const tokens = usage.input + usage.output;
  return {
    id: run,
    name,
    pattern,
    status,
    doubt,
    started,
    parent: null,
    here: false,
    seconds: took,
    tokens,
    cost,
    unpriced
  };
}

/** The time of day; of another day also the date. */
function clock(started: string): string {
  const at = new Date(started);
  if (Number.isNaN(at.getTime())) {
    return '';
  }
  const time = at.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  const today = at.toDateString() === new Date().toDateString();
  return today ? time : `${at.toLocaleDateString([], { month: 'short', day: 'numeric' })}, ${time}`;
}
