/** A cell of ours as coloured stretches. It reads as `orchmagic/cell` does, only that nothing is ever wrong with it:
 * column 0 is structure, indented lines are the text of what stands above them, values come by Jinja. */

import { ACTIONS, CONTROLS, EVALUATE_CONTROLS, MAGICS, PROMPT_MAGICS, STEP_OPTIONS, SWITCHES } from './tables.js';

export type Kind =
  | 'magic' | 'flag' | 'control' | 'step' | 'option' | 'field' | 'type' | 'description' | 'keyword' | 'variable' | 'call'
  | 'property' | 'value' | 'string' | 'number' | 'operator' | 'bracket' | 'comment' | 'role' | 'jinja' | 'tag'; // prettier-ignore

/** Characters `from` to `to` (exclusive) of the cell. */
export interface Token {
  from: number;
  to: number;
  kind: Kind;
}

const HEAD = /^\s*%%(\w+)(?=\s|$)/;
const NAME = /^[\p{L}_][\p{L}\p{N}_]*/u;
const ACTION = new RegExp(`^(else)(\\s+)(${[...ACTIONS].join('|')})\\b`);
const ROLE = /^(system|user|assistant):(?=[ \t]|$)/;
const KEYWORDS = new Set([
  'and',
  'or',
  'not',
  'in',
  'is',
  'if',
  'else',
  'for',
  'lambda',
  'None',
  'True',
  'False',
  'await'
]);
const TAGS = new Set(['if', 'elif', 'else', 'endif', 'for', 'endfor', 'in', 'set', 'endset', 'raw', 'endraw', 'filter',
  'endfilter', 'macro', 'endmacro', 'not', 'and', 'or', 'is', 'true', 'false', 'none']); // prettier-ignore
const CODE =
  /(?<comment>#.*)|(?<string>[rRbBfFuU]{0,2}(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?))|(?<number>\b\d[\d_.]*(?:[eE][+-]?\d+)?\b)|(?<name>[\p{L}_][\p{L}\p{N}_]*)|(?<bracket>[()[\]{}])|(?<operator>->|[=!<>]=|[-+*/%|&^~<>=:]+|[.,])/gu;
const WORD = /"(?:\\.|[^"\\])*"?|'[^']*'?|\S+/g;

/** The magic that a cell begins with, when it is one of ours. */
export function magicOf(text: string): string | null {
  const name = HEAD.exec(text)?.[1];
  return name !== undefined && MAGICS.has(name) ? name : null;
}

/** All stretches of a cell, in order; what is in none is plain text. */
export function tokens(text: string): Token[] {
  return new Reader(text).read();
}

class Reader {
  private readonly found: Token[] = [];
  private inside = ''; // the end of the Jinja that is open: it may close on a later line
  private raw = false;
  private margin: number | null = null; // of the roles of this prompt; -1: it has none
  private controls = CONTROLS;

  constructor(private readonly text: string) {}

  read(): Token[] {
    const magic = magicOf(this.text);
    this.controls = magic === 'evaluate' ? EVALUATE_CONTROLS : CONTROLS;
    let at = 0;
    let first = true;
    for (const line of this.text.split('\n')) {
      if (first) {
        if (line.trim()) {
          this.magic(line, at);
          first = false;
        }
      } else if (magic !== null && PROMPT_MAGICS.has(magic)) {
        this.prompt(line, at); // the whole body is the prompt
      } else if (line.startsWith('#')) {
        this.add(at, at + line.length, 'comment');
      } else if (/^[ \t]|^$/.test(line)) {
        this.prompt(line, at);
      } else {
        this.inside = '';
        this.raw = false;
        this.margin = null;
        this.structure(line, at);
      }
      at += line.length + 1;
    }
    return this.found;
  }

  private add(from: number, to: number, kind: Kind): void {
    if (to > from) {
      this.found.push({ from, to, kind });
    }
  }

