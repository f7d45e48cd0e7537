/** Elements whose texts are texts: nothing here can make markup of what a model wrote. */

export type Child = Node | string | null | false | undefined;

/** `el('td', { class: 'om-x', title: '…' }, 'text')`. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children.filter((c): c is Node | string => c !== null && c !== false && c !== undefined && c !== ''));
  return made;
}

/** A button; `label` is what a screen reader says where the face is a sign. */
export function button(face: string, clicked: () => void, attributes: Record<string, string> = {}): HTMLButtonElement {
  const made = el('button', { type: 'button', ...attributes }, face);
  made.addEventListener('click', clicked);
  return made;
}

/** A text of somebody else, isolated: its direction changes nothing around it. */
export function foreign(text: string): HTMLElement {
  return el('bdi', {}, text);
}

/** The first `most` as elements, then how many more there are. */
export function several<T>(all: readonly T[], most: number, made: (one: T) => Child): Child[] {
  const more = all.length - most;
  const shown = all.slice(0, most).map(made);
  return more > 0 ? [...shown, el('div', { class: 'om-faint' }, `… ${more.toLocaleString('en-US')} more`)] : shown;
}

/** A small picture in the colour of the text around it. */
export function drawing(path: string): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  line.setAttribute('d', path);
  for (const [name, value] of Object.entries({ viewBox: '0 0 16 16', class: 'om-drawing', 'aria-hidden': 'true' })) {
    made.setAttribute(name, value);
  }
  made.append(line);
  return made;
}
