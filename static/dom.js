// The few helpers with the document that every part of the page needs.

export const byId = (id) => document.getElementById(id);

/** Makes an element. Children may be text: it is never read as markup. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Changes a text only if it differs, which spares the layout and those who listen to the page. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const NOTICE_MS = 6_000;
let noticed = 0;

/** One line of text for what has just happened, gone by itself. */
export function notice(text) {
  const element = byId("notice");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(noticed);
  noticed = setTimeout(() => (element.hidden = true), NOTICE_MS);
}

/** Puts exactly these children in this order, moving as few as it can. */
export function arrange(parent, children) {
  const focused = document.activeElement;
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  // A moved element loses the focus, which would throw a keyboard user back to the start.
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}
