// One line of text for what has just happened, gone by itself.

import { byId } from "./dom.js";

const SHOWN_MS = 6_000;
let timer = 0;

export function notice(text) {
  const element = byId("notice");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (element.hidden = true), SHOWN_MS);
}
