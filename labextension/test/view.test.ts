import { beforeEach, describe, expect, it, vi } from 'vitest';
import { CompareView, pairs } from '../src/compare.js';
import { Details } from '../src/detail.js';
import { Trace } from '../src/record.js';
import { TraceView } from '../src/view.js';
import { data, golden, large } from './golden.js';

const HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';

function shown(trace: Trace): TraceView {
  const view = new TraceView();
  view.show(trace);
  document.body.replaceChildren(view.node);
  return view;
}

const all = (view: TraceView, what: string) => [...view.node.querySelectorAll<HTMLElement>(what)];
const press = (view: TraceView, ...keys: string[]) => {
  for (const key of keys) {
    view.node.querySelector('.om-list')!.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  }
};
const chosen = (view: TraceView) => all(view, '.om-space [aria-selected=true] .om-label').map(e => e.textContent);

describe('a trace', () => {
  it('shows what went in and out of a row that is clicked', () => {
    const view = shown(golden());
    press(view, 'End', 'ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowUp'); // rows out of sight are not in the page
    const row = all(view, '.om-space .om-row').find(r => r.textContent.includes('draft 1'))!;
    row.click();
    expect(chosen(view)).toEqual(['draft 1']);
    const pane = view.node.querySelector('.om-pane')!;
    expect(pane.textContent).toContain('98.5');
    const tab = (name: string) => all(view, '.om-tab-button').find(b => b.textContent === name)!;
    tab('Prompt').click();
    expect(pane.textContent).toContain('Who gets how much?');
    tab('Decision').click();
    expect(pane.textContent).toContain('the model is called again');
    tab('Attempts').click();
    expect(pane.querySelectorAll('.om-ask')).toHaveLength(2);
  });

  it('leads to the failure', () => {
    const view = shown(golden());
    view.revealFailure(true);
    expect(chosen(view)).toEqual(['4 · mail 4']);
    expect(view.node.querySelector('.om-pane')!.textContent).toContain('refused');
  });

  it('is searched, and keeps the rows that a hit is inside', () => {
    const view = shown(golden());
    const find = view.node.querySelector<HTMLInputElement>('.om-find')!;
    const search = (text: string) => {
      find.value = text;
      find.dispatchEvent(new Event('input'));
      return all(view, '.om-space .om-label').map(e => e.textContent);
    };
    expect(search('REFUSED')).toEqual(['urgent', '4 · mail 4']);
    expect(view.node.querySelector('[role=status]')!.textContent).toMatch(/^1 of \d+ steps$/);
    expect(search('nothing has this')).toEqual([]);
    find.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }));
    expect(all(view, '.om-space .om-row').length).toBeGreaterThan(5);
    press(view, '/');
    expect(document.activeElement).toBe(find);
  });

  it('has a row for each step to come, and never fewer rows than before', () => {
    const view = new TraceView();
    const early = {
      version: 1,
      run: 'r1',
      name: 'n',
      status: 'running',
      seconds: 1,
      spans: [{ id: 'a#1', name: 'a', status: 'running' }]
    };
    view.pending = ['b', 'c'];
    view.show(new Trace(early));
    document.body.replaceChildren(view.node);
    expect(all(view, '.om-space .om-label').map(e => e.textContent)).toEqual(['a', 'b', 'c']);
    const tall = view.node.querySelector<HTMLElement>('.om-list')!.style.height;
    view.pending = [];
    view.show(new Trace({ ...early, status: 'failed' }));
    expect(view.node.querySelector<HTMLElement>('.om-list')!.style.height).toBe(tall);
  });

  it('is walked through, opened and closed with the keyboard', () => {
    const view = shown(golden());
    press(view, 'ArrowDown', 'ArrowDown');
    expect(chosen(view)).toEqual(['urgent']);
    const before = all(view, '.om-row').length;
    press(view, 'ArrowLeft');
    expect(view.node.querySelector('[aria-selected=true]')!.getAttribute('aria-expanded')).toBe('false');
    press(view, 'ArrowRight');
    expect(all(view, '.om-row')).toHaveLength(before);
    press(view, 'ArrowRight');
    expect(chosen(view)).toEqual(['1 · Where is the lamp? …']);
    press(view, 'ArrowLeft', 'Home');
    expect(chosen(view)).toEqual(['mails']);
    const list = view.node.querySelector('.om-list')!;
    expect(document.getElementById(list.getAttribute('aria-activedescendant')!)!.textContent).toContain('mails');
  });

  it('keeps what is chosen and closed when the next moment of the run is shown', () => {
    const view = shown(golden());
    press(view, 'ArrowDown', 'ArrowDown', 'ArrowLeft');
    view.show(golden());
    expect(chosen(view)).toEqual(['urgent']);
    expect(view.node.querySelector('[aria-selected=true]')!.getAttribute('aria-expanded')).toBe('false');
  });

  it('of ten thousand items has a few rows in the page, and is drawn at once', () => {
    const trace = large(10_000);
    const before = process.cpuUsage();
    const view = shown(trace);
    press(view, 'ArrowDown', 'End', 'Enter'); // all of them
    const took = process.cpuUsage(before).user / 1000; // the work of this process, in milliseconds
    expect(view.node.querySelector<HTMLElement>('.om-space')!.style.height).toBe(`${10_001 * 24}px`);
    expect(all(view, '.om-row').length).toBeLessThan(60);
    expect(took).toBeLessThan(1_500);
  });

  it('of nothing is no error', () => {
    expect(shown(new Trace({ version: 1, spans: [] })).node.querySelectorAll('.om-space .om-row')).toHaveLength(0);
  });
});

