// Which fractals the gallery knows and shows, apart from how they look.
//
// The feed is a window on the list of all fractals. At the head of the list it follows: what is new
// comes in on top. Once the reader has scrolled away it holds still, so that nothing moves under
// their eyes: cards change in place, and what is new is only counted.

import * as api from "./api.js";
import * as order from "./order.js";

const PAGE = 30;
const MOST = 600; // cards on the page
const SPARE = 60; // waiting ones remembered, to fill the strip from
const FINISHED = ["done", "failed"];
const isFinished = ({ status }) => FINISHED.includes(status);

export class Feed {
  items = new Map(); // uuid to fractal
  strip = []; // uuids of waiting ones, when there are more than a few
  grid = []; // uuids of all the others, in the order shown
  atHead = true; // the window begins with the newest fractal
  hasOlder = false;
  fresh = 0; // pictures finished while the window held still
  loaded = false;
  #scrolled = false;
  #missed = false;
  #last = null; // the oldest finished one
  #watchers = new Set();
  #turn = Promise.resolve();

  get following() {
    return this.atHead && !this.#scrolled;
  }

  /** Tells whether the reader is away from the top; returns whether a refresh is due. */
  scrolled(away) {
    this.#scrolled = away;
    return this.following && this.#missed;
  }

  /** Takes in events: uuid to fractal, or to null for a deleted one. */
  apply(changes) {
    for (const [uuid, fractal] of changes) {
      for (const overtaken of this.#watchers) overtaken.set(uuid, fractal);
      if (!fractal) this.items.delete(uuid);
      else if (this.items.has(uuid) || this.#admits(fractal)) this.items.set(uuid, fractal);
      else if (fractal.status === "done" && !this.following) this.fresh++;
    }
    this.#arrange();
  }

  /** Takes in which share of a picture is rendered; returns whether it is one of the window's. */
  progress(uuid, fraction) {
    const fractal = this.items.get(uuid);
    if (fractal?.status !== "running") return false;
    this.items.set(uuid, { ...fractal, progress: fraction });
    return true;
  }

  /** Takes in what a request answered, unless an event has overtaken it. */
  async settle(request) {
    await this.#watching(async (overtaken) => {
      const fractal = await request;
      if (!overtaken.has(fractal.uuid)) this.apply(new Map([[fractal.uuid, fractal]]));
    });
  }

  /** Starts over at a page of the list. */
  open(page) {
    return this.#inTurn(async (overtaken) => {
      const [answer, active] = await Promise.all([this.#finished({ page }), page === 1 ? this.#active() : []]);
      this.atHead = page === 1;
      this.#scrolled = false;
      this.hasOlder = page < answer.total_pages;
      this.#replace([...answer.objects, ...active], overtaken);
      this.loaded = true;
    });
  }

