// The form above the gallery that narrows it down.

import { byId, say } from "./dom.js";
import { count } from "./filters.js";

const WRITING_MS = 250;

export class FilterBox {
  #form = byId("filters");
  #timer = 0;

  /** `onfilters(filters)`: the reader wants these. */
  constructor(onfilters) {
    const tell = () => {
      const given = [...new FormData(this.#form)].map(([name, value]) => [name, value.trim()]);
      onfilters(Object.fromEntries(given.filter(([, value]) => value)));
    };
    this.#form.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(tell, WRITING_MS);
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      tell();
    });
    this.#form.addEventListener("reset", () => setTimeout(() => onfilters({})));
    byId("filter-clear-empty").addEventListener("click", () => {
      onfilters({});
      byId("filter-box").firstElementChild.focus({ preventScroll: true });
    });
  }

  /** Shows which ones hold. */
  show(filters) {
    const before = document.activeElement;
    for (const field of this.#form.elements) {
      // Not under the hands of who is writing there.
      if (field.name && field !== before) field.value = filters[field.name] ?? "";
    }
    const active = count(filters);
    say(byId("filter-count"), active ? ` (${active})` : "");
    if (active) byId("filter-box").open = true;
  }
}
