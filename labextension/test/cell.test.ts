import { EditorState } from '@codemirror/state';
import { ensureSyntaxTree } from '@codemirror/language';
import { highlightTree, tagHighlighter, tags } from '@lezer/highlight';
import { describe, expect, it } from 'vitest';
import { magicOf, tokens } from '../src/cell.js';
import { colours } from '../src/highlight.js';

const CELL = `%%chain triage --model small --budget 0.01 --no-cache --cache=1d
# what we know
docs = search_policies(ticket, k=3)
extract(retry=2, when=len(docs) > 1) -> product: str, severity: "low" | "high", tags: list[str]
    Read the {% if long -%} long {% endif %} ticket: {{ ticket|trim }}
    gate is only a word here, # and this no comment
gate extract.quote in ticket and "else retry 3" not in docs else retry 2
gate extract.product else goto reply
until extract.score >= max(1, 2) max 4
approve "Send it?"
reply(model=large)
    system: You are calm. {{ a
      .b }} done
    user: Answer.
billing: refunds, invoices
`;

/** `kind:text` of every stretch. */
const said = (text: string) => tokens(text).map(t => `${t.kind}:${text.slice(t.from, t.to)}`);

describe('a cell', () => {
  const found = said(CELL);
  const line = (start: string) => {
    const from = CELL.indexOf(start);
    const to = CELL.indexOf('\n', from);
    return tokens(CELL).filter(t => t.from >= from && t.to <= to).map(t => `${t.kind}:${CELL.slice(t.from, t.to)}`); // prettier-ignore
  };

  it('has its stretches in order, none within another', () => {
    const all = tokens(CELL);
    expect(all.every((t, i) => t.to > t.from && (i === 0 || t.from >= all[i - 1].to))).toBe(true);
    expect(found.length).toBeGreaterThan(60);
  });

  it('begins with magic, name and options', () => {
    expect(line('%%chain')).toEqual([
      'magic:%%chain', 'step:triage', 'flag:--model', 'string:small', 'flag:--budget', 'number:0.01', 'flag:--no-cache',
      'flag:--cache', 'operator:=', 'number:1d'
    ]); // prettier-ignore
  });

  it('takes the word behind a switch for the name', () => {
    expect(said('%%chain --refresh triage')).toEqual(['magic:%%chain', 'flag:--refresh', 'step:triage']);
  });

  it('of an evaluation names several, and has targets', () => {
    expect(said('%%evaluate a, b --on rows\nright = output == team\ntarget right >= 0.85\ngate right')).toEqual([
      'magic:%%evaluate', 'step:a', 'step:b', 'flag:--on', 'string:rows',
      'step:right', 'operator:=', 'variable:output', 'operator:==', 'variable:team',
      'control:target', 'variable:right', 'operator:>=', 'number:0.85'
    ]); // prettier-ignore
    expect(said('%%orchtest triage.extract --allow-writes\nticket = "x"\ngate product == "export"')).toEqual([
      'magic:%%orchtest', 'step:triage.extract', 'flag:--allow-writes',
      'step:ticket', 'operator:=', 'string:"x"',
      'control:gate', 'variable:product', 'operator:==', 'string:"export"'
    ]); // prettier-ignore
    expect(said('%%chain\ntarget\n  x')).toEqual(['magic:%%chain', 'step:target']);
  });

  it('does not colour an option that no step has', () => {
    const said = tokens('%%chain\nx(temprature=1, seeds=2, retry=2)').map(t => t.kind);
    expect(said.filter(kind => kind === 'option')).toHaveLength(1);
  });

  it('has steps with options, and outputs with types', () => {
    expect(line('extract(')).toEqual([
      'step:extract', 'bracket:(', 'option:retry', 'operator:=', 'number:2', 'operator:,', 'option:when', 'operator:=',
      'call:len', 'bracket:(', 'variable:docs', 'bracket:)', 'operator:>', 'number:1', 'bracket:)', 'operator:->',
      'field:product', 'operator::', 'type:str', 'operator:,', 'field:severity', 'operator::', 'string:"low"', 'operator:|',
      'string:"high"', 'operator:,', 'field:tags', 'operator::', 'type:list', 'bracket:[', 'type:str', 'bracket:]'
    ]); // prettier-ignore
  });

  it('has code steps', () => {
    expect(line('docs =').slice(0, 3)).toEqual(['step:docs', 'operator:=', 'call:search_policies']);
  });

  it('has controls with their actions, which no quoted text is taken for', () => {
    expect(line('gate extract.quote').slice(0, 4)).toEqual([
      'control:gate',
      'variable:extract',
      'operator:.',
      'property:quote'
    ]);
    expect(line('gate extract.quote').slice(-3)).toEqual(['control:else', 'control:retry', 'number:2']);
    expect(line('gate extract.quote')).toContain('string:"else retry 3"');
    expect(line('gate extract.product').slice(-3)).toEqual(['control:else', 'control:goto', 'step:reply']);
    expect(line('until')).toContain('call:max');
    expect(line('until').slice(-2)).toEqual(['control:max', 'number:4']);
    expect(line('approve')).toEqual(['control:approve', 'string:"Send it?"']);
  });

  it('leaves prompts plain but for Jinja and roles', () => {
    expect(line('    Read the')).toEqual([
      'jinja:{%', 'tag:if', 'value:long', 'jinja:%}', 'jinja:{%', 'tag:endif', 'jinja:%}',
      'jinja:{{', 'value:ticket', 'call:trim', 'jinja:}}'
    ]); // prettier-ignore
    expect(line('    gate is only')).toEqual([]);
    expect(line('    system:')).toEqual(['role:system:', 'jinja:{{', 'value:a']);
    expect(line('      .b')).toEqual(['property:b', 'jinja:}}']);
    expect(line('    user:')).toEqual(['role:user:']);
  });

  it('describes routes', () => {
    expect(line('billing')).toEqual(['step:billing', 'operator::', 'description: refunds, invoices']);
  });

  it('of %%react is a prompt from its first line, with headings in it', () => {
    expect(said('%%react orders --tools a\n# How\ngate {{ x }}\n')).toEqual([
      'magic:%%react', 'step:orders', 'flag:--tools', 'string:a', 'jinja:{{', 'value:x', 'jinja:}}'
    ]); // prettier-ignore
  });

  it('takes nothing between raw and endraw for Jinja', () => {
    const raw = said('%%chain\na\n    {% raw %}{{ no }}{% endraw %} {{ yes }}');
    expect(raw.filter(t => t.startsWith('value'))).toEqual(['value:yes']);
  });

  it('is never too odd to read', () => {
    for (let i = 0; i <= CELL.length; i += 1) {
      tokens(CELL.slice(0, i)); // as somebody types it
    }
    expect(said('%%chain\n)(= ]] "unclosed\n\ta(((\n{{ {{ {% \'')).toContain('magic:%%chain');
  });
});

