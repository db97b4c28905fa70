// Several fractals at once: picked in the gallery, then deleted, retried or fetched as one file.

import * as api from "./api.js";
import { confirmed } from "./confirm.js";
import { byId, make, notice, say } from "./dom.js";
import { count } from "./format.js";

const AT_ONCE = 4; // requests under way
const IN_A_ZIP = 1000; // as many as a search may name, and the farm puts into one

const many = (n) => `${count(n)} ${n === 1 ? "fractal" : "fractals"}`;

export class Selection {
  #picked = new Map(); // uuid to fractal as it was when picked
  #gallery;
  #last = null;
  #busy = false;
  #grid = byId("grid");

  /** `gallery` tells the fractals that it shows; `apply(changes)` hears what became of them. */
  constructor(gallery, apply) {
    this.#gallery = gallery;
    byId("pick-end").addEventListener("click", () => this.end());
    byId("pick-all").addEventListener("click", () => this.#pickAll());
    byId("pick-zip").addEventListener("click", () => this.#zip());
    byId("pick-delete").addEventListener("click", () => this.#delete(apply));
    byId("pick-retry").addEventListener("click", () => this.#retry(apply));
    this.#grid.addEventListener("click", (event) => this.#click(event));
    this.#grid.addEventListener("keydown", (event) => this.#key(event));
  }

  get on() {
    return this.#grid.classList.contains("selecting");
  }

  end() {
    if (!this.on) return;
    this.toggle();
    byId("select").focus({ preventScroll: true });
  }

  /** Once cards have come or gone. */
  refresh() {
    if (!this.on) return;
    for (const card of this.#grid.children) this.#mark(card, this.#picked.has(card.dataset.uuid));
    say(byId("picked-count"), this.#picked.size ? `${many(this.#picked.size)} selected` : "Select fractals");
    const all = [...this.#picked.values()];
    byId("pick-zip").disabled = this.#busy || !all.some(({ status }) => status === "done");
    byId("pick-retry").disabled = this.#busy || !all.some(({ status }) => status === "failed");
    byId("pick-delete").disabled = this.#busy || !all.length;
  }

  #mark(card, picked) {
    card.classList.toggle("is-picked", picked);
    const link = card.querySelector("a");
    if (picked) link.setAttribute("aria-description", "selected");
    else link.removeAttribute("aria-description");
  }

  /** Begins to select, or ends it. */
  toggle() {
    const on = this.#grid.classList.toggle("selecting");
    byId("select").setAttribute("aria-pressed", String(on));
    byId("picked").hidden = !on;
    document.body.classList.toggle("is-selecting", on);
    if (!on) for (const card of this.#grid.children) this.#mark(card, false);
    this.#picked.clear();
    this.#last = null;
    this.refresh();
  }

  #click(event) {
    const card = event.target.closest(".card");
    if (!this.on || !card || event.target.closest("button")) return;
    event.preventDefault();
    event.stopPropagation(); // it is no way to another page now
    if (event.shiftKey && this.#last) this.#pickTo(card.dataset.uuid);
    else this.#turn(card.dataset.uuid);
  }

  #key(event) {
    if (event.key === "Escape" && this.on) this.end();
    // A link takes Enter by itself, which comes as a click.
    if (event.key !== " " || !this.on || !event.target.matches(".card a")) return;
    event.preventDefault();
    this.#turn(event.target.closest(".card").dataset.uuid);
  }

  #turn(uuid) {
    if (!this.#picked.delete(uuid)) this.#pick(uuid);
    this.#last = uuid;
    this.refresh();
  }

  #pick(uuid) {
    const fractal = this.#gallery.feed.items.get(uuid);
    if (fractal) this.#picked.set(uuid, fractal);
  }

  #pickTo(uuid) {
    const { grid } = this.#gallery.feed;
    const [a, b] = [grid.indexOf(this.#last), grid.indexOf(uuid)].sort((x, y) => x - y);
    if (a >= 0) for (const between of grid.slice(a, b + 1)) this.#pick(between);
    this.refresh();
  }

  #pickAll() {
    for (const uuid of this.#gallery.feed.grid) this.#pick(uuid);
    this.refresh();
  }

  #zip() {
    const uuids = [...this.#picked.values()].filter(({ status }) => status === "done").map(({ uuid }) => uuid);
    if (uuids.length > IN_A_ZIP) return notice(`One zip holds ${count(IN_A_ZIP)} pictures: select fewer.`);
    const q = JSON.stringify({ filters: [{ name: "uuid", op: "in", val: uuids }] });
    make("a", { href: `/v1/images.zip?${new URLSearchParams({ q })}`, download: "fractals.zip" }).click();
  }

  async #delete(apply) {
    const uuids = [...this.#picked.keys()];
    if (!(await confirmed(`Delete ${many(uuids.length)} with their pictures? This cannot be undone.`))) return;
    await this.#each(uuids, "deleted", async (uuid) => {
      await api.remove(uuid).catch((error) => {
        if (error.status !== 404) throw error;
      });
      this.#picked.delete(uuid);
      apply(new Map([[uuid, null]]));
    });
  }

  async #retry(apply) {
    const uuids = [...this.#picked.values()].filter(({ status }) => status === "failed").map(({ uuid }) => uuid);
    await this.#each(uuids, "will be tried again", async (uuid) => {
      const fractal = await api.retry(uuid);
      this.#picked.delete(uuid);
      apply(new Map([[uuid, fractal]]));
    });
  }

  /** Does it for each, a few at a time, until one fails, and says for how many, and why no more. */
  async #each(uuids, what, work) {
    let done = 0;
    let failure = "";
    const rest = [...uuids];
    const one = async () => {
      try {
        await work(rest.shift());
        done++;
      } catch (error) {
        rest.length = 0;
        failure ||= error.message;
      }
    };
    const lane = async () => {
      while (rest.length) await one();
    };
    this.#busy = true;
    this.refresh();
    // The first alone: a farm that asks for a token asks once.
    if (rest.length) await one();
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    this.#busy = false;
    this.refresh();
    notice([failure, (done || !failure) && `${many(done)} ${what}.`].filter(Boolean).join(" "));
  }
}