  /** Loads again what the window shows; it gains nothing new unless it follows. */
  refresh() {
    return this.#inTurn(async (overtaken) => {
      const { following } = this;
      const shown = this.grid.map((uuid) => this.items.get(uuid)).sort(order.newestFirst);
      const size = Math.min(Math.max(shown.length, PAGE), 100);
      const from = following ? undefined : shown[0]?.created_at;
      // At the top one page is enough; the rest comes back when it is scrolled to.
      const last = following ? 1 : Math.ceil(Math.max(shown.length, 1) / size);
      const pages = Array.from({ length: last }, (_, n) => n + 1);
      const [active, ...answers] = await Promise.all([
        this.atHead ? this.#active() : [],
        ...pages.map((page) => this.#finished({ from, page, size })),
      ]);
      const finished = answers.flatMap((answer) => answer.objects);
      const found = [...finished, ...active];
      if (following) {
        this.hasOlder = last < answers.at(-1).total_pages;
        this.#replace(found, overtaken);
      } else {
        // The tail that the answers did not reach stays as it is.
        const beyond = finished.length
          ? shown.filter((fractal) => order.newestFirst(finished.at(-1), fractal) < 0)
          : [];
        this.#replace([...found.filter(({ uuid }) => this.items.has(uuid)), ...beyond], overtaken);
        this.#missed = true;
      }
    });
  }

  /** Moves the window on by a page, to older or newer ones; beyond MOST the other end is let go. */
  more(newer) {
    return this.#inTurn(async (overtaken) => {
      const shown = this.#sorted().filter(isFinished);
      const from = (newer ? shown[0] : shown.at(-1))?.created_at;
      let answer;
      let found = [];
      // More than a page of them may share one creation time.
      for (let page = 1; page === 1 || (!found.length && page <= answer.total_pages); page++) {
        answer = await this.#finished({ from, page, size: PAGE + 1, ascending: newer }); // one is known
        found = answer.objects.filter(({ uuid }) => !this.items.has(uuid) && !overtaken.has(uuid));
      }
      for (const fractal of found) this.items.set(fractal.uuid, fractal);
      const goesOn = answer.page < answer.total_pages;
      if (newer) this.atHead = !goesOn;
      else this.hasOlder = goesOn;
      const sorted = this.#sorted();
      const excess = Math.max(0, sorted.length - MOST);
      for (const { uuid } of newer ? sorted.slice(MOST) : sorted.slice(0, excess)) this.items.delete(uuid);
      if (excess && newer) this.hasOlder = true;
      else if (excess) this.atHead = false;
      this.#missed = true;
    });
  }

  /** Fetches waiting ones again where fewer are known than the farm has. */
  refill(queued) {
    const known = this.#sorted().filter(({ status }) => status === "queued").length;
    if (this.following && this.loaded && known < Math.min(queued, order.STRIP)) return this.refresh();
  }

  #finished(query) {
    return api.list({ statuses: FINISHED, size: PAGE, ...query });
  }

  async #active() {
    const answers = await Promise.all([
      api.list({ statuses: ["running"], size: 100 }),
      api.list({ statuses: ["queued"], size: order.STRIP }),
    ]);
    return answers.flatMap((answer) => answer.objects);
  }

  #admits(fractal) {
    if (!this.following) this.#missed = true;
    return this.following && this.#within(fractal);
  }

  /** An older one belongs to a page that has not been loaded. */
  #within(fractal) {
    return !isFinished(fractal) || !this.hasOlder || !this.#last || order.newestFirst(fractal, this.#last) < 0;
  }

  #replace(fractals, overtaken) {
    this.#last = fractals.filter(isFinished).sort(order.newestFirst).at(-1);
    // What events said is newer, and who follows wants it even if it was not let in when it came.
    const kept = [...overtaken.values()]
      .filter((fractal) => fractal && (this.following || this.items.has(fractal.uuid)))
      .map((fractal) => this.items.get(fractal.uuid) ?? fractal)
      .filter((fractal) => this.#within(fractal));
    const found = fractals.filter(({ uuid }) => !overtaken.has(uuid));
    this.items = new Map([...found, ...kept].map((fractal) => [fractal.uuid, fractal]));
    if (!this.following) return;
    this.#missed = false;
    this.fresh = 0;
  }

  #sorted() {
    return [...this.items.values()].sort(order.newestFirst);
  }

  #arrange() {
    if (this.following) {
      const sorted = this.#sorted();
      const excess = sorted.filter(isFinished).slice(MOST);
      if (excess.length) this.hasOlder = true;
      const spare = sorted.filter(({ status }) => status === "queued").slice(SPARE);
      for (const { uuid } of [...excess, ...spare]) this.items.delete(uuid);
      this.#last = sorted.filter(isFinished).slice(0, MOST).at(-1);
      Object.assign(this, order.following(this.items.values(), this));
    } else {
      Object.assign(this, this.atHead ? order.still(this.items, this) : order.apart(this.items));
    }
  }

  async #watching(work) {
    const overtaken = new Map(); // uuid to what an event said meanwhile
    this.#watchers.add(overtaken);
    try {
      await work(overtaken);
    } finally {
      this.#watchers.delete(overtaken);
    }
    this.#arrange();
  }

  /** One request at a time: each starts from the window the one before has left. */
  #inTurn(work) {
    this.#turn = this.#turn.catch(() => {}).then(() => this.#watching(work));
    return this.#turn;
  }
}