  private magic(line: string, at: number): void {
    const head = HEAD.exec(line)?.[0] ?? '';
    const start = head.search(/%%/);
    this.add(at + start, at + head.length, 'magic');
    let named = false;
    let value = false; // a bare word behind a flag belongs to it
    for (const word of line.slice(head.length).matchAll(WORD)) {
      const from = at + head.length + word.index;
      const flag = /^--?[a-zA-Z][\w-]*/.exec(word[0])?.[0];
      if (flag !== undefined) {
        this.add(from, from + flag.length, 'flag');
        this.value(word[0].slice(flag.length), from + flag.length);
        value = flag.length === word[0].length && !SWITCHES.has(flag);
      } else if (!value && !named) {
        named = !word[0].endsWith(','); // %%evaluate names several
        this.add(from, from + word[0].length - (named ? 0 : 1), 'step');
      } else {
        this.value(word[0], from);
        value = false;
      }
    }
  }

  private value(text: string, from: number): void {
    const skip = text.startsWith('=') ? 1 : 0;
    this.add(from, from + skip, 'operator');
    this.add(from + skip, from + text.length, /^[\d.]+[a-z%]?$/.test(text.slice(skip)) ? 'number' : 'string');
  }

  /** A line at column 0. */
  private structure(line: string, at: number): void {
    const name = NAME.exec(line)?.[0];
    if (name === undefined) {
      return;
    }
    const rest = line.slice(name.length);
    const end = at + name.length;
    if (this.controls.has(name) && !/^\s*(=(?!=)|:|->)/.test(rest)) {
      this.add(at, end, 'control');
      this.control(rest, end);
    } else if (/^\s*=(?!=)/.test(rest)) {
      this.add(at, end, 'step');
      this.code(rest, end);
    } else if (/^\s*(\(|->|:|#|$)/.test(rest)) {
      this.add(at, end, 'step');
      this.header(rest, end);
    }
  }

  /** What follows `gate`, `until`, `verify` or `approve`. */
  private control(rest: string, at: number): void {
    const cut = [...rest.matchAll(/\belse\b|\bmax\b(?!\s*\()/g)]
      .reverse()
      .find(m => this.isAction(rest.slice(m.index)));
    if (!cut) {
      this.code(rest, at);
      return;
    }
    this.code(rest.slice(0, cut.index), at);
    const tail = rest.slice(cut.index);
    const from = at + cut.index;
    const action = ACTION.exec(tail);
    const words = action ? action[0].length : 3;
    if (action) {
      this.add(from, from + 4, 'control');
      this.add(from + words - action[3].length, from + words, 'control');
    } else {
      this.add(from, from + words, 'control');
    }
    const target = action?.[3] === 'goto' ? /^\s*([\p{L}_][\p{L}\p{N}_]*)/u.exec(tail.slice(words)) : null;
    if (target) {
      const start = from + words + target[0].length - target[1].length;
      this.add(start, start + target[1].length, 'step');
    } else {
      this.code(tail.slice(words), from + words);
    }
  }

  private isAction(tail: string): boolean {
    return ACTION.test(tail) || /^max\s+\d+\s*(#.*)?$/.test(tail);
  }

  /** What follows a step's name: options, then `-> outputs` or `: description`. */
  private header(rest: string, at: number): void {
    const open = /^\s*\(/.test(rest) ? closing(rest) : 0;
    this.options(rest.slice(0, open), at);
    const tail = rest.slice(open);
    const from = at + open;
    const described = /^(\s*):/.exec(tail);
    if (described) {
      this.add(from + described[1].length, from + described[0].length, 'operator');
      this.add(from + described[0].length, from + tail.length, 'description');
    } else {
      this.code(tail, from, 'types');
    }
  }

  private options(text: string, at: number): void {
    this.code(text, at, 'options');
  }

  /** Python: an expression, the options of a step, or the types of its outputs. */
  private code(text: string, at: number, as: 'expression' | 'options' | 'types' = 'expression'): void {
    let depth = 0;
    let before = '';
    for (const match of text.matchAll(CODE)) {
      const from = at + match.index;
      const kinds = match.groups as Partial<Record<Kind | 'name', string>>;
      const found = match[0];
      const after = text.slice(match.index + found.length);
      let kind = (Object.keys(kinds) as (Kind | 'name')[]).find(k => kinds[k] !== undefined)!;
      if (kind === 'name') {
        kind = named(found, before, after, as, depth);
      }
      this.add(from, from + found.length, kind);
      depth += '([{'.includes(found) ? 1 : ')]}'.includes(found) ? -1 : 0;
      before = found;
    }
  }

  /** A line of a prompt: plain but for its roles and its Jinja. */
  private prompt(line: string, at: number): void {
    const text = line.trimStart();
    const margin = line.length - text.length;
    if (this.margin === null && text) {
      this.margin = ROLE.test(text) ? margin : -1;
    }
    let start = 0;
    const role = this.margin === margin && !this.inside ? ROLE.exec(text) : null;
    if (role) {
      start = margin + role[0].length;
      this.add(at + margin, at + start, 'role');
    }
    while (start < line.length) {
      start = this.inside ? this.within(line, at, start) : this.outside(line, at, start);
    }
  }

  /** Plain text up to the next Jinja; where that begins, or the end of the line. */
  private outside(line: string, at: number, start: number): number {
    const next = this.raw ? /\{%-?\s*endraw\s*-?%\}/g : /\{\{|\{%|\{#/g;
    next.lastIndex = start;
    const found = next.exec(line);
    if (!found) {
      return line.length;
    }
    const open = this.raw ? '{%' : found[0];
    this.raw = false;
    this.inside = open === '{{' ? '}}' : open === '{%' ? '%}' : '#}';
    if (open === '{#') {
      return this.comment(line, at, found.index);
    }
    this.add(at + found.index, at + found.index + 2, 'jinja');
    return found.index + 2;
  }

  private within(line: string, at: number, start: number): number {
    if (this.inside === '#}') {
      return this.comment(line, at, start);
    }
    const end = ending(line, start, this.inside);
    const stop = end < 0 ? line.length : end;
    this.jinja(line.slice(start, stop), at + start);
    if (end < 0) {
      return line.length;
    }
    this.raw = this.inside === '%}' && /^-?\s*raw\s*-?$/.test(line.slice(start, stop));
    this.inside = '';
    this.add(at + end, at + end + 2, 'jinja');
    return end + 2;
  }

  private comment(line: string, at: number, start: number): number {
    const end = line.indexOf('#}', start);
    const stop = end < 0 ? line.length : end + 2;
    this.add(at + start, at + stop, 'comment');
    this.inside = end < 0 ? '#}' : '';
    return stop;
  }

  private jinja(text: string, at: number): void {
    let before = '';
    for (const match of text.matchAll(CODE)) {
      const found = match[0];
      const from = at + match.index;
      const groups = match.groups as Record<string, string | undefined>;
      if (groups.name !== undefined) {
        const tag = this.inside === '%}' ? TAGS.has(found) : KEYWORDS.has(found);
        this.add(
          from,
          from + found.length,
          tag ? 'tag' : before === '|' ? 'call' : before === '.' ? 'property' : 'value'
        );
      } else if (groups.string !== undefined || groups.number !== undefined) {
        this.add(from, from + found.length, groups.string === undefined ? 'number' : 'string');
      }
      before = found;
    }
  }
}

/** What a name is, by what stands around it. */
function named(found: string, before: string, after: string, as: string, depth: number): Kind {
  if (as === 'types') {
    return /^\s*:/.test(after) ? 'field' : ['None', 'Literal'].includes(found) ? 'keyword' : 'type';
  }
  if (as === 'options' && depth === 1 && /^\s*=(?!=)/.test(after) && STEP_OPTIONS.has(found)) {
    return 'option';
  }
  if (KEYWORDS.has(found)) {
    return 'keyword';
  }
  return before === '.' ? 'property' : /^\s*\(/.test(after) ? 'call' : 'variable';
}

/** Where the bracket that opens `source` is closed (exclusive); the end where it is not. */
function closing(source: string): number {
  let depth = 0;
  for (const match of source.matchAll(CODE)) {
    if (match[0] === '(' || match[0] === ')') {
      depth += match[0] === '(' ? 1 : -1;
      if (!depth) {
        return match.index + 1;
      }
    }
  }
  return source.length;
}

/** Where Jinja ends, outside its quoted texts; -1 when not in this line. */
function ending(line: string, start: number, end: string): number {
  let quote = '';
  for (let i = start; i < line.length; i += 1) {
    if (quote) {
      quote = line[i] === quote && line[i - 1] !== '\\' ? '' : quote;
    } else if (line.startsWith(end, i)) {
      return i;
    } else if (line[i] === '"' || line[i] === "'") {
      quote = line[i];
    }
  }
  return -1;
}
