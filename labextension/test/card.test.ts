import { afterEach, describe, expect, it } from 'vitest';
import { endOf, ticksOf } from '../src/axis.js';
import { RunCard } from '../src/card.js';
import { hooks } from '../src/hooks.js';
import { Face } from '../src/kernel.js';
import { Tools, clean } from '../src/markdown.js';
import { Trace } from '../src/record.js';
import { golden } from './golden.js';

const tools: Tools = {
  markdownParser: { render: text => Promise.resolve(`<p>${text}</p>`) },
  sanitizer: { sanitize: html => html }
};
const step = (more: object = {}) =>
  JSON.stringify({ id: 'a#1', kind: 'call', name: 'a', status: 'done', end: 1, ...more });
const run = (more: object = {}) =>
  new Trace({ version: 1, run: 'r9', name: 'triage', status: 'done', seconds: 2, spans: [step()], ...more });
async function card(trace: Trace): Promise<HTMLElement> {
  const made = new RunCard({ tools });
  await made.show(trace);
  document.body.replaceChildren(made.node);
  return made.node;
}

describe('a card', () => {
  it.each([
    ['done', '', '✓ Done'],
    ['done', 'with failures', '! Done, with failures'],
    ['done', 'not verified', '! Not verified'],
    ['done', 'low confidence', '! Low confidence'],
    ['capped', '', '◔ Stopped at its limit'],
    ['failed', '', '✗ Failed'],
    ['cancelled', '', '■ Stopped'],
    ['waiting', '', '? Waiting for you'],
    ['rejected', '', '✗ Rejected'],
    ['running', '', '● Running']
  ])('of a run that is %s %s says %s', async (status, doubt, said) => {
    const node = await card(run({ status, doubt, spans: [step({ doubt })] }));
    expect(node.querySelector('.om-badge')!.textContent).toBe(said);
    expect(node.querySelector('.om-card-id')!.textContent).toBe('r9');
    if (doubt) {
      expect(node.textContent).not.toContain('✓');
    }
  });

  it('marks figures that are estimated', async () => {
    const usage = { input: 40, output: 2, estimated: true };
    const node = await card(run({ usage, cost: 0.5, spans: [step({ usage, cost: 0.5 })] }));
    expect(node.querySelector('.om-facts')!.textContent).toContain('~42 tokens');
    expect(node.querySelector('.om-facts')!.textContent).toContain('~$0.50');
    expect(node.querySelector('.om-space .om-cost')!.textContent).toBe('~$0.50');
  });

  it('shows the answer as Markdown, and says when it is only the last result', async () => {
    const node = await card(
      run({ status: 'capped', card: { answer: { span: 'a#1', last: true } }, spans: [step({ output: 'Hello' })] })
    );
    expect(node.querySelector('.om-answer p')!.textContent).toBe('Hello');
    expect(node.querySelector('.om-card-result')!.textContent).toContain('Last result before it stopped');
  });

  it.each(['Dear …', null])('of a run that waits asks once, below: about %s', async value => {
    const asked = { question: 'May it go?', choices: ['approve'], value };
    const ask = step({ id: 'b#1', name: 'b', kind: 'approve', status: 'waiting', asked });
    const node = await card(run({ status: 'waiting', spans: [step(), ask], card: { why: '', answer: { question: asked.question, value } } })); // prettier-ignore
    expect(node.textContent.split('May it go?')).toHaveLength(2);
    expect(node.querySelector('.om-card-result')!.textContent).toBe(`May it go?${value ?? ''}`);
    expect(node.querySelector('.om-space .om-is-waiting')!.textContent).toContain('waiting for you');
  });

  describe('of a run with more rows than the file holds', () => {
    const table = (rows: string[]) => ({ columns: ['#', 'input', 'stars'], rows, total: 3, said: '3 rows' });
    const shown = async () => {
      const node = await card(run({ started: 'then', card: { table: table(['[2,1,"post 0",3]']) } }));
      const more = [...node.querySelectorAll('button')].find(b => b.textContent === '2 more rows · Show')!;
      return { node, more, rows: () => node.querySelectorAll('.om-results tbody tr').length };
    };
    const settled = () => new Promise(done => setTimeout(done));
    afterEach(() => {
      delete hooks.face;
    });

    it('asks the kernel for them', async () => {
      const asked: unknown[] = [];
      const rows = (...question: unknown[]) => {
        asked.push(question);
        return Promise.resolve(table([1, 2, 3].map(n => `[2,${n},"post",3]`)));
      };
      hooks.face = () => ({ rows, feedback: () => Promise.resolve({}) }) as unknown as Face;
      const { node, more, rows: many } = await shown();
      more.click();
      await settled();
      expect(asked).toEqual([['r9', ['triage', 'then']]]);
      expect(many()).toBe(3);
      expect(more.hidden).toBe(true);
      expect(node.querySelector('.om-caption')!.textContent).toBe('3 rows');
    });

    it.each([
      ['there is no kernel', null, 'There is no kernel'],
      ['the kernel has another run', () => Promise.reject(new Error('run r9 is another one')), 'run r9 is another one'],
      ['the kernel has no more', () => Promise.resolve(table(['[2,1,"post 0",3]'])), 'The kernel has no more rows']
    ])('says that %s, and keeps what is there', async (_, rows, said) => {
      hooks.face = () => rows && ({ rows, feedback: () => Promise.resolve({}) } as unknown as Face);
      const { node, more, rows: many } = await shown();
      more.click();
      await settled();
      expect(node.querySelector('.om-card-result [role=alert]')!.textContent).toContain(said);
      expect(many()).toBe(1);
    });
  });

  it('shows rows: the failed first, sorted by a heading', async () => {
    const rows = ['[0,8,"post 7","rejected"]', '[1,2,"post 1",9]', '[2,1,"post 0",3]'];
    const node = await card(
      run({
        card: {
          table: {
            columns: ['#', 'input', 'stars'],
            rows,
            total: 200,
            said: '200 rows · 1 failed · 1 with low agreement'
          }
        }
      })
    );
    const texts = () => [...node.querySelectorAll('.om-results tbody tr')].map(r => r.textContent);
    expect(texts()).toEqual(['✗8post 7rejected', '!2post 19', '✓1post 03']);
    expect(node.querySelector('.om-caption')!.textContent).toBe('200 rows · 1 failed · 1 with low agreement · 3 shown');
    node.querySelectorAll<HTMLElement>('.om-sort')[0].click();
    expect(texts()[0]).toBe('✓1post 03');
    expect(node.querySelector('[aria-sort=ascending]')!.textContent).toBe('#');
  });

  it('names what runs now, what is done of many, and what is written', async () => {
    const spans = [step({ status: 'running', end: null })];
    const live = await card(run({ status: 'running', spans, card: { items: [26, 200, 0], limits: { budget: 0.5 } } }));
    expect(live.querySelector('.om-card-why')!.textContent).toBe('Now: a · $0 of $0.50');
    expect(live.querySelector('.om-card-progress')!.textContent).toBe('26 of 200 · about 13.4 s left');
    const waits = 'waiting for a batch (120 requests, sent 14:02)';
    const batch = await card(run({ status: 'running', spans, card: { waits } }));
    expect(batch.querySelector('.om-card-why')!.textContent).toBe(`Now: a · ${waits}`);
    const says = await card(run({ status: 'running', spans, card: { says: ['a', 'The parcel'] } }));
    expect(says.querySelector('.om-says')!.textContent).toBe('a: The parcel');
  });

  it('reads traces of older versions, without what the card adds', async () => {
    const node = await card(golden());
    expect(node.querySelector('.om-badge')!.textContent).toBe('? Waiting for you');
  });
});

