/** The runs in the outputs of a notebook, before Plotly's own renderer (rank 2) and HTML: safe, and without a kernel. */

import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { RunCard } from './card.js';
import { MIME, Trace } from './record.js';

/** One card per output: it keeps what a person has opened when the output is drawn anew. */
export class TraceRenderer extends Widget implements IRenderMime.IRenderer {
  private readonly card: RunCard;
  private readonly again = () => {
    this.card.resized();
  };
  private readonly resizes = new ResizeObserver(this.again);
  private readonly themes = new MutationObserver(this.again);

  constructor(options: IRenderMime.IRendererOptions) {
    super();
    const { markdownParser, sanitizer } = options;
    this.card = new RunCard({ tools: { markdownParser: markdownParser ?? null, sanitizer } });
    this.addClass('om-output');
    this.resizes.observe(this.node);
    this.themes.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-name'] });
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    try {
      await this.card.show(new Trace(model.data[MIME]));
      if (this.card.node.parentElement !== this.node) {
        this.node.replaceChildren(this.card.node);
      }
    } catch (error) {
      this.node.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  dispose(): void {
    this.resizes.disconnect();
    this.themes.disconnect();
    super.dispose();
  }
}

const extension: IRenderMime.IExtension = {
  id: 'orchmagic:trace',
  rendererFactory: { safe: true, mimeTypes: [MIME], createRenderer: options => new TraceRenderer(options) },
  rank: 1,
  dataType: 'json',
  documentWidgetFactoryOptions: {
    name: 'Trace of a run',
    modelName: 'text',
    primaryFileType: 'orchmagic-trace',
    fileTypes: ['orchmagic-trace']
  },
  fileTypes: [
    { name: 'orchmagic-trace', displayName: 'Trace of a run', extensions: ['.trace.json'], mimeTypes: [MIME] }
  ]
};

export default extension;
