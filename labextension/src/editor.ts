/** A field in which a person changes a value: a text stays a text, anything else is JSON. */

import { el } from './dom.js';

const LINES = 12; // that a field shows at most

export class ValueField {
  readonly node: HTMLTextAreaElement;
  private text = false;

  constructor(label: string) {
    this.node = el('textarea', { rows: '3', 'aria-label': label, 'data-lm-suppress-shortcuts': 'true' });
  }

  put(value: unknown): void {
    this.text = typeof value === 'string';
    this.node.value = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
    this.node.rows = Math.min(LINES, this.node.value.split('\n').length + 1);
  }

  /** Throws an Error for a person where it is no JSON. */
  get value(): unknown {
    if (this.text) {
      return this.node.value;
    }
    try {
      return JSON.parse(this.node.value) as unknown;
    } catch (error) {
      throw new Error(`Not valid JSON: ${message(error)}`);
    }
  }
}

export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
