/** What JupyterLab and Notebook 7 load: colours in cells, and the panel of runs with its commands. */

import { ILabShell, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { EditorExtensionRegistry, IEditorExtensionRegistry } from '@jupyterlab/codemirror';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';
import { colours } from './highlight.js';
import { hooks, look } from './hooks.js';
import { icon } from './icon.js';
import { Run } from './kernel.js';
import { Current, faceIn, stop } from './notebook.js';
import { Trace } from './record.js';
import { RunList } from './runs.js';
import { Tabs } from './tabs.js';

const AGAIN = 1_000; // milliseconds between two looks at a run that goes on in the background
const SOON = 150; // milliseconds in which several reasons to look are one

const cells: JupyterFrontEndPlugin<void> = {
  id: 'orchmagic:cells',
  description: 'Colours in cells that begin with a magic of orchmagic',
  autoStart: true,
  requires: [IEditorExtensionRegistry],
  activate: (_: JupyterFrontEnd, editors: IEditorExtensionRegistry) => {
    editors.addExtension({
      name: 'orchmagic:cells',
      factory: ({ model }) => EditorExtensionRegistry.createImmutableExtension(colours(model.sharedModel.getSource()))
    });
  }
};

/** The panel: it looks only while somebody sees it. */
class RunsPanel extends Widget {
  readonly list: RunList;
  private readonly current: Current;
  private timer = 0;
  private statuses = new Map<string, string>();

  constructor(
    tracker: INotebookTracker,
    private readonly tabs: Tabs
  ) {
    super();
    this.id = 'orchmagic-runs';
    this.title.icon = icon;
    this.title.caption = 'Runs of orchmagic';
    this.node.setAttribute('aria-label', 'Runs of orchmagic');
    this.current = new Current(tracker, () => {
      this.soon(SOON);
      look();
    });
    this.list = new RunList({
      face: () => this.current.face,
      saved: () => this.current.saved,
      open: run => void this.open(run),
      compare: runs => void this.compare(runs),
      listed: runs => void this.listed(runs)
    });
    this.node.append(this.list.node);
  }

  look(): Promise<void> {
    window.clearTimeout(this.timer);
    return this.list.refresh();
  }

  /** `look`, for somebody who asked for it: with the kernel, where there is one. */
  async looked(): Promise<void> {
    await this.current.ready;
    await this.look();
  }

  /** Open tabs follow their runs; while one goes on in the background, look again. */
  private async listed(runs: readonly Run[]): Promise<void> {
    const before = this.statuses;
    this.statuses = new Map(runs.map(r => [r.id, r.status]));
    if (runs.some(r => r.status === 'running' && r.here)) {
      this.soon(AGAIN);
    }
    const moved = (r: Run) => r.status === 'running' || before.get(r.id) !== r.status;
    for (const run of runs.filter(r => this.tabs.shown.includes(r.id) && moved(r))) {
      this.tabs.renew(await this.trace(run));
    }
  }

  async open(run: Run | Trace | undefined): Promise<void> {
    if (run) {
      this.tabs.open(await this.trace(run));
    }
  }

  async compare(runs: readonly (Run | Trace)[]): Promise<void> {
    if (runs.length === 2) {
      this.tabs.compare(await this.trace(runs[0]), await this.trace(runs[1]));
    }
  }

  protected onAfterShow(): void {
    this.soon(0);
  }

  private soon(milliseconds: number): void {
    window.clearTimeout(this.timer);
    if (this.isVisible || this.tabs.shown.length) {
      this.timer = window.setTimeout(() => void this.look(), milliseconds);
    }
  }

  private async trace(run: Run | Trace): Promise<Trace> {
    return run instanceof Trace ? run : new Trace(await this.current.face?.record(run.id));
  }
}

const runs: JupyterFrontEndPlugin<void> = {
  id: 'orchmagic:runs',
  description: 'The runs of the current notebook: traces, comparison, answers to runs that wait',
  autoStart: true,
  requires: [INotebookTracker, IRenderMimeRegistry],
  optional: [ICommandPalette, ILabShell],
  activate: (
    app,
    tracker: INotebookTracker,
    { markdownParser, sanitizer }: IRenderMimeRegistry,
    palette: ICommandPalette | null,
    lab: ILabShell | null
  ) => {
    const panel = new RunsPanel(tracker, new Tabs(app, lab ? 'main' : 'down', { markdownParser, sanitizer }));
    app.shell.add(panel, 'right', { rank: 900, type: 'Runs' });
    const around = (node: Node) => tracker.find(p => p.node.contains(node));
    hooks.open = run => void panel.looked().then(() => panel.open(panel.list.known(run)));
    hooks.stop = (node, run) => stop(around(node), node, run);
    hooks.face = node => {
      const found = around(node) ?? tracker.currentWidget;
      return found && faceIn(found);
    };
    const show = () => {
      app.shell.activateById(panel.id);
    };
    const commands: [string, string, () => unknown][] = [
      ['show-runs', 'Show the Runs Panel', show],
      ['refresh-runs', 'Refresh the Runs', () => panel.looked()],
      ['open-last-run', 'Open the Last Run', () => panel.looked().then(() => panel.open(panel.list.last))],
      ['compare-runs', 'Compare Two Runs (those ticked, or the last two)', () => panel.looked().then(() => panel.compare(panel.list.pair))],
      ['resume-run', 'Resume the Run That Waits or Broke Off', () => { show(); return panel.looked().then(() => panel.list.resume()); }]
    ]; // prettier-ignore
    for (const [name, label, execute] of commands) {
      app.commands.addCommand(`orchmagic:${name}`, { label, execute });
      palette?.addItem({ command: `orchmagic:${name}`, category: 'orchmagic' });
    }
  }
};

export default [cells, runs];
