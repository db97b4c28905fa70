// The gallery: shows the feed as cards, and moves it along as the reader scrolls.

import { Card } from "./card.js";
import { arrange, byId, notice, say } from "./dom.js";
import { Feed } from "./feed.js";
import * as filters from "./filters.js";
import { count } from "./format.js";

const AGAIN_MS = 2_000; // least time between two loads that nobody asked for
const CONNECT_MS = 700; // how long the first load waits for the event stream

export class Gallery {
  feed = new Feed();
  #live = this.feed; // the feed without filters
  #filters = "";
  #onrender;
  #cards = new Map();
  #counts = null;
  #page = 0; // 0: not opened yet
  #connected = false;
  #refreshed = -Infinity;
  #refreshTimer = 0;
  #refillTimer = 0;
  #scroll = 0;
  #section = byId("gallery");

  // Both watchers may have several things to report at once, of which only the last still holds.
  // A screen and a bit ahead, so that the next page is there before the reader is.
  #end = new IntersectionObserver((entries) => entries.at(-1).isIntersecting && this.#more(false), {
    rootMargin: "0px 0px 800px 0px",
  });
  // The margin lets the reader look at the whole first row and still follow.
  #top = new IntersectionObserver((entries) => this.#scrolled(!entries.at(-1).isIntersecting), {
    rootMargin: "200px 0px 0px 0px",
  });

  /** `onrender()`: cards may have come or gone. */
  constructor(onrender) {
    this.#onrender = onrender;
    byId("older").addEventListener("click", () => this.#more(false));
    byId("newer").addEventListener("click", () => this.#more(true));
    this.#top.observe(byId("top"));
  }

  get visible() {
    return !this.#section.hidden;
  }

  /** Of the cards in the grid, in their order. */
  get links() {
    return this.feed.grid.map((uuid) => this.#cards.get(uuid)?.link);
  }

  /**
   * Shows the gallery from a page of the list on, or what filters leave of it: as it was left, unless it is to start over.
   * `Found` is only needed with filters.
   */
  show(page, chosen, anew, Found) {
    const wanted = filters.format(chosen);
    const known = this.#page === page && this.#filters === wanted && !anew;
    if (this.#filters !== wanted) {
      this.#filters = wanted;
      this.feed = wanted ? new Found(chosen) : this.#live;
    }
    const hidden = !this.visible;
    this.#section.hidden = false;
    if (known && hidden) window.scrollTo(0, this.#scroll);
    if (known) return;
    window.scrollTo(0, 0);
    this.#page = page;
    // A list asked for once events flow has no gap before the first event, so that is waited for.
    if (this.#connected) this.#open();
    else setTimeout(() => this.feed.loaded || this.#open(), CONNECT_MS);
  }

  hide() {
    if (!this.visible) return;
    this.#scroll = window.scrollY;
    this.#section.hidden = true;
  }

  focus(uuid) {
    this.#cards.get(uuid)?.link.focus({ preventScroll: true });
  }

  /** Events may have been missed: loads again, soon but not all the time. */
  stale() {
    this.#connected = true;
    if (!this.#page) return;
    clearTimeout(this.#refreshTimer);
    const wait = Math.max(0, this.#refreshed + AGAIN_MS - performance.now());
    this.#refreshTimer = setTimeout(() => {
      this.#refreshed = performance.now();
      if (this.feed.loaded) this.#load(this.feed.refresh());
      else this.#open();
    }, wait);
  }

  apply(changes) {
    if (!this.#page) return; // what there is will be asked for once somebody looks
    const other = this.feed.apply(changes);
    // What a search finds now the farm knows; who has scrolled down is not disturbed.
    if (other && window.scrollY < window.innerHeight) this.stale();
    this.render();
  }

  /** Moves the bars alone: no card changes place for it. */
  progress(fractions) {
    for (const [uuid, fraction] of fractions) {
      if (this.feed.progress(uuid, fraction)) this.#cards.get(uuid)?.show(this.feed.items.get(uuid));
    }
  }

  async settle(request) {
    await this.feed.settle(request);
    this.render();
  }

  set counts(counts) {
    this.#counts = counts;
    this.render();
    // Counts and changes come by different events, so only a lasting difference means anything.
    this.#refillTimer ||= setTimeout(() => {
      this.#refillTimer = 0;
      const refill = this.feed.refill(this.#counts.queued);
      if (refill) this.#load(refill);
    }, AGAIN_MS);
  }

  render() {
    const { feed } = this;
    const anchor = this.#anchor();
    arrange(byId("waiting"), this.#elements(feed.strip));
    arrange(byId("grid"), this.#elements(feed.grid));
    for (const uuid of this.#cards.keys()) if (!feed.items.has(uuid)) this.#cards.delete(uuid);

    const unseen = (this.#counts?.queued ?? 0) - feed.strip.length;
    byId("waiting").hidden = !feed.strip.length;
    byId("more-waiting").hidden = !feed.strip.length || unseen <= 0;
    say(byId("more-waiting"), `and ${count(unseen)} more ${unseen === 1 ? "is" : "are"} waiting`);

    const nothing = feed.loaded && !feed.strip.length && !feed.grid.length;
    byId("none-found").hidden = !nothing || !this.#filters;
    byId("empty").hidden = !nothing || !feed.atHead || this.#filters !== "";
    byId("no-page").hidden = !nothing || feed.atHead || this.#filters !== "";
    byId("older").hidden = !feed.hasOlder;
    byId("newer").hidden = feed.atHead || nothing;
    byId("fresh").hidden = feed.following || nothing || (feed.atHead && !feed.fresh);
    say(byId("fresh"), feed.fresh ? `↑ ${count(feed.fresh)} new` : "↑ Newest");
    anchor?.();
    this.#onrender();
  }

  #elements(uuids) {
    return uuids.map((uuid) => {
      if (!this.#cards.has(uuid)) this.#cards.set(uuid, new Card(uuid));
      const card = this.#cards.get(uuid);
      card.show(this.feed.items.get(uuid));
      return card.element;
    });
  }

  /** Returns what keeps the first card in sight where it is, once something above has changed. */
  #anchor() {
    if (!this.visible || window.scrollY === 0 || this.feed.following) return null;
    const card = [...byId("grid").children].find((child) => child.getBoundingClientRect().bottom > 0);
    if (!card) return null;
    const before = card.getBoundingClientRect().top;
    return () => card.isConnected && window.scrollBy({ top: card.getBoundingClientRect().top - before, behavior: "instant" });
  }

  #open() {
    this.#refreshed = performance.now();
    return this.#load(this.feed.open(this.#page));
  }

  async #more(newer) {
    await this.#load(this.feed.more(newer));
    if (newer && this.feed.following) await this.#load(this.feed.refresh());
  }

  #scrolled(away) {
    if (this.feed.scrolled(away)) this.#load(this.feed.refresh());
    else if (this.feed.loaded) this.apply([]);
  }

  async #load(work) {
    const grid = byId("grid");
    grid.setAttribute("aria-busy", "true");
    this.#end.disconnect();
    try {
      await work;
      // Observed anew, because an end that has stayed in sight would not report again. Not after an
      // error, which would come again at once: then there is the button.
      this.#end.observe(byId("older"));
    } catch (error) {
      notice(error.message);
    }
    grid.setAttribute("aria-busy", "false");
    this.render();
  }
}
