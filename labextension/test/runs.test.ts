import { describe, expect, it } from 'vitest';
import { Face, NotLoaded, Overview, Reply, Run, expression, read } from '../src/kernel.js';
import { Trace } from '../src/record.js';
import { RunList } from '../src/runs.js';
import { golden } from './golden.js';

const run = (id: string, more: Partial<Run> = {}): Run => ({
  id, name: 'triage', pattern: 'chain', status: 'done', started: '2026-11-20T09:30:00+00:00', parent: null, here: true,
  seconds: 1.5, tokens: 10, cost: 0.004, ...more
}); // prettier-ignore
const payout = {
  span: 'act#1.1',
  question: 'Send this payout?',
  choices: ['approve', 'edit', 'reject'],
  shown: '{"amount": 12.5}'
};

/** A kernel that says what it is told to, and keeps what it was asked. */
class Kernel implements Face {
  stop = (run: string) => this.does(['stop', run]);
  value = () => Promise.resolve({ value: null });
  rows = () => Promise.resolve({});
  feedback = () => Promise.resolve({});
  told: unknown[] = [];
  refusal: Error | null = null;
  constructor(public runs: Run[]) {}
  overview(shown: number): Promise<Overview> {
    const told = { today: 0.0123, runs: this.runs.slice(0, shown), more: shown < this.runs.length };
    return this.refusal ? Promise.reject(this.refusal) : Promise.resolve(told);
  }
  record = () => Promise.resolve(null);
  asked = () => Promise.resolve({ question: '', choices: [], value: { amount: 12.5 } });
  answer = (id: string, reply: Reply, span: string) => this.does(['answer', id, reply, span]);
  resume = (id: string) => this.does(['resume', id]);
  export = (id: string) => this.does(['export', id]).then(() => ({ file: 'triage.py' }));
  private does(what: unknown[]): Promise<unknown> {
    this.told.push(what);
    return this.refusal ? Promise.reject(this.refusal) : Promise.resolve({});
  }
}

async function panel(kernel: Kernel | null, saved: Trace[] = []) {
  const opened: unknown[] = [];
  const compared: unknown[] = [];
  const listed: number[] = [];
  const list = new RunList({
    face: () => kernel,
    saved: () => saved,
    open: r => opened.push(r),
    compare: r => compared.push(r.map(x => (x instanceof Trace ? x.totals.run : x.id))),
    listed: r => listed.push(r.length)
  });
  document.body.replaceChildren(list.node);
  await list.refresh();
  return { list, opened, compared, listed, text: () => list.node.textContent };
}

const settle = () => new Promise(resolve => setTimeout(resolve));
const click = async (list: RunList, face: string) => {
  const found = [...list.node.querySelectorAll('button')].find(b => b.textContent === face)!;
  found.click();
  await settle();
};

