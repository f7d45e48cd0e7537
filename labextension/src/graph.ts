/** The drawing of a graph that Python made, copied element by element: nothing comes through that runs or is fetched. */

const SVG = 'http://www.w3.org/2000/svg';
const MOST = 2_000; // elements
const LONG = 100_000; // characters: a longer text is none of ours
const TAGS = new Set(['svg', 'g', 'path', 'rect', 'circle', 'ellipse', 'text', 'tspan', 'title']);
const KEPT = new Set([
  'viewBox', 'width', 'height', 'role', 'd', 'x', 'y', 'cx', 'cy', 'r', 'rx', 'ry', 'fill', 'fill-opacity', 'stroke', 'stroke-width',
  'stroke-dasharray', 'opacity', 'text-anchor', 'font-size', 'font-family', 'font-weight'
]); // prettier-ignore
const LEAST = 0.8; // of its size: a smaller one is scrolled, not shrunk

/** The picture; null where the text holds none. */
export function graph(source: string): SVGElement | null {
  if (source.length > LONG) {
    return null;
  }
  const root = new DOMParser().parseFromString(source, 'text/html').querySelector('svg');
  const rest = { left: MOST };
  const made = root && copy(root, rest);
  if (made) {
    const wide = Number(made.getAttribute('width')) || 0;
    made.setAttribute('style', `max-width:100%;min-width:${Math.round(LEAST * wide)}px;height:auto`);
  }
  return made;
}

function copy(from: Element, rest: { left: number }): SVGElement | null {
  rest.left -= 1;
  if (!TAGS.has(from.tagName.toLowerCase()) || rest.left < 0) {
    return null;
  }
  const made = document.createElementNS(SVG, from.tagName);
  for (const { name, value } of from.attributes) {
    if (KEPT.has(name) && !/url\s*\(/i.test(value)) {
      made.setAttribute(name, value);
    }
  }
  for (const child of from.childNodes) {
    const inner = child.nodeType === Node.TEXT_NODE ? (child.textContent ?? '') : copyOf(child, rest);
    made.append(...(inner ? [inner] : []));
  }
  return made;
}

function copyOf(child: Node, rest: { left: number }): SVGElement | null {
  return child instanceof Element ? copy(child, rest) : null;
}
