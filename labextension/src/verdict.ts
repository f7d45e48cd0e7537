/** Thumbs below a run that has ended: right or wrong, why, and what would have been right. No kernel: no thumbs. */

import { button, drawing, el, foreign } from './dom.js';
import { ValueField, message } from './editor.js';
import { Face, Said } from './kernel.js';
import { Span, Trace } from './record.js';
import { oneLine, shown } from './words.js';

const THUMB =
  'M2 7h2.5v7H2zM6 14V7.4l2.8-5.6c1.3 0 1.9.9 1.6 2.2L9.9 6.4h3.3c.9 0 1.5.8 1.3 1.7l-1 4.6c-.2.8-.7 1.3-1.4 1.3z';
const MOST = 60; // steps that can be corrected
const QUIET = { 'data-lm-suppress-shortcuts': 'true' }; // on the element itself: an x in a field would cut the cell
const KINDS = new Set(['call', 'code', 'sub', 'tools']);
const TITLES: Record<string, string> = { right: 'This run is right', wrong: 'This run is wrong' };

export class Verdict {
  readonly node = el('div', { class: 'om-judge', role: 'group', 'aria-label': 'Was this run right?' });
  private readonly thumbs = new Map<string, HTMLButtonElement>();
  private readonly told = el('span', { class: 'om-judge-told om-faint', role: 'status' });
  private readonly more = button('', () => { this.open(this.said.verdict!, this.said); }, { class: 'om-act om-quiet' }); // prettier-ignore
  private readonly form = el('div', { class: 'om-judge-form', role: 'group' });
  private readonly problem = el('div', { class: 'om-error', role: 'alert' });
  private trace: Trace | null = null;
  private said: Said = {};
  private asking = false;

