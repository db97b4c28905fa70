// Who works for the farm, and what each renders now.

import { arrange, byId, make, say } from "../dom.js";
import { count, percent } from "../format.js";

const SHOWN = 200; // rows; the title counts them all
const RENDERS = 24; // of one worker

class Row {
  constructor() {
    this.name = make("strong");
    this.facts = make("span", { class: "facts-line" });
    this.renders = make("ul", { class: "renders", "aria-label": "renders now" });
    this.element = make("li", { class: "worker" }, make("div", {}, this.name, this.facts), this.renders);
    this.links = new Map();
  }

  show({ name, version, slots, done, rate, rendering }, progress) {
    say(this.name, name);
    say(this.facts, `${slots} ${slots === 1 ? "slot" : "slots"} · ${count(done)} done · ${rate.toFixed(rate < 10 ? 1 : 0)}/s · ${version}`);
    const now = rendering.slice(0, RENDERS);
    for (const uuid of this.links.keys()) if (!now.includes(uuid)) this.links.delete(uuid);
    for (const uuid of now) {
      if (this.links.has(uuid)) continue;
      const bar = make("progress", { max: 1, value: 0, "aria-label": "rendered", hidden: "" });
      const share = make("span");
      this.links.set(uuid, { bar, share, item: make("li", {}, make("a", { href: `/view/${uuid}` }, uuid.slice(0, 8)), bar, share) });
    }
    arrange(this.renders, now.map((uuid) => this.links.get(uuid).item));
    this.progress(progress);
  }

  progress(progress) {
    for (const [uuid, { bar, share }] of this.links) {
      const fraction = progress.get(uuid);
      bar.hidden = fraction === undefined;
      if (fraction !== undefined) bar.value = fraction;
      say(share, fraction === undefined ? "" : percent(fraction));
    }
  }
}

export class Workers {
  #rows = new Map();

  show({ num_results, objects }, progress) {
    const seen = objects.slice(0, SHOWN);
    const ids = new Set(seen.map(({ id }) => id));
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
    for (const worker of seen) {
      if (!this.#rows.has(worker.id)) this.#rows.set(worker.id, new Row());
      this.#rows.get(worker.id).show(worker, progress);
    }
    arrange(byId("workers"), seen.map(({ id }) => this.#rows.get(id).element));
    say(byId("workers-count"), num_results ? count(num_results) : "");
    byId("no-workers").hidden = num_results > 0;
  }

  progress(progress) {
    for (const row of this.#rows.values()) row.progress(progress);
  }
}
