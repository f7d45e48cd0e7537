/** Traces in tabs of their own, one per run; in Notebook 7, whose main area holds one document, below it. */

import { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';
import { RunCard } from './card.js';
import { CompareView } from './compare.js';
import { icon } from './icon.js';
import { Tools } from './markdown.js';
import { Trace } from './record.js';
import { oneLine } from './words.js';

class TraceTab extends Widget {
  private readonly card: RunCard;

  constructor(tools: Tools) {
    super();
    this.card = new RunCard({ fill: true, tools });
    this.addClass('om-tab');
    this.node.append(this.card.node);
  }

  show_(trace: Trace): void {
    void this.card.show(trace);
  }

  protected onResize(): void {
    this.card.resized();
  }

  protected onAfterShow(): void {
    this.card.resized();
  }
}

export class Tabs {
  private readonly traces = new Map<string, MainAreaWidget<TraceTab>>();

  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly area: 'main' | 'down',
    private readonly tools: Tools
  ) {}

  /** Show a run; the tab that it has already is brought to the front. */
  open(trace: Trace): void {
    const { run, name } = trace.totals;
    const tab = this.traces.get(run) ?? this.made(new TraceTab(this.tools), `${oneLine(name, 30)} ${run}`, run);
    tab.content.show_(trace);
    this.app.shell.activateById(tab.id);
  }

  /** The runs whose tabs are open: they follow what the run does. */
  get shown(): string[] {
    return [...this.traces.keys()];
  }

  /** Draw an open tab anew. */
  renew(trace: Trace): void {
    this.traces.get(trace.totals.run)?.content.show_(trace);
  }

  compare(a: Trace, b: Trace): void {
    const content = new Widget({ node: new CompareView(a, b).node });
    const tab = new MainAreaWidget({ content });
    tab.id = `orchmagic-compare-${a.totals.run}-${b.totals.run}-${Date.now()}`;
    this.add(tab, `${a.totals.run} and ${b.totals.run}`);
    this.app.shell.activateById(tab.id);
  }

  private made(content: TraceTab, title: string, run: string): MainAreaWidget<TraceTab> {
    const tab = new MainAreaWidget({ content });
    tab.id = `orchmagic-run-${run}`;
    this.add(tab, title);
    this.traces.set(run, tab);
    tab.disposed.connect(() => this.traces.delete(run));
    return tab;
  }

  private add(tab: MainAreaWidget, title: string): void {
    tab.title.label = title;
    tab.title.icon = icon;
    tab.title.closable = true;
    tab.toggleClass('om-down', this.area === 'down');
    this.app.shell.add(tab, this.area);
  }
}
