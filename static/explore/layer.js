// The tiles of one Julia set: which are here, which are being fetched, and which are wanted next.

const AT_ONCE = 6; // a browser opens no more connections to one host
const MOST = 220; // tiles kept, a quarter of a megabyte each
const CROWDED_MS = 250;
const UNREACHABLE_MS = 2_000;

export class Layer {
  #tiles = new Map(); // "z/x/y" to { z, x, y, bitmap }, those drawn last at the end
  #loading = new Map(); // to what aborts it
  #wanted = [];
  #query;
  #ontile;
  #ontrouble;
  #timer = 0;
  #closed = false;

  /** `ontile()`: another tile is here; `ontrouble(text)`: tiles do not come, and why; null: they do. */
  constructor({ c_re, c_im, iterations, palette }, { ontile, ontrouble }) {
    this.#query = new URLSearchParams({ c_re, c_im, iterations, palette });
    this.#ontile = ontile;
    this.#ontrouble = ontrouble;
  }

  get tiles() {
    return this.#tiles.values();
  }

  has(key) {
    return this.#tiles.has(key);
  }

  /** Whether all that is wanted is here. */
  get complete() {
    return this.#wanted.every((key) => this.#tiles.has(key));
  }

  /** These tiles and no others are to be here, the first ones soonest. What is on its way and no longer wanted is given up. */
  want(keys) {
    this.#wanted = keys;
    const wanted = new Set(keys);
    for (const [key, abort] of this.#loading) if (!wanted.has(key)) abort.abort();
    for (const key of keys) {
      const tile = this.#tiles.get(key);
      if (tile) this.#tiles.delete(key), this.#tiles.set(key, tile); // used last
    }
    this.#pump();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const abort of this.#loading.values()) abort.abort();
    for (const { bitmap } of this.#tiles.values()) bitmap.close();
    this.#tiles.clear();
  }

  #pump() {
    if (this.#closed || this.#timer) return;
    for (const key of this.#wanted) {
      if (this.#loading.size >= AT_ONCE) return;
      if (!this.#tiles.has(key) && !this.#loading.has(key)) this.#load(key);
    }
  }

  async #load(key) {
    const abort = new AbortController();
    this.#loading.set(key, abort);
    let pause = 0;
    try {
      const response = await fetch(`/v1/tiles/${key}.png?${this.#query}`, { signal: abort.signal });
      if (response.status === 429 || response.status === 503) pause = CROWDED_MS;
      else if (!response.ok) throw new Error((await response.json()).message);
      else {
        const bitmap = await createImageBitmap(await response.blob());
        if (this.#closed) return bitmap.close();
        const [z, x, y] = key.split("/").map(Number);
        this.#tiles.set(key, { z, x, y, bitmap });
        this.#tidy();
        this.#ontrouble(null);
        this.#ontile();
      }
    } catch (error) {
      if (!abort.signal.aborted) {
        pause = UNREACHABLE_MS;
        this.#ontrouble(error instanceof TypeError ? "The farm cannot be reached." : error.message);
      }
    } finally {
      this.#loading.delete(key);
    }
    if (pause && !this.#timer && !this.#closed) {
      this.#timer = setTimeout(() => {
        this.#timer = 0;
        this.#pump();
      }, pause);
    }
    this.#pump();
  }

  #tidy() {
    const wanted = new Set(this.#wanted);
    for (const [key, { bitmap }] of this.#tiles) {
      if (this.#tiles.size <= MOST) return;
      if (wanted.has(key)) continue;
      bitmap.close();
      this.#tiles.delete(key);
    }
  }
}
