// The canvas: draws the tiles that are here, asks for those that should be, one frame at a time.

import { Layer } from "./layer.js";
import { EDGE, TILE, isDeepest, levelFor, side, within } from "./view.js";

const RATIO = 2; // finer screens than this get tiles of half their pixels

const keyOf = ({ c_re, c_im, iterations, palette }) => [c_re, c_im, iterations, palette].join();

export class Stage {
  #canvas;
  #context;
  #view;
  #key = "";
  #layers = []; // the Julia set that is wanted last, and under it the one before until the new one is here
  #drawn = 0;
  #width = 1;
  #height = 1;
  #ratio = 1;
  #handlers;

  /** `onview(view)` hears of each change; `onstill(view)` when a view is complete; `ontrouble` as of Layer. */
  constructor(canvas, view, { onview, onstill, ontrouble }) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#view = view;
    this.#handlers = { onview, onstill, ontrouble };
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#resize();
  }

  get view() {
    return this.#view;
  }

  /** Of the canvas, in pixels of CSS. */
  get size() {
    return [this.#width, this.#height];
  }

  /** Length of a pixel of CSS in the plane. */
  get unit() {
    return this.#view.span / Math.min(this.#width, this.#height);
  }

  get deepest() {
    return isDeepest(this.#view, Math.min(this.#width, this.#height));
  }

  /** Shows another view, or the same with some changes. */
  show(changes) {
    this.#view = within({ ...this.#view, ...changes }, Math.min(this.#width, this.#height));
    this.#handlers.onview(this.#view);
    this.#plan();
  }

  /** Moves the picture by so many pixels. */
  pan(dx, dy) {
    this.show({ re: this.#view.re - dx * this.unit, im: this.#view.im - dy * this.unit });
  }

  /** Makes everything `factor` times as large; the point at (x, y), else the middle, stays where it is. */
  zoom(factor, x = this.#width / 2, y = this.#height / 2) {
    const { re, im, span } = this.#view;
    const [dx, dy] = [x - this.#width / 2, y - this.#height / 2];
    const before = this.unit;
    const after = within({ re, im, span: span / factor }, Math.min(this.#width, this.#height)).span / Math.min(this.#width, this.#height);
    this.show({ re: re + dx * (before - after), im: im + dy * (before - after), span: span * (after / before) });
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth || !clientHeight) return;
    this.#ratio = Math.min(RATIO, window.devicePixelRatio || 1);
    if (this.#width === clientWidth && this.#height === clientHeight && this.#canvas.width === Math.round(clientWidth * this.#ratio)) return;
    [this.#width, this.#height] = [clientWidth, clientHeight];
    this.#canvas.width = Math.round(clientWidth * this.#ratio);
    this.#canvas.height = Math.round(clientHeight * this.#ratio);
    this.#frame(); // at once: a canvas that changes its size is empty
  }

  #plan() {
    this.#drawn ||= requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    cancelAnimationFrame(this.#drawn);
    this.#drawn = 0;
    this.#ask();
    this.#draw();
  }

  /** Has the layer fetch what the view needs, from the middle outwards. */
  #ask() {
    if (this.#key !== keyOf(this.#view)) {
      this.#key = keyOf(this.#view);
      // While c is dragged about, the last one that has anything to show stays underneath.
      const under = this.#layers.find((layer) => layer.tiles.next().value);
      for (const layer of this.#layers) if (layer !== under) layer.close();
      under?.want([]);
      const layer = new Layer(this.#view, { ontile: () => this.#plan(), ontrouble: this.#handlers.ontrouble });
      this.#layers = under ? [layer, under] : [layer];
    }
    const { re, im } = this.#view;
    const level = levelFor(this.unit / this.#ratio);
    const size = side(level);
    const last = 2 ** level - 1;
    const [halfX, halfY] = [(this.#width / 2) * this.unit, (this.#height / 2) * this.unit];
    const index = (at) => Math.max(0, Math.min(last, Math.floor((at + EDGE) / size)));
    const keys = [];
    for (let y = index(im - halfY); y <= index(im + halfY); y++) {
      for (let x = index(re - halfX); x <= index(re + halfX); x++) {
        const away = Math.hypot((x + 0.5) * size - EDGE - re, (y + 0.5) * size - EDGE - im);
        keys.push([away, `${level}/${x}/${y}`]);
      }
    }
    keys.sort(([a], [b]) => a - b);
    this.#layers[0].want(keys.map(([, key]) => key));
  }

  #draw() {
    const context = this.#context;
    const [layer, under] = this.#layers;
    const complete = layer.complete;
    if (complete && under) {
      under.close();
      this.#layers = [layer];
    }
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    const level = levelFor(this.unit / this.#ratio);
    for (const each of [...this.#layers].reverse()) {
      const tiles = [...each.tiles].filter((tile) => !complete || tile.z === level);
      // Coarse below fine, and what fits exactly on top.
      tiles.sort((a, b) => (a.z === level) - (b.z === level) || a.z - b.z);
      for (const tile of tiles) this.#tile(tile);
    }
    if (complete) this.#handlers.onstill(this.#view);
  }

  #tile({ z, x, y, bitmap }) {
    const size = side(z);
    const scale = this.#ratio / this.unit;
    const { re, im } = this.#view;
    // Whole pixels: tiles that touch leave no seam.
    const across = (n) => Math.round((n * size - EDGE - re) * scale + this.#canvas.width / 2);
    const down = (n) => Math.round((n * size - EDGE - im) * scale + this.#canvas.height / 2);
    const [left, right, top, bottom] = [across(x), across(x + 1), down(y), down(y + 1)];
    if (right <= 0 || bottom <= 0 || left >= this.#canvas.width || top >= this.#canvas.height) return;
    // A coarse tile seen from near: only the part in sight, as browsers do not draw what is a million pixels wide.
    if (right - left > 4 * TILE || bottom - top > 4 * TILE) return this.#part(bitmap, left, right, top, bottom);
    this.#context.drawImage(bitmap, left, top, right - left, bottom - top);
  }

  #part(bitmap, left, right, top, bottom) {
    const [width, height] = [this.#canvas.width, this.#canvas.height];
    const [x, y] = [TILE / (right - left), TILE / (bottom - top)];
    const [from, to] = [Math.max(0, Math.floor(-left * x)), Math.min(TILE, Math.ceil((width - left) * x))];
    const [above, below] = [Math.max(0, Math.floor(-top * y)), Math.min(TILE, Math.ceil((height - top) * y))];
    this.#context.drawImage(bitmap, from, above, to - from, below - above, left + from / x, top + above / y, (to - from) / x, (below - above) / y);
  }
}
