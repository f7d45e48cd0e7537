/** A button that copies a text, also where the page has no clipboard (http). */

import { button, el } from './dom.js';

const SAID = 1_200; // milliseconds that "Copied" stands

export function copyButton(text: () => string, attributes: Record<string, string> = {}): HTMLButtonElement {
  const made = button('Copy', () => {
    void copied(text()).then(done => {
      made.textContent = done ? 'Copied' : 'Not copied';
      window.setTimeout(() => {
        made.textContent = 'Copy';
      }, SAID);
    });
  }, { class: 'om-act', ...attributes }); // prettier-ignore
  return made;
}

async function copied(text: string): Promise<boolean> {
  try {
    await (navigator.clipboard as Clipboard | undefined)!.writeText(text);
    return true;
  } catch {
    const field = el('textarea', { style: 'position:fixed;opacity:0', 'aria-hidden': 'true' });
    field.value = text;
    document.body.append(field);
    field.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only way on a page without https
    const done = document.execCommand('copy');
    field.remove();
    return done;
  }
}
