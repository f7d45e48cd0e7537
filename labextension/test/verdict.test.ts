import { afterEach, describe, expect, it } from 'vitest';
import { RunCard } from '../src/card.js';
import { LOOK, hooks } from '../src/hooks.js';
import { Face, Said } from '../src/kernel.js';
import { Trace } from '../src/record.js';

const step = (id: string, more: object = {}) =>
  JSON.stringify({ id: `${id}#1`, kind: 'call', name: id, status: 'done', end: 1, ...more });
const STEPS = [
  step('extract', { output: { severity: 'low', team: 'web' } }),
  step('reply', { output: 'Sor', cut: ['output'] }),
  step('check', { kind: 'gate', output: true }),
  step('skipped', { status: 'skipped' })
];
const run = (more: object = {}) =>
  new Trace({ version: 1, run: 'r9', name: 'triage', status: 'done', started: 'noon', seconds: 2, spans: STEPS, ...more }); // prettier-ignore

/** A kernel that keeps the last word, and each that it was given. */
class Kernel {
  told: unknown[] = [];
  refusal: Error | null = null;
  constructor(public said: Said = {}) {}
  value = () => Promise.resolve({ value: 'Sorry.' });
  feedback(id: string, of: string[], said?: Said): Promise<Said> {
    if (this.refusal) {
      return Promise.reject(this.refusal);
    }
    if (said) {
      this.told.push([id, ...of, said]);
      this.said = said;
    }
    return Promise.resolve(this.said);
  }
}

const settle = () => new Promise(resolve => setTimeout(resolve));
afterEach(() => {
  delete hooks.face;
});

async function judged(kernel: Kernel | null, trace = run()) {
  hooks.face = () => kernel as unknown as Face | null;
  const card = new RunCard();
  document.body.replaceChildren(card.node);
  await card.show(trace);
  await settle();
  const node = card.node.querySelector<HTMLElement>('.om-judge')!;
  const press = async (name: string) => {
    const found = [...node.querySelectorAll('button')].find(b => [b.textContent, b.title].includes(name) && !b.hidden)!;
    found.click();
    await settle();
  };
  const field = <K extends keyof HTMLElementTagNameMap>(tag: K) => node.querySelector(tag)!;
  const pick = async (name: string) => {
    field('select').value = name;
    field('select').dispatchEvent(new Event('change'));
    await settle();
  };
  const says = () => node.querySelector('[role=status]')!.textContent;
  const problem = () => node.querySelector('[role=alert]')!.textContent;
  return { card, node, press, field, pick, says, problem };
}
const RIGHT = 'This run is right';
const WRONG = 'This run is wrong';

describe('thumbs', () => {
  it.each(['running', 'waiting'])('are not below a run that is %s', async status => {
    const { node, card } = await judged(new Kernel(), run({ status }));
    expect(node.hidden).toBe(true);
    await card.show(run());
    await settle();
    expect(node.hidden).toBe(false);
  });

  it('are there only where a kernel knows the run, also one that comes later', async () => {
    expect((await judged(null)).node.hidden).toBe(true);
    const kernel = new Kernel();
    kernel.refusal = new Error('there is no run');
    const { node, card } = await judged(kernel);
    expect(node.hidden).toBe(true);
    kernel.refusal = null;
    card.node.dispatchEvent(new Event(LOOK));
    await settle();
    expect(node.hidden).toBe(false);
  });

  it('keep a verdict at once, and then a reason', async () => {
    const kernel = new Kernel();
    const { node, press, field, says } = await judged(kernel);
    expect([...node.querySelectorAll('.om-thumb')].map(b => b.getAttribute('aria-label'))).toEqual([RIGHT, WRONG]);
    await press(RIGHT);
    expect(kernel.told).toEqual([['r9', 'triage', 'noon', { verdict: 'right' }]]);
    expect(says()).toBe('Kept: right');
    expect(node.querySelector('[aria-pressed=true]')!.getAttribute('title')).toBe(RIGHT);
    await press('Add a reason');
    expect(node.querySelector('select')).toBeNull();
    field('input').value = ' well put ';
    field('input').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
    await settle();
    expect(kernel.said).toEqual({ verdict: 'right', note: 'well put', expect: {} });
    expect(says()).toBe('Kept: right · well put');
  });

  it('keep what would have been right: of a step with fields those that were changed', async () => {
    const kernel = new Kernel();
    const { press, field, pick, says, problem, node } = await judged(kernel);
    await press(WRONG);
    expect([...node.querySelectorAll('option')].map(o => o.value)).toEqual(['', 'extract', 'reply']);
    for (const typed of node.querySelectorAll('input, select, textarea')) {
      expect(typed.hasAttribute('data-lm-suppress-shortcuts')).toBe(true); // an x would cut the cell
    }
    await pick('extract');
    field('textarea').value = '{"severity": "high", "team": ';
    await press('Save');
    expect(problem()).toContain('Not valid JSON');
    await pick('reply'); // the text is not lost
    expect([field('select').value, problem()]).toEqual(['extract', expect.stringContaining('Not valid JSON')]);
    field('textarea').value = '{"severity": "high", "team": "web"}';
    await pick('reply');
    expect(field('textarea').value).toBe('Sorry.'); // whole, from the kernel
    field('textarea').value = 'Thank you.';
    await press('Save');
    expect(kernel.said).toEqual({ verdict: 'wrong', note: '', expect: { extract: { severity: 'high' }, reply: 'Thank you.' } }); // prettier-ignore
    expect(says()).toBe('Kept: wrong · extract, reply corrected');
    await press('Change');
    await pick('extract');
    expect(JSON.parse(field('textarea').value)).toEqual({ severity: 'high', team: 'web' });
    field('textarea').value = '{"severity": "low", "team": "web"}';
    await press('Save');
    expect(kernel.said.expect).toEqual({ reply: 'Thank you.' });
  });

  it('take the place of a reason only when a person saves, also of one that was given elsewhere', async () => {
    const kernel = new Kernel();
    const { press, says, node } = await judged(kernel);
    kernel.said = { verdict: 'wrong', note: 'rude', expect: { reply: 'x' } };
    await press(RIGHT);
    expect(kernel.told).toEqual([]);
    expect(says()).toBe('Kept: wrong · reply corrected · rude');
    await press('Cancel');
    expect(node.querySelector('[aria-pressed=true]')!.getAttribute('title')).toBe(WRONG);
    await press(RIGHT);
    await press('Save');
    expect(kernel.said).toEqual({ verdict: 'right', note: 'rude', expect: {} });
  });

  it('say why nothing was kept, and keep what was typed', async () => {
    const kernel = new Kernel({ verdict: 'wrong', note: 'rude' });
    const { press, field, says, problem } = await judged(kernel);
    expect(says()).toBe('Kept: wrong · rude');
    await press('Change');
    field('input').value = 'very rude';
    kernel.refusal = new Error('the correction does not fit');
    await press('Save');
    expect(problem()).toBe('✗ the correction does not fit');
    expect(field('input').value).toBe('very rude');
  });
});