describe('Markdown of a model', () => {
  it.each([
    ['<img src="http://x/?secret" alt="a cat">', '[picture: a cat]'],
    ['<video src=x></video><iframe src=x></iframe><style>p{}</style><script>1</script>a', 'a'],
    ['<p style="position:fixed" id="x" onclick="1">b</p>', '<p>b</p>'],
    ['<a href="javascript:1">c</a>', '<a>c</a>'],
    ['<form action="x"><input value="d"></form>e', 'e']
  ])('%s is %s', (html, said) => {
    const host = document.createElement('div');
    host.append(...clean(html));
    expect(host.innerHTML).toBe(said); // eslint-disable-line no-restricted-properties -- read, not set
  });

  it('says where a link leads, and opens it elsewhere', () => {
    const [link] = clean('<a href="https://example.org">here</a>') as HTMLElement[];
    expect([link.title, link.getAttribute('target'), link.getAttribute('rel')]).toEqual(['https://example.org', '_blank', 'noopener noreferrer nofollow']); // prettier-ignore
  });
});

describe('the time axis', () => {
  it.each([
    [0.3, 0.5],
    [0.7, 1],
    [1.4, 2],
    [4, 5],
    [12, 20],
    [29, 30],
    [59, 60],
    [90, 120]
  ])('of a run under way for %s s ends at %s s', (seconds, end) => {
    expect(endOf(seconds, true)).toBeCloseTo(end);
  });

  it.each([0.004, 0.61, 1.9, 2, 4.6, 21.4, 75, 4000])('of a run of %s s is filled, with round ticks', seconds => {
    const end = endOf(seconds, false);
    expect(end).toBeGreaterThanOrEqual(seconds);
    expect(end).toBeLessThan(seconds * 1.35);
    expect(ticksOf(end).length).toBeGreaterThan(1);
    expect(ticksOf(end).length).toBeLessThan(7);
  });
});
