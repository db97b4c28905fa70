// What the gallery shows and in which order, apart from how it looks.
//
// The feed is a window on the list of all fractals. At the head of the list it follows: what is new
// comes in on top. Once the reader has scrolled away it holds still, so that nothing moves under
// their eyes: cards change in place, and what is new is only counted.

import * as api from "./api.js";

const PAGE = 30;
const MOST = 600; // cards on the page
const STRIP = 12; // waiting ones shown
const FEW = 4; // waiting ones that still stand among the pictures
const SPARE = 60; // waiting ones remembered, to fill the strip from

const FINISHED = ["done", "failed"];
const newestFirst = (a, b) => b.created_at.localeCompare(a.created_at) || b.uuid.localeCompare(a.uuid);
const isWaiting = (fractal) => fractal.status === "queued";
const isRunning = (fractal) => fractal.status === "running";
const isFinished = (fractal) => FINISHED.includes(fractal.status);

export class Feed {
  items = new Map();
  strip = []; // uuids of waiting ones, when there are more than a few
  grid = []; // uuids of the others
  atHead = true; // the window starts at the newest fractal
  hasOlder = false;
  fresh = 0; // finished while the window held still
  loaded = false;
  #following = true;
  #missed = false;
  #oldest = ""; // creation time where the window ends
  #watchers = new Set();

  get following() {
    return this.#following && this.atHead;
  }

  /** Returns whether something was missed meanwhile, so that a refresh is due. */
  follow(yes) {
    this.#following = yes;
    return yes && this.atHead && this.#missed;
  }

  /** Takes in events: uuid to fractal, or to null for a deleted one. */
  apply(changes) {
    for (const [uuid, fractal] of changes) {
      for (const overtaken of this.#watchers) overtaken.add(uuid);
      if (!fractal) this.items.delete(uuid);
      else if (this.items.has(uuid) || this.#belongs(fractal)) this.items.set(uuid, fractal);
    }
    this.#arrange();
  }

  /** Takes in what a request answered, unless an event has overtaken it. */
  async settle(request) {
    const [fractal] = await this.#unlessOvertaken(async () => [await request]);
    if (fractal) this.apply(new Map([[fractal.uuid, fractal]]));
  }

  /** Starts over at the given page of the list. */
  async open(page) {
    this.items.clear();
    this.#following = true;
    this.atHead = page === 1;
    await this.refresh(page);
  }

  /** Loads what the window shows anew. */
  async refresh(page = 1) {
    const following = this.following;
    const shown = this.grid.map((uuid) => this.items.get(uuid)).filter(Boolean).sort(newestFirst);
    const from = following ? undefined : shown[0]?.created_at;
    const size = Math.min(Math.max(this.items.size && shown.length, PAGE), 100);
    const pages = Math.ceil(Math.min(shown.length || 1, MOST) / size);
    const overtaken = new Set();
    this.#watchers.add(overtaken);
    try {
      const finished = (n) => api.list({ statuses: FINISHED, from, page: page + n, size });
      const answers = await Promise.all([
        ...Array.from({ length: pages }, (_, n) => finished(n)),
        ...(this.atHead
          ? [
              api.list({ statuses: ["running"], size: 100 }),
              api.list({ statuses: ["queued"], size: STRIP }),
            ]
          : []),
      ]);
      const end = answers[pages - 1];
      const oldest = answers.slice(0, pages).findLast((answer) => answer.objects.length)?.objects.at(-1).created_at ?? "";
      const found = new Map();
      for (const fractal of answers.flatMap((answer) => answer.objects)) found.set(fractal.uuid, fractal);
      // A window that holds still gains nothing, and keeps the tail that the answers did not reach.
      const still = !following && this.items.size > 0;
      for (const [uuid, { created_at }] of this.items) {
        if (found.has(uuid) || overtaken.has(uuid) || (still && created_at < oldest)) continue;
        this.items.delete(uuid);
      }
      for (const [uuid, fractal] of found) {
        if (overtaken.has(uuid) || (still && !this.items.has(uuid))) continue;
        this.items.set(uuid, fractal);
      }
      if (!still) {
        this.#oldest = oldest;
        this.hasOlder = end.page < end.total_pages;
        this.#missed = false;
        this.fresh = 0;
      }
      this.loaded = true;
    } finally {
      this.#watchers.delete(overtaken);
    }
    this.#arrange();
  }
}
