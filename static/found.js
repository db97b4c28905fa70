// What a search finds, as the gallery shows it: a window of pages on the farm's list. It has the
// face of a Feed, but nothing comes in by itself: what changes is looked for again.

import * as api from "./api.js";
import { search } from "./filters.js";

const PAGE = 60;
const PAGES = 10; // at a time

export class Found {
  items = new Map();
  strip = [];
  grid = [];
  loaded = false;
  fresh = 0;
  total = 0;
  following = false;
  #search;
  #pages = new Map(); // number to uuids
  #gone = new Set(); // what was deleted and may still be in an answer
  #moves = 0; // cards that may have left the search: later ones have moved up by as many
  #settled = 0; // how many of these the pages know of
  #all = 1;
  #turn = Promise.resolve();

  constructor(filters) {
    this.#search = search(filters);
  }

  get atHead() {
    return !this.#pages.size || this.#pages.has(1);
  }

  get hasOlder() {
    return this.#pages.size > 0 && !this.#pages.has(this.#all) && this.#all > 0;
  }

  scrolled() {
    return false;
  }

  refill() {}

  /** Changes cards in place; returns whether the search may now find something else. */
  apply(changes) {
    let other = false;
    for (const [uuid, fractal] of changes) {
      const known = this.items.get(uuid);
      other ||= known?.status !== fractal?.status;
      if (!known) continue;
      if (known.status !== fractal?.status) this.#moves++;
      if (fractal) this.items.set(uuid, fractal);
      else this.#forget(uuid);
    }
    return other;
  }

  progress(uuid, fraction) {
    const fractal = this.items.get(uuid);
    if (fractal?.status !== "running") return false;
    this.items.set(uuid, { ...fractal, progress: fraction });
    return true;
  }

  async settle(request) {
    const fractal = await request;
    this.apply(new Map([[fractal.uuid, fractal]]));
  }

  open() {
    return this.#inTurn(() => this.#load([1]));
  }

  refresh() {
    return this.#inTurn(() => this.#load([...this.#pages.keys()]));
  }

  more(newer) {
    return this.#inTurn(async () => {
      if (newer ? this.atHead : !this.hasOlder) return;
      const known = [...this.#pages.keys()].sort((a, b) => a - b);
      const next = newer ? known[0] - 1 : known.at(-1) + 1;
      const kept = newer ? [next, ...known].slice(0, PAGES) : [...known, next].slice(-PAGES);
      await this.#load(this.#moves === this.#settled ? [next] : kept, kept);
    });
  }

  async #load(numbers, kept = numbers) {
    const [before, moves] = [[...this.#gone], this.#moves];
    const answers = await Promise.all(numbers.map((page) => api.search({ ...this.#search, page, size: PAGE })));
    const total = answers.at(-1)?.num_results ?? 0;
    const whole = numbers.length === kept.length;
    // Something has come or gone of which nobody has told yet: the pages do not join.
    if (!whole && total !== this.total) return this.#load(kept);
    const pages = new Map(kept.map((page) => [page, this.#pages.get(page) ?? []]));
    const items = new Map(this.items);
    for (const uuid of before) this.#gone.delete(uuid);
    answers.forEach(({ objects }, n) => {
      // What was deleted since it was asked for may still be in the answer.
      const there = objects.filter(({ uuid }) => !this.#gone.has(uuid));
      pages.set(numbers[n], there.map(({ uuid }) => uuid));
      for (const fractal of there) items.set(fractal.uuid, fractal);
    });
    if (whole) this.#settled = moves;
    this.#pages = pages;
    this.#all = answers.at(-1)?.total_pages ?? 1;
    this.total = total;
    // What moved on to another page in between is shown once.
    this.grid = [...new Set([...pages.keys()].sort((a, b) => a - b).flatMap((page) => pages.get(page)))];
    this.items = new Map(this.grid.map((uuid) => [uuid, items.get(uuid)]));
    this.loaded = true;
    // So many were deleted that these pages are no more.
    if (!this.grid.length && this.total && !pages.has(this.#all)) await this.#load([this.#all]);
  }

  #forget(uuid) {
    this.#gone.add(uuid);
    this.items.delete(uuid);
    for (const [page, uuids] of this.#pages) this.#pages.set(page, uuids.filter((other) => other !== uuid));
    this.grid = this.grid.filter((other) => other !== uuid);
    this.total = Math.max(0, this.total - 1);
  }

  #inTurn(work) {
    this.#turn = this.#turn.catch(() => {}).then(work);
    return this.#turn;
  }
}
