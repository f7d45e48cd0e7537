/** What the panel's plugin offers to the outputs of a notebook; nothing where it is missing (a viewer of files, tests). */

import { Face } from './kernel.js';

export interface Hooks {
  /** Show a run in a tab. */
  open?: (run: string) => void;
  /** Stop the run of the output that holds `node`. */
  stop?: (node: Node, run: string) => Promise<unknown>;
  /** The kernel of the notebook that holds `node`. */
  face?: (node: Node) => Face | null;
}

export const hooks: Hooks = {};

/** The event by which a card is told that a kernel may be there now. */
export const LOOK = 'om-look';

/** Tell the cards in sight. */
export function look(): void {
  for (const card of document.querySelectorAll('.om-card')) {
    const { top, bottom } = card.getBoundingClientRect();
    if (bottom > 0 && top < window.innerHeight) {
      card.dispatchEvent(new Event(LOOK));
    }
  }
}
