// The path in small, drawn here: it goes on and on, or shows its middle to those who want nothing to move.

import { julia } from "../explore/sketch.js";
import { view } from "./path.js";

const SIDE = 150; // pixels of the shorter side: a frame of it takes a few milliseconds
const LONGEST = 2; // times as long as it is high, or the other way round, at most

const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Preview {
  #canvas;
  #path = null;
  #begun = 0;
  #frame = 0;
  #drawn = -1;

  constructor(canvas) {
    this.#canvas = canvas;
    calm.addEventListener("change", () => this.#plan());
    document.addEventListener("visibilitychange", () => this.#plan());
  }

  /** `null`: there is nothing that could be shown. */
  show(path) {
    this.#path = path;
    this.#drawn = -1;
    if (!path) return;
    const ratio = Math.max(1 / LONGEST, Math.min(LONGEST, path.width / path.height));
    const [width, height] = [Math.round(SIDE * Math.max(1, ratio)), Math.round(SIDE * Math.max(1, 1 / ratio))];
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    this.#begun ||= performance.now();
    this.#plan();
  }

  #plan() {
    if (this.#path && !document.hidden) this.#frame ||= requestAnimationFrame((now) => this.#draw(now));
  }

  #draw(now) {
    this.#frame = 0;
    const path = this.#path;
    if (!path) return;
    const seconds = (now - this.#begun) / 1000;
    const number = calm.matches ? Math.floor(path.frames / 2) : Math.floor(Math.max(0, seconds) * path.fps) % path.frames;
    if (number !== this.#drawn) julia(this.#canvas, view(path, number), path.palette);
    this.#drawn = number;
    this.#canvas.dataset.frame = number;
    if (!calm.matches) this.#plan();
  }
}
