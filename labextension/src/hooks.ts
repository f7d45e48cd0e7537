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
