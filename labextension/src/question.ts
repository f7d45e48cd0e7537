/** What a waiting run asks, with buttons or a field. It stays as it is while the list around it is drawn anew. */

import { button, el, foreign } from './dom.js';
import { ValueField, message } from './editor.js';
import { Face, Reply, Run } from './kernel.js';
import { shown } from './words.js';

const LABELS: Record<string, string> = { approve: 'Approve', edit: 'Edit', reject: 'Reject' };

export class Question {
  readonly node: HTMLElement;
  private readonly row = el('div', { class: 'om-buttons' });
  private readonly editor = el('div', { class: 'om-editor' });
  private readonly value: ValueField;
  private readonly note = el('div', { class: 'om-error', role: 'alert' });

  constructor(
    private readonly run: Run,
    private readonly face: () => Face,
    private readonly answered: () => void
  ) {
    const asked = run.asked!;
    this.value = new ValueField(asked.question);
    const about = asked.shown && el('pre', { dir: 'auto' }, foreign(asked.shown));
    const head = el('div', { class: 'om-question' }, foreign(shown(asked.question)));
    this.node = el('div', { class: 'om-asks' }, head, about, this.row, this.editor, this.note);
    if (asked.choices.length) {
      this.choices();
    } else {
      this.open('Send', () => this.free());
    }
  }

  private get field(): HTMLTextAreaElement {
    return this.value.node;
  }

  /** Put the cursor where the answer goes. */
  focus(): void {
    this.node.scrollIntoView({ block: 'nearest' });
    this.node.querySelector<HTMLElement>('textarea, button')?.focus();
  }

  private choices(): void {
    const acts: Record<string, () => void> = {
      approve: () => void this.send({ action: 'approve' }),
      edit: () => void this.edit(),
      reject: () => {
        this.field.value = '';
        this.field.placeholder = 'Reason (optional)';
        this.open('Reject', () => this.send({ action: 'reject', why: this.field.value.trim() }), true);
      }
    };
    const known = this.run.asked!.choices.filter(c => c in acts);
    this.editor.replaceChildren();
    this.row.replaceChildren(...known.map(c => button(LABELS[c], acts[c], { class: `om-button om-${c}` })));
  }

  private open(label: string, send: () => Promise<void>, cancel = false): void {
    const buttons = [button(label, () => void send(), { class: 'om-button om-approve' })];
    if (cancel) {
      buttons.push(button('Cancel', () => { this.say(''); this.choices(); }, { class: 'om-button' })); // prettier-ignore
    }
    this.row.replaceChildren();
    this.editor.replaceChildren(this.field, el('div', { class: 'om-buttons' }, ...buttons));
    this.field.focus();
  }

  private async edit(): Promise<void> {
    try {
      const { value } = await this.face().asked(this.run.id, this.run.asked!.span);
      this.value.put(isTool(value) ? value.arguments : value);
      this.open('Send the edit', () => this.edited(), true);
    } catch (error) {
      this.say(message(error));
    }
  }

  private async edited(): Promise<void> {
    let value: unknown;
    try {
      ({ value } = this.value);
    } catch (error) {
      this.say(message(error));
      return;
    }
    await this.send({ action: 'edit', value });
  }

  private async free(): Promise<void> {
    if (this.field.value.trim()) {
      await this.send(this.field.value);
    } else {
      this.say('Type an answer first');
    }
  }

  private async send(reply: Reply): Promise<void> {
    this.off(true);
    this.say('');
    try {
      await this.face().answer(this.run.id, reply, this.run.asked!.span);
      this.answered();
    } catch (error) {
      this.say(message(error));
      this.off(false);
    }
  }

  private off(off: boolean): void {
    for (const control of this.node.querySelectorAll<HTMLButtonElement | HTMLTextAreaElement>('button, textarea')) {
      control.disabled = off;
    }
  }

  private say(text: string): void {
    this.note.textContent = text && `✗ ${shown(text, 300)}`;
  }
}

function isTool(value: unknown): value is { tool: string; arguments: unknown } {
  return value !== null && typeof value === 'object' && 'tool' in value && 'arguments' in value;
}