describe('the editor', () => {
  const seen = (state: EditorState) => {
    const found: string[] = [];
    const as = tagHighlighter([
      { tag: tags.typeName, class: 'type' },
      { tag: tags.attributeName, class: 'option' }
    ]);
    highlightTree(ensureSyntaxTree(state, state.doc.length)!, as, (from, to, name) => {
      found.push(`${name}:${state.sliceDoc(from, to)}`);
    });
    return found;
  };

  it('colours our cells only, and changes its mind while somebody types', () => {
    expect(magicOf('%%chain x')).toBe('chain');
    expect(magicOf('\n\n%%chain')).toBe('chain');
    expect(magicOf('%%time')).toBeNull();
    expect(magicOf('%%chainsaw')).toBeNull();
    expect(magicOf('x = 1\n%%chain')).toBeNull();
    const start = EditorState.create({
      doc: '%%chai\na(retry=1) -> int',
      extensions: colours('%%chai\na(retry=1) -> int')
    });
    expect(ensureSyntaxTree(start, start.doc.length)?.length ?? 0).toBe(0);
    const typed = start.update({ changes: { from: 6, insert: 'n' } }).state;
    expect(seen(typed)).toEqual(['option:retry', 'type:int']);
    const gone = typed.update({ changes: { from: 0, to: 2 } }).state;
    expect(ensureSyntaxTree(gone, gone.doc.length)?.length ?? 0).toBe(0);
  });
});