describe('the panel', () => {
  it('gives a run in doubt the mark of its card', async () => {
    const { list } = await panel(
      new Kernel([
        run('r2', { doubt: 'not verified' }),
        run('r1', { doubt: 'with failures' }),
        run('r0', { doubt: '' })
      ])
    );
    const lines = [...list.node.querySelectorAll('.om-open')].map(l => l.textContent);
    expect(lines.map(l => l[0])).toEqual(['!', '!', '✓']);
    expect(lines[0]).toContain('Not verified');
    expect(lines[1]).toContain('Done, with failures');
  });

  it('lists the runs with what they cost, and what today cost', async () => {
    const { list, text } = await panel(new Kernel([run('r2', { status: 'failed' }), run('r1')]));
    expect(text()).toContain('Today $0.0123');
    const rows = [...list.node.querySelectorAll('.om-run')].map(r => r.textContent);
    expect(rows[0]).toContain('triage r2Failed · ');
    expect(rows[1]).toContain('1.5 s · $0.004');
    const some = await panel(new Kernel([run('r1', { unpriced: 1 }), run('r2', { cost: 0, unpriced: 3 })]));
    const facts = [...some.list.node.querySelectorAll('.om-run-facts')].map(r => r.textContent);
    expect(facts[0]).toContain('$0.004, plus');
    expect(facts[1]).toContain('No price known');
  });

  it('shows the runs that match the words, the status and the date, and says how many', async () => {
    const now = new Date().toISOString();
    const kernel = new Kernel([run('r3', { name: 'refund', started: now, status: 'lost' }), run('r2'), run('r1', { status: 'failed' })]); // prettier-ignore
    const { list } = await panel(kernel);
    const put = (label: string, value: string) => {
      const field = list.node.querySelector<HTMLInputElement | HTMLSelectElement>(`[aria-label="${label}"]`)!;
      field.value = value;
      field.dispatchEvent(new Event('input'));
      const ids = [...list.node.querySelectorAll('.om-run-name small')].map(id => id.textContent);
      return [ids.join(' '), list.node.querySelector('[role=status]')!.textContent];
    };
    expect(put('Search runs', 'TRIAGE  chain')).toEqual(['r2 r1', '2 of 3 listed runs match.']);
    expect(put('Status', 'failed')).toEqual(['r1', '1 of 3 listed runs match.']);
    expect(put('Search runs', 'no such run')).toEqual(['', '0 of 3 listed runs match.']);
    expect(put('Search runs', '')).toEqual(['r1', '1 of 3 listed runs match.']);
    expect(put('Status', '')).toEqual(['r3 r2 r1', '']);
    expect(put('Date', '1')[0]).toContain('r3');
    put('Date', '');
    expect(put('Status', 'lost')[0]).toBe('r3');
    await list.refresh();
    expect(put('Date', '')).toEqual(['r3', '1 of 3 listed runs match.']);
  });

  it.each(['running', 'waiting', 'failed', 'capped', 'cancelled', 'rejected', 'lost'])(
    'says %s as the filter does',
    async status => {
      const { list } = await panel(new Kernel([run('r1', { status })]));
      const facts = list.node.querySelector('.om-run-facts')!.textContent;
      expect(facts.split(' · ')[0]).toBe(list.node.querySelector(`option[value=${status}]`)!.textContent);
    }
  );

  it('shows older runs when a person asks, and says what it has when nothing is listed', async () => {
    const kernel = new Kernel(Array.from({ length: 120 }, (_, i) => run(`r${120 - i}`)));
    const { list, text } = await panel(kernel);
    const rows = () => list.node.querySelectorAll('.om-run').length;
    const older = [...list.node.querySelectorAll('button')].find(b => b.textContent === 'Show older runs')!;
    const all = [...list.node.querySelectorAll('button')].find(b => b.textContent === 'Show all')!;
    expect([rows(), older.hidden]).toEqual([50, false]);
    await click(list, 'Show older runs');
    expect([rows(), older.hidden]).toEqual([100, false]);
    expect(document.activeElement!.getAttribute('title')).toBe('Open the trace of r70');
    await click(list, 'Show older runs');
    expect([rows(), older.hidden, all.hidden]).toEqual([120, true, true]);
    const words = list.node.querySelector<HTMLInputElement>('input[type=search]')!;
    words.value = 'none of them';
    words.dispatchEvent(new Event('input'));
    expect([rows(), all.hidden]).toEqual([0, false]);
    expect(text()).toContain('0 of 120 listed runs match.');
    await click(list, 'Show all');
    expect([rows(), all.hidden]).toEqual([120, true]);
    expect((await panel(new Kernel([]))).text()).toContain('No run yet: run a cell such as %%chain.');
    expect((await panel(null)).text()).toContain('No kernel, and no run is saved in this notebook');
  });

  it('opens a run, and compares the two that are ticked', async () => {
    const { list, opened, compared } = await panel(new Kernel([run('r3'), run('r2'), run('r1')]));
    list.node.querySelector<HTMLElement>('.om-open')!.click();
    expect(opened).toEqual([run('r3')]);
    for (const at of [0, 2, 1]) {
      list.node.querySelectorAll<HTMLInputElement>('input[type=checkbox]')[at].click();
    }
    await click(list, 'Compare');
    expect(compared).toEqual([['r1', 'r2']]);
  });

  it('approves a run that waits', async () => {
    const kernel = new Kernel([run('r1', { status: 'waiting', asked: payout })]);
    const { list, listed, text } = await panel(kernel);
    expect(text()).toContain('Send this payout?');
    expect(text()).toContain('{"amount": 12.5}');
    expect(listed).toEqual([1]);
    kernel.runs = [run('r1')];
    await click(list, 'Approve');
    expect(kernel.told).toEqual([['answer', 'r1', { action: 'approve' }, 'act#1.1']]);
    expect(text()).not.toContain('Send this payout?');
    expect(listed).toEqual([1, 1]); // whoever follows the runs is told
  });

  it('edits what it waits with, as JSON', async () => {
    const kernel = new Kernel([run('r1', { status: 'waiting', asked: payout })]);
    const { list, text } = await panel(kernel);
    await click(list, 'Edit');
    const field = list.node.querySelector('textarea')!;
    expect(JSON.parse(field.value)).toEqual({ amount: 12.5 });
    field.value = '{no';
    await click(list, 'Send the edit');
    expect(text()).toContain('Not valid JSON');
    field.value = '{"amount": 5}';
    await click(list, 'Send the edit');
    expect(kernel.told).toEqual([['answer', 'r1', { action: 'edit', value: { amount: 5 } }, 'act#1.1']]);
  });

  it('rejects with a reason, or not at all', async () => {
    const kernel = new Kernel([run('r1', { status: 'waiting', asked: payout })]);
    const { list } = await panel(kernel);
    await click(list, 'Reject');
    await click(list, 'Cancel');
    await click(list, 'Reject');
    list.node.querySelector('textarea')!.value = ' too much ';
    await click(list, 'Reject');
    expect(kernel.told).toEqual([['answer', 'r1', { action: 'reject', why: 'too much' }, 'act#1.1']]);
  });

  it('sends a free answer, and no empty one; a refused answer can be given again', async () => {
    const kernel = new Kernel([run('r1', { status: 'waiting', asked: { ...payout, choices: [], shown: '' } })]);
    const { list, text } = await panel(kernel);
    await click(list, 'Send');
    expect(text()).toContain('Type an answer first');
    list.node.querySelector('textarea')!.value = 'yes';
    kernel.refusal = new Error('that is no answer');
    await click(list, 'Send');
    expect(text()).toContain('that is no answer');
    expect(list.node.querySelector('textarea')!.disabled).toBe(false);
    kernel.refusal = null;
    await click(list, 'Send');
    expect(kernel.told.at(-1)).toEqual(['answer', 'r1', 'yes', 'act#1.1']);
  });

  it('keeps what somebody types when it is drawn anew', async () => {
    const kernel = new Kernel([run('r1', { status: 'waiting', asked: { ...payout, choices: [] } })]);
    const { list } = await panel(kernel);
    const field = list.node.querySelector('textarea')!;
    field.focus();
    field.value = 'half a sen';
    kernel.runs = [run('r2'), ...kernel.runs];
    await list.refresh();
    expect(list.node.querySelector('textarea')).toBe(field);
    expect(document.activeElement).toBe(field);
  });

  it('resumes a run that broke off, and exports one', async () => {
    const kernel = new Kernel([run('r1', { status: 'lost' })]);
    const { list, text } = await panel(kernel);
    await click(list, '▶');
    expect(text()).toContain('Run r1 goes on.');
    await click(list, '⤓');
    expect(text()).toContain('Wrote triage.py.');
    expect(await list.resume()).toBe(true);
    expect(kernel.told).toEqual([['resume', 'r1'], ['export', 'r1'], ['resume', 'r1']]); // prettier-ignore
  });

  it('without a kernel shows the runs that the notebook holds', async () => {
    const { list, opened, text } = await panel(null, [golden()]);
    expect(text()).toContain('No kernel');
    expect(text()).toContain('morning r7');
    list.node.querySelector<HTMLElement>('.om-open')!.click();
    expect(opened).toHaveLength(1);
    expect(list.last).toBeInstanceOf(Trace);
  });

  it('lists a run once, though the notebook holds it too', async () => {
    const { list } = await panel(new Kernel([run('r7')]), [golden()]);
    expect(list.node.querySelectorAll('.om-run')).toHaveLength(1);
    const elsewhere = run('r7', { started: '2026-11-19T09:30:00+00:00' });
    const both = await panel(new Kernel([elsewhere]), [golden()]);
    expect(both.list.node.querySelectorAll('.om-run')).toHaveLength(2);
    expect(both.text()).toContain('Also in this notebook');
  });

  it('says what to write where the extension is not loaded', async () => {
    const kernel = new Kernel([]);
    kernel.refusal = new NotLoaded('Run %load_ext orchmagic in this notebook.');
    expect((await panel(kernel)).text()).toContain('%load_ext orchmagic');
  });

  it('shows hostile names and questions as text', async () => {
    const evil = '<img src=x onerror=alert(1)>';
    const asked = { span: evil, question: evil, choices: ['approve', evil], shown: evil };
    const { list } = await panel(new Kernel([run(evil, { name: evil, status: 'waiting', asked })]));
    expect(list.node.querySelector('img')).toBeNull();
    expect(list.node.textContent).toContain(evil);
  });
});

describe('what the kernel is asked', () => {
  it('is one expression, with the question as JSON in a quoted text', () => {
    expect(expression(['answer', 'r1', 'say "hi"\n\\ \u2028'])).toContain(
      String.raw`.ask(f.session, "[\"answer\",\"r1\",\"say \\\"hi\\\"\\n\\\\ ` + '\u2028' + String.raw`\"]")`
    );
  });

  it('comes back as JSON, as an error in words, or as a kernel that has not loaded us', () => {
    const failed = { version: 1, error: 'the error of a run is no error of ours' };
    expect(read({ status: 'ok', data: { 'application/json': { found: failed } } })).toEqual(failed);
    expect(() => read({ status: 'ok', data: { 'application/json': { error: 'no run r9' } } })).toThrow('no run r9');
    expect(() => read({ status: 'ok', data: { 'text/plain': 'None' } })).toThrow(NotLoaded);
    expect(() => read({ status: 'error', evalue: 'name x' })).toThrow('name x');
  });
});
