/** What the current notebook gives: its kernel's face, the traces in its outputs, and when to look again. */

import { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { ICodeCellModel } from '@jupyterlab/cells';
import { Face, faceOf } from './kernel.js';
import { MIME, Trace } from './record.js';

const PATIENCE = 3_000; // milliseconds

export class Current {
  private panel: NotebookPanel | null = null;
  private silent = true; // the kernel said nothing yet, or is gone
  /** After a reload the kernel is there before it says anything: only then can it be asked. */
  private readonly heard = (): void => {
    const silent = this.face === null;
    if (this.silent && !silent) {
      this.changed();
    }
    this.silent = silent;
  };

  /** `changed` is called when another notebook or kernel is there, or a cell has run. */
  constructor(
    tracker: INotebookTracker,
    private readonly changed: () => void
  ) {
    tracker.currentChanged.connect((_, panel) => {
      this.follow(panel);
    });
    NotebookActions.executed.connect((_, { notebook }) => {
      if (notebook === this.panel?.content) {
        this.changed();
      }
    });
    this.follow(tracker.currentWidget);
  }

  /** The kernel's face; null when there is none, or it speaks no Python. */
  get face(): Face | null {
    return this.panel && faceIn(this.panel);
  }

  /** Soon after a reload the kernel is not there yet: wait for it, but not for a person who is asked which one to take. */
  get ready(): Promise<unknown> {
    const panel = this.panel;
    const there = panel?.context.ready.then(() => panel.sessionContext.ready).catch(() => undefined);
    return Promise.race([there, new Promise(done => window.setTimeout(done, PATIENCE))]);
  }

  /** The traces that the outputs hold, newest first; what cannot be read is left out. */
  get saved(): Trace[] {
    const found: Trace[] = [];
    for (const cell of this.panel?.content.model?.cells ?? []) {
      if (cell.type === 'code') {
        found.push(...tracesOf(cell as ICodeCellModel));
      }
    }
    return found.sort((a, b) => b.totals.started.localeCompare(a.totals.started));
  }

  private follow(panel: NotebookPanel | null): void {
    this.panel?.sessionContext.kernelChanged.disconnect(this.changed);
    this.panel?.sessionContext.statusChanged.disconnect(this.heard);
    this.panel = panel;
    this.silent = true;
    panel?.sessionContext.kernelChanged.connect(this.changed);
    panel?.sessionContext.statusChanged.connect(this.heard);
    void panel?.context.ready.then(() => panel.sessionContext.ready).then(this.changed, this.changed);
    this.changed();
  }
}

/** The face of a notebook's kernel; null when there is none, or it speaks no Python. */
export function faceIn(panel: NotebookPanel): Face | null {
  const kernel = panel.sessionContext.session?.kernel;
  const dead = ['dead', 'terminating', 'unknown'];
  const language = panel.content.model?.metadata.language_info as { name?: string } | undefined;
  const python = (language?.name ?? 'python').toLowerCase().includes('python');
  return kernel && !dead.includes(kernel.status) && python ? faceOf(kernel) : null;
}

/** Stop the run of the output that holds `node`: by an interrupt while its cell runs, else by a question to the kernel. */
export function stop(panel: NotebookPanel | undefined, node: Node, run: string): Promise<unknown> {
  const cell = panel?.content.widgets.find(w => w.node.contains(node));
  const kernel = panel?.sessionContext.session?.kernel;
  const busy = cell?.model.type === 'code' && (cell.model as ICodeCellModel).executionCount === null;
  return (busy ? kernel?.interrupt() : panel && faceIn(panel)?.stop(run)) ?? Promise.resolve();
}

function tracesOf(cell: ICodeCellModel): Trace[] {
  const found: Trace[] = [];
  for (let i = 0; i < cell.outputs.length; i += 1) {
    const data = cell.outputs.get(i).data[MIME];
    try {
      if (data !== undefined) {
        found.push(new Trace(data));
      }
    } catch {
      continue; // written by a newer version: its own output says so
    }
  }
  return found;
}
