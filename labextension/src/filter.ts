/** What the list of runs shows: by words in name, pattern and id, by status, and by age. */

import { el } from './dom.js';
import { Run } from './kernel.js';
import { word } from './words.js';

const DAY = 24 * 3600 * 1000; // milliseconds
type Choices = readonly (readonly [value: string, shown: string])[];
const AGES: Choices = [
  ['', 'Any date'],
  ['1', 'Last 24 hours'],
  ['7', 'Last 7 days'],
  ['30', 'Last 30 days']
];
const ENDS = ['done', 'running', 'waiting', 'failed', 'capped', 'cancelled', 'rejected', 'lost'];
const STATUSES: Choices = [['', 'Any status'], ...ENDS.map(status => [status, word(status)] as const)];

export class RunFilter {
  readonly node = el('div', { class: 'om-filter', role: 'search' });
  private readonly words = el('input', { type: 'search', placeholder: 'Search', 'aria-label': 'Search runs' });
  private readonly status = choice('Status', STATUSES);
  private readonly age = choice('Date', AGES);

  constructor(private readonly changed: () => void) {
    for (const field of this.fields) {
      field.addEventListener('input', changed);
    }
    this.node.append(this.words, this.status, this.age);
  }

  private get fields() {
    return [this.words, this.status, this.age];
  }

  /** Show all runs again. */
  clear(): void {
    for (const field of this.fields) {
      field.value = '';
    }
    this.words.focus();
    this.changed();
  }

  /** A run passes with every word in it, of the chosen status, begun in the chosen time. */
  shows(run: Run, now = Date.now()): boolean {
    const text = `${run.name} ${run.pattern} ${run.id}`.toLowerCase();
    const words = this.words.value.toLowerCase().split(/\s+/);
    const young = !this.age.value || now - Date.parse(run.started) <= Number(this.age.value) * DAY;
    return young && (!this.status.value || run.status === this.status.value) && words.every(w => text.includes(w));
  }
}

function choice(label: string, choices: Choices): HTMLSelectElement {
  const options = choices.map(([value, shown]) => el('option', { value }, shown));
  return el('select', { 'aria-label': label }, ...options);
}
