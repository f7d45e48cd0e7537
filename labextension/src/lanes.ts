/** The bars of the rows in sight as one Plotly figure, between columns of HTML. Plotly draws no text, so nothing overlaps.
 *
 * Plotly is loaded when the first bars are drawn; until then, and while a run goes on, the same bars are CSS. */

import type plotly from 'plotly.js-basic-dist-min';
import type { Figure } from 'plotly.js-basic-dist-min';
import { el } from './dom.js';

export interface Piece {
  start: number;
  length: number;
  bad: boolean;
}

export interface Bar {
  row: number;
  start: number;
  length: number;
  /** The name of a color in palette.css, without `--om-`. */
  color: string;
  hatch: string;
  input: number;
  output: number;
  cost: number;
  tries: Piece[];
  hover: string;
}

/** Where the columns are, in pixels: the figure's left edge and width, and of each column its parts of the width. */
export interface Columns {
  left: number;
  width: number;
  lane: [number, number];
  tokens: [number, number] | null;
  cost: [number, number] | null;
}

export interface View {
  bars: readonly Bar[];
  first: number;
  last: number;
  end: number;
  ticks: readonly number[];
  at: Columns;
  color: (name: string) => string;
}

export const HEIGHT = 24; // pixels of a row, as in the style sheet
const STILL = 4; // pixels: less between press and release is a click, more selects a time
const LEAST = 1 / 250; // of the axis: no bar is shorter
const CONFIG = { displayModeBar: false, responsive: false, doubleClick: false, scrollZoom: false };

let loading: Promise<typeof plotly> | null = null;

/** Load Plotly once for the page. */
export function loaded(): Promise<typeof plotly> {
  loading ??= import('plotly.js-basic-dist-min').then(found => found.default);
  return loading;
}

export class Lanes {
  readonly node = el('div', { class: 'om-plot', 'aria-hidden': 'true' });
  private turn = 0;
  private first = 0;
  private heard = false;
  private range: [number, number] | null = null;
  private view: View | null = null;

  constructor(
    private readonly clicked: (row: number) => void,
    private readonly zoomed: (range: [number, number] | null) => void
  ) {
    // Plotly covers the page between the press and the release of a button, so no click reaches this element
    this.node.addEventListener(
      'pointerdown',
      down => {
        window.addEventListener(
          'pointerup',
          up => {
            if (Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY) < STILL) {
              this.clicked(this.first + Math.floor((up.clientY - this.node.getBoundingClientRect().top) / HEIGHT));
            }
          },
          { once: true, capture: true }
        );
      },
      { capture: true }
    );
  }

  /** Draw; false if something else was to be drawn meanwhile, or there is no room. */
  async draw(view: View): Promise<boolean> {
    const turn = (this.turn += 1);
    const drawing = await loaded();
    if (turn !== this.turn || !this.node.isConnected || view.at.width < 40) {
      return false;
    }
    this.first = view.first;
    this.view = view;
    const { left, width } = view.at;
    const height = (view.last - view.first) * HEIGHT;
    Object.assign(this.node.style, {
      top: `${view.first * HEIGHT}px`,
      left: `${left}px`,
      width: `${width}px`,
      height: `${height}px`
    });
    const figure = await drawing.react(this.node, traces(view), this.layout(view, height), CONFIG);
    this.listen(figure);
    return true;
  }

  private listen(figure: Figure): void {
    if (this.heard) {
      return;
    }
    this.heard = true;
    figure.on('plotly_doubleclick', () => {
      this.zoom(null);
    });
    figure.on('plotly_relayout', told => {
      const [from, to] = [told['xaxis.range[0]'], told['xaxis.range[1]']];
      if (typeof from === 'number' && typeof to === 'number') {
        this.zoom([Math.max(0, from), to]);
      }
    });
  }

  private zoom(range: [number, number] | null): void {
    this.range = range;
    this.zoomed(range);
    if (this.view) {
      void this.draw(this.view);
    }
  }

  private layout(view: View, height: number): object {
    const { color, at } = view;
    const thin = (domain: [number, number] | null, most: number) =>
      domain && { domain, range: [0, most || 1], visible: false, fixedrange: true };
    const top = (of: (bar: Bar) => number) => view.bars.reduce((most, bar) => Math.max(most, of(bar)), 0);
    return {
      width: at.width, height, margin: { l: 0, r: 0, t: 0, b: 0, pad: 0 }, barmode: 'overlay', showlegend: false, dragmode: 'zoom',
      hovermode: 'closest', paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
      hoverlabel: { bgcolor: color('ground'), bordercolor: color('grey'), font: { color: color('text'), size: 12 }, align: 'left' },
      yaxis: { range: [view.last - 0.5, view.first - 0.5], fixedrange: true, visible: false },
      xaxis: {
        domain: at.lane, range: this.range ?? [0, view.end], showticklabels: false, ticks: '', zeroline: false,
        gridcolor: color('grid'), tickvals: view.ticks
      },
      xaxis2: thin(at.tokens, top(bar => bar.input + bar.output)) ?? { visible: false },
      xaxis3: thin(at.cost, top(bar => bar.cost)) ?? { visible: false }
    }; // prettier-ignore
  }
}

function traces(view: View): object[] {
  const { color, end, at } = view;
  const bars = view.bars.filter(bar => bar.length >= 0);
  const base = { type: 'bar', orientation: 'h' };
  const colors = bars.map(bar => color(bar.color));
  const hatch = (shape: string[], size: number) => ({
    shape, fillmode: 'overlay', fgcolor: color('ground'), fgopacity: 0.75, size, solidity: 0.4
  }); // prettier-ignore
  const found: object[] = [
    {
      ...base, y: bars.map(bar => bar.row), base: bars.map(bar => bar.start), x: bars.map(bar => Math.max(bar.length, end * LEAST)),
      width: 0.58, hoverinfo: 'text', hovertext: bars.map(bar => bar.hover),
      marker: { color: colors, line: { color: colors, width: 1 }, pattern: hatch(bars.map(bar => bar.hatch), 6) }
    }
  ]; // prettier-ignore
  const tries = bars.flatMap(bar => bar.tries.map(piece => ({ ...piece, row: bar.row })));
  if (tries.length) {
    const tints = tries.map(piece => color(piece.bad ? 'bad' : 'call'));
    found.push({
      ...base, y: tries.map(piece => piece.row), base: tries.map(piece => piece.start),
      x: tries.map(piece => Math.max(piece.length, end * LEAST)), width: 0.34, hoverinfo: 'skip',
      marker: { color: tints, pattern: hatch(tries.map(piece => (piece.bad ? 'x' : '')), 5) }
    }); // prettier-ignore
  }
  const y = bars.map(bar => bar.row + 0.4);
  const thin = (xaxis: string, from: number[], x: number[], tint: string, opacity: number) => ({
    ...base, y, base: from, x, xaxis, width: 0.14, hoverinfo: 'skip', marker: { color: tint, opacity }
  }); // prettier-ignore
  const none = bars.map(() => 0);
  if (at.tokens) {
    const input = bars.map(bar => bar.input);
    found.push(thin('x2', none, input, color('call'), 0.75));
    found.push(thin('x2', input, bars.map(bar => bar.output), color('call'), 1)); // prettier-ignore
  }
  if (at.cost) {
    found.push(thin('x3', none, bars.map(bar => bar.cost), color('code'), 1)); // prettier-ignore
  }
  return found;
}
