declare module 'plotly.js-basic-dist-min' {
  export interface Figure extends HTMLElement {
    on(event: string, heard: (told: Record<string, unknown>) => void): void;
  }
  const plotly: {
    react(node: HTMLElement, data: unknown[], layout: unknown, config: unknown): Promise<Figure>;
    purge(node: HTMLElement): void;
  };
  export default plotly;
}
