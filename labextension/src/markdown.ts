/** What a model wrote, as Markdown: JupyterLab's parser, its sanitizer, and nothing that a page would fetch. */

import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { el, foreign } from './dom.js';
import { shown } from './words.js';

export interface Tools {
  markdownParser: IRenderMime.IMarkdownParser | null;
  sanitizer: IRenderMime.ISanitizer;
}

const LONG = 60_000; // characters that are read as Markdown
const REFUSED =
  'img, picture, video, audio, source, track, iframe, frame, object, embed, svg, math, link, meta, base, style, script, form, input, button, textarea, select, template';
const LINKS = /^(https?:|mailto:)/i;

/** The text as elements; as plain text where there is no parser, or it is too long. */
export async function markdown(text: string, tools: Tools | null): Promise<HTMLElement> {
  if (!tools?.markdownParser || text.length > LONG) {
    return plain(text);
  }
  // not `renderMarkdown`: its formulas make one of two prices
  const html = await tools.markdownParser.render(shown(text, LONG));
  const host = el('div', { class: 'om-markdown jp-RenderedHTMLCommon', dir: 'auto' });
  host.append(...clean(tools.sanitizer.sanitize(html)));
  return host;
}

export function plain(text: string): HTMLElement {
  return el('pre', { dir: 'auto' }, foreign(text));
}

/** Sanitized markup without what is fetched or styled: the address of a picture could carry away what a model read. */
export function clean(html: string): Node[] {
  const page = new DOMParser().parseFromString(html, 'text/html'); // inert: it fetches nothing
  for (const found of page.querySelectorAll(REFUSED)) {
    const alt = found.getAttribute('alt');
    found.replaceWith(page.createTextNode(alt ? `[picture: ${shown(alt, 80)}]` : ''));
  }
  for (const found of page.querySelectorAll('*')) {
    for (const { name } of [...found.attributes]) {
      if (!['href', 'title', 'colspan', 'rowspan', 'start', 'align', 'class', 'dir', 'lang'].includes(name)) {
        found.removeAttribute(name);
      }
    }
    const link = found.getAttribute('href');
    if (link !== null && !(found instanceof HTMLAnchorElement && LINKS.test(link))) {
      found.removeAttribute('href');
    } else if (link !== null) {
      found.setAttribute('target', '_blank');
      found.setAttribute('rel', 'noopener noreferrer nofollow');
      found.setAttribute('title', link); // where it really leads
    }
  }
  return [...page.body.childNodes];
}