describe('what a model wrote', () => {
  beforeEach(() => {
    vi.stubGlobal('hacked', undefined);
  });

  it('is text, wherever it stands', () => {
    const spans = data.spans as Record<string, unknown>[];
    const evil = spans.map(s => ({
      ...s, name: HOSTILE, model: HOSTILE, provider: HOSTILE, input: [{ role: HOSTILE, content: HOSTILE }], output: HOSTILE,
      error: HOSTILE, why: [HOSTILE], status: `${HOSTILE} failed`, kind: HOSTILE, asked: { question: HOSTILE, choices: [], value: HOSTILE }
    })); // prettier-ignore
    const totals = { name: HOSTILE, run: HOSTILE, status: HOSTILE, error: HOSTILE, pattern: HOSTILE, output: HOSTILE };
    const failing = new Trace({
      ...data,
      ...totals,
      spans: [...evil, ...spans.map(s => ({ ...s, id: `x${String(s.id)}`, error: HOSTILE, status: 'failed' }))]
    });
    const view = shown(failing);
    press(view, 'ArrowDown');
    const both = new CompareView(failing, golden()).node;
    document.body.append(both);
    expect(view.node.textContent).toContain('<img src=x');
    for (const node of [view.node, both]) {
      expect(node.querySelectorAll('img, script, a, iframe')).toHaveLength(0);
    }
    expect((globalThis as { hacked?: number }).hacked).toBeUndefined();
  });

  it('turns nothing around it: every reason stands isolated', () => {
    const turned = '\u202egnp.exe';
    const [ask, attempt] = ['urgent#1/4.1', 'urgent#1/4.1/1'];
    const spans = (data.spans as Record<string, unknown>[]).map(s =>
      s.id === ask || s.id === attempt ? { ...s, why: [turned], error: turned } : s
    );
    const trace = new Trace({ ...data, spans });
    const details = new Details({});
    const { node } = details;
    details.show(trace, trace.spans.find(s => s.id === 'urgent#1/4')!); // prettier-ignore
    [...node.querySelectorAll<HTMLElement>('.om-tab-button')].find(b => b.textContent === 'Attempts')!.click();
    const told = [...node.querySelectorAll('.om-why, .om-error')].filter(e => e.textContent.includes('gnp.exe'));
    expect(told).toHaveLength(3); // the error and the reason of the question, and its attempt's
    expect(node.textContent).not.toContain('\u202e');
    for (const element of told) {
      const loose = element.cloneNode(true) as HTMLElement;
      loose.querySelectorAll('bdi').forEach(b => {
        b.remove();
      });
      expect(loose.textContent).not.toContain('gnp.exe');
    }
  });
});

describe('two runs', () => {
  it('are the same, step by step, when nothing changed', () => {
    const view = new CompareView(golden(), golden());
    expect(view.node.textContent).toContain('Every step is the same');
  });

  it('tell what was asked and given differently, also where one has no such step', () => {
    const spans = data.spans as Record<string, unknown>[];
    const changed = spans
      .filter(s => s.id !== 'mails#1')
      .map(s => (s.id === 'draft#2' ? { ...s, output: { to: 'Bob', amount: 1.5 } } : s));
    const other = new Trace({ ...data, run: 'r8', spans: changed });
    expect(pairs(golden(), other)[0][1]).toBeNull();
    const view = new CompareView(golden(), other);
    expect(view.node.querySelector('.om-steps h4')!.textContent).toMatch(/^2 of \d+ steps differ$/);
    expect(view.node.querySelector('.om-steps')!.textContent).toContain('Bob');
    expect(view.node.querySelector('.om-steps')!.textContent).toContain('not in r8');
  });
});