  constructor(private readonly face: () => Face | null) {
    for (const verdict of ['right', 'wrong']) {
      const thumb = button('', () => void this.pressed(verdict), {
        class: `om-act om-thumb om-thumb-${verdict}`, title: TITLES[verdict], 'aria-label': TITLES[verdict]
      }); // prettier-ignore
      thumb.append(drawing(THUMB));
      this.thumbs.set(verdict, thumb);
    }
    const row = el('div', { class: 'om-judge-row' }, ...this.thumbs.values(), this.told, this.more);
    this.node.append(row, this.form, this.problem);
    this.form.addEventListener('keydown', event => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        this.close(true);
      }
    });
    this.node.hidden = true;
    this.form.hidden = true;
  }

  /** The run at one moment. */
  show(trace: Trace): void {
    const { run, status } = trace.totals;
    const ended = !['running', 'waiting'].includes(status);
    if (run !== this.trace?.totals.run || !ended) {
      this.node.hidden = true;
      this.close();
    }
    this.trace = ended ? trace : null;
    void this.look();
  }

  /** Ask the kernel what was said, unless that is known; there are no thumbs until it has told. */
  async look(): Promise<void> {
    if (!this.node.hidden || !this.node.isConnected || this.asking || !this.trace) {
      return;
    }
    this.asking = true;
    const { trace } = this;
    try {
      const said = await this.ask(trace);
      if (said && trace.totals.run === (this.trace as Trace | null)?.totals.run) {
        this.node.hidden = false;
        this.tell(said);
      }
    } catch {
      // the kernel does not know this run, is gone, or is not connected yet: the pointer asks again
    } finally {
      this.asking = false;
    }
  }

  private async ask(trace: Trace, said?: Said): Promise<Said | undefined> {
    const { run, name, started } = trace.totals;
    return this.face()?.feedback(run, [name, started], said);
  }

  private tell(said: Said): void {
    this.said = said;
    const { verdict, note, expect } = said;
    for (const [name, thumb] of this.thumbs) {
      thumb.setAttribute('aria-pressed', `${name === verdict}`);
    }
    const steps = Object.keys(expect ?? {});
    const parts = [verdict && `Kept: ${verdict}`, steps.length && `${steps.join(', ')} corrected`, note];
    const line = oneLine(parts.filter(Boolean).join(' · '), 300);
    this.told.replaceChildren(foreign(line));
    this.told.title = line;
    this.more.hidden = !verdict || !this.form.hidden;
    this.more.textContent = note || steps.length ? 'Change' : verdict === 'wrong' ? 'Correct it' : 'Add a reason';
  }

  /** A verdict is kept at once; where it would take the place of a reason or of corrections, a person saves it. */
  private async pressed(verdict: string): Promise<void> {
    await this.trying(async trace => {
      const before = (await this.ask(trace)) ?? {}; // it may have been judged elsewhere
      this.tell(before);
      const costs = before.note || Object.keys(before.expect ?? {}).length;
      if (before.verdict !== verdict && !costs) {
        await this.keep(trace, { verdict });
      }
      if (verdict === 'wrong' || costs || before.verdict === verdict) {
        this.open(verdict, before);
      } else {
        this.close();
      }
    });
  }

  private async keep(trace: Trace, said: Said): Promise<void> {
    const kept = await this.ask(trace, said);
    if (!kept) {
      throw new Error('There is no kernel to keep it.');
    }
    this.tell(kept);
  }

  /** The form: a reason, and of a wrong run what would have been right. */
  private open(verdict: string, before: Said): void {
    const { trace } = this;
    const steps = verdict === 'wrong' && trace ? correctable(trace) : [];
    const note = el('input', {
      type: 'text',
      placeholder: 'Reason (optional)',
      'aria-label': 'Reason (optional)',
      ...QUIET
    });
    note.value = before.note ?? '';
    const fixes = new Map(steps.length ? Object.entries(before.expect ?? {}) : []);
    const correction = trace && steps.length ? this.correction(trace, steps, fixes) : null;
    const keep = () =>
      this.trying(async of => {
        correction?.take();
        await this.keep(of, { verdict, note: note.value.trim(), expect: Object.fromEntries(fixes) });
        this.close(true);
      });
    note.addEventListener('keydown', event => {
      if (event.key === 'Enter' && !event.isComposing) {
        event.preventDefault();
        event.stopPropagation();
        void keep();
      }
    });
    const save = button('Save', () => void keep(), { class: 'om-act' });
    const cancel = button('Cancel', () => { this.close(true); }, { class: 'om-act om-quiet' }); // prettier-ignore
    this.form.replaceChildren(
      ...(correction ? [correction.node] : []),
      note,
      el('div', { class: 'om-acts' }, save, cancel)
    );
    this.form.setAttribute('aria-label', `Why this run is ${verdict}`);
    this.form.hidden = false;
    this.more.hidden = true;
    this.problem.textContent = '';
    (this.form.querySelector('select') ?? note).focus();
  }

  private close(focus = false): void {
    this.form.hidden = true;
    this.form.replaceChildren();
    this.problem.textContent = '';
    this.tell(this.said);
    if (focus) {
      this.thumbs.get(this.said.verdict ?? 'right')?.focus();
    }
  }

  /** A choice of steps and the value of the chosen one; `take` notes in `fixes` what was changed. */
  private correction(trace: Trace, steps: readonly Span[], fixes: Map<string, unknown>) {
    const field = new ValueField('What would have been right');
    const options = steps.map(s => el('option', { value: s.name }, oneLine(s.name, 40)));
    const choice = el('select', { 'aria-label': 'Correct a step', ...QUIET }, el('option', { value: '' }, 'Correct a step …'), ...options); // prettier-ignore
    let chosen: { name: string; was: unknown } | null = null;
    const take = () => {
      if (!chosen) {
        return;
      }
      const { name, was } = chosen;
      const fix = changed(was, field.value);
      if (fix === undefined) {
        fixes.delete(name);
      } else {
        fixes.set(name, fix);
      }
    };
    const pick = async () => {
      const span = steps.find(s => s.name === choice.value);
      field.node.hidden = !span;
      if (!span) {
        chosen = null;
        return;
      }
      const was = span.cut.includes('output')
        ? (await this.face()?.value(trace.totals.run, span.id, 'output'))?.value
        : span.output;
      const fix = fixes.get(span.name);
      field.put(isFields(was) && isFields(fix) ? { ...was, ...fix } : (fix ?? was));
      chosen = { name: span.name, was };
    };
    choice.addEventListener('change', () => {
      void this.trying(async () => {
        const to = choice.value;
        try {
          take();
        } catch (error) {
          choice.value = chosen?.name ?? '';
          throw error;
        }
        choice.value = to;
        await pick();
      });
    });
    field.node.hidden = true;
    return { node: el('div', { class: 'om-judge-fix' }, choice, field.node), take };
  }

  private async trying(what: (trace: Trace) => Promise<void>): Promise<void> {
    this.problem.textContent = '';
    try {
      if (this.trace) {
        await what(this.trace);
      }
    } catch (error) {
      this.problem.textContent = `✗ ${shown(message(error), 300)}`;
    }
  }
}

/** The steps that have a value, each with its last visit: that is the one which is corrected. */
function correctable(trace: Trace): Span[] {
  const found = new Map<string, Span>();
  for (const step of trace.steps) {
    if (KINDS.has(step.kind) && step.output !== null && step.output !== undefined) {
      found.set(step.name, step);
    }
  }
  return [...found.values()].slice(-MOST);
}

function isFields(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** What a person changed: of a step with fields those; undefined where nothing was. */
function changed(was: unknown, is: unknown): unknown {
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  if (isFields(was) && isFields(is)) {
    const fixes = Object.entries(is).filter(([name, value]) => !same(value, was[name]));
    return fixes.length ? Object.fromEntries(fixes) : undefined;
  }
  return same(was, is) ? undefined : is;
}
