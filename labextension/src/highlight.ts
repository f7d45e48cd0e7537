/** The colours of our cells in CodeMirror. A cell that is not ours keeps its Python; the switch is made while typing. */

import { Language, defineLanguageFacet, languageDataProp, syntaxHighlighting } from '@codemirror/language';
import { Compartment, EditorState, Extension, Prec, Text } from '@codemirror/state';
import { Input, NodeSet, NodeType, Parser, PartialParse, Tree } from '@lezer/common';
import { Tag, styleTags, tagHighlighter, tags as t } from '@lezer/highlight';
import { Kind, magicOf, tokens } from './cell.js';

const magic = Tag.define(t.meta);
const control = Tag.define(t.keyword);
const step = Tag.define(t.variableName);
const role = Tag.define(t.keyword);
const jinja = Tag.define(t.brace);
const value = Tag.define(t.variableName);
const description = Tag.define(t.content);

/** What the theme of the editor colours; our own tags fall back to what it knows. */
const TAGS: Record<Kind, Tag> = {
  magic, control, step, role, jinja, description, value,
  tag: t.keyword, flag: t.attributeName, option: t.attributeName, field: t.propertyName, type: t.typeName,
  keyword: t.keyword, variable: t.variableName, call: t.function(t.variableName), property: t.propertyName,
  string: t.string, number: t.number, operator: t.operator, bracket: t.bracket, comment: t.comment
}; // prettier-ignore

const OURS = tagHighlighter([
  { tag: magic, class: 'om-cm-magic' },
  { tag: control, class: 'om-cm-control' },
  { tag: step, class: 'om-cm-step' },
  { tag: role, class: 'om-cm-role' },
  { tag: jinja, class: 'om-cm-jinja' },
  { tag: description, class: 'om-cm-description' },
  { tag: value, class: 'om-cm-value' },
  { tag: t.typeName, class: 'om-cm-type' },
  { tag: t.attributeName, class: 'om-cm-option' }
]);

const facet = defineLanguageFacet({ commentTokens: { line: '#' } });
const KINDS = Object.keys(TAGS) as Kind[];
const CELL = NodeType.define({ id: 0, name: 'OrchCell', top: true, props: [[languageDataProp, facet]] });
const NODES = new NodeSet([CELL, ...KINDS.map((name, i) => NodeType.define({ id: i + 1, name }))]).extend(
  styleTags(TAGS)
);

/** Cells are short: each change reads the whole of it. */
export class CellParser extends Parser {
  createParse(input: Input, _: unknown, ranges: readonly { from: number; to: number }[]): PartialParse {
    let stopped: number | null = null;
    return {
      parsedPos: 0,
      get stoppedAt() {
        return stopped;
      },
      stopAt(position: number) {
        stopped = position;
      },
      advance: () => tree(input.read(0, input.length), stopped ?? ranges[ranges.length - 1].to)
    };
  }
}

function tree(text: string, end: number): Tree {
  const buffer = tokens(text)
    .filter(token => token.to <= end)
    .flatMap(({ from, to, kind }) => [KINDS.indexOf(kind) + 1, from, to, 4]);
  return Tree.build({ buffer, nodeSet: NODES, topID: 0, length: end });
}

const language = new Language(facet, new CellParser(), [], 'orchmagic');
const ON: Extension = [Prec.highest(language.extension), syntaxHighlighting(OURS)];

/** The extension of one editor whose text is `initial` now. */
export function colours(initial: string): Extension {
  const slot = new Compartment();
  let ours = magicOf(initial) !== null;
  return [
    slot.of(ours ? ON : []),
    EditorState.transactionExtender.of(change => {
      const now = change.docChanged ? isOurs(change.newDoc) : ours;
      if (now === ours) {
        return null;
      }
      ours = now;
      return { effects: slot.reconfigure(now ? ON : []) };
    })
  ];
}

/** Whether the first line that is not blank begins with one of our magics. */
function isOurs(text: Text): boolean {
  for (let n = 1; n <= text.lines; n += 1) {
    const line = text.line(n).text;
    if (line.trim()) {
      return magicOf(line) !== null;
    }
  }
  return false;
}
