/** Saved traces in a notebook, drawn without a kernel. Plotly's figure of the same output goes first (rank 0). */

import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Widget } from '@lumino/widgets';
import { MIME, Trace } from './record.js';
import { TraceView } from './view.js';

/** One view per output: it keeps what a person has opened when the output is drawn anew. */
export class TraceRenderer extends Widget implements IRenderMime.IRenderer {
  private readonly view = new TraceView();
  private readonly resizes = new ResizeObserver(() => {
    this.view.resized();
  });

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    try {
      this.view.show(new Trace(model.data[MIME]));
      this.node.replaceChildren(this.view.node);
      this.resizes.observe(this.view.node);
    } catch (error) {
      this.node.textContent = error instanceof Error ? error.message : String(error);
    }
    return Promise.resolve();
  }

  dispose(): void {
    this.resizes.disconnect();
    super.dispose();
  }
}

const extension: IRenderMime.IExtension = {
  id: 'orchmagic:trace',
  rendererFactory: { safe: true, mimeTypes: [MIME], createRenderer: () => new TraceRenderer() },
  rank: 10, // behind Plotly (0), before HTML (50): alone where a run is too large for a figure
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
