// The map of all c: where the pointer or the arrow keys are, the Julia set of that c is shown at once.

import { complex } from "../format.js";
import { julia, mandelbrot } from "./sketch.js";

const LEFT = -2.1;
const RIGHT = 0.7;
const STEP = 4; // pixels an arrow key moves the mark by
const PIXELS = 300; // across the map's own picture, whatever the screen

export class CMap {
  #canvas;
  #preview;
  #caption;
  #picture = document.createElement("canvas");
  #chosen = { c_re: 0, c_im: 0 };
  #mark = null; // the c that is looked at, if not the chosen one
  #palette = "";
  #frame = 0;
  #onpick;
  #unit = (RIGHT - LEFT) / PIXELS;

  /** `onpick({ c_re, c_im })`: the reader chose another. */
  constructor(canvas, preview, caption, onpick) {
    Object.assign(canvas, { width: PIXELS, height: Math.round(PIXELS * 0.86) });
    Object.assign(preview, { width: 150, height: 150 });
    Object.assign(this.#picture, { width: canvas.width, height: canvas.height });
    this.#canvas = canvas;
    this.#preview = preview;
    this.#caption = caption;
    this.#onpick = onpick;
    canvas.addEventListener("pointermove", (event) => this.#look(this.#at(event)));
    canvas.addEventListener("pointerleave", () => this.#look(null));
    canvas.addEventListener("blur", () => this.#look(null));
    canvas.addEventListener("click", (event) => this.#pick(this.#at(event)));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  /** What is shown on the stage. */
  show({ c_re, c_im, palette }) {
    // As long as the picture is dragged about nothing changes here, and drawing would take the time of a frame.
    if (palette === this.#palette && c_re === this.#chosen.c_re && c_im === this.#chosen.c_im) return;
    if (palette !== this.#palette) {
      this.#palette = palette;
      mandelbrot(this.#picture, { left: LEFT, top: this.#top, unit: this.#unit }, palette);
    }
    this.#chosen = { c_re, c_im };
    this.#plan();
  }

  get #top() {
    return (-this.#canvas.height / 2) * this.#unit;
  }

  #at({ offsetX, offsetY }) {
    const scale = this.#canvas.width / this.#canvas.clientWidth;
    const rounded = (x) => Number(x.toFixed(5));
    return { c_re: rounded(LEFT + offsetX * scale * this.#unit), c_im: rounded(this.#top + offsetY * scale * this.#unit) };
  }

  #look(c) {
    this.#mark = c;
    this.#plan();
  }

  #pick(c) {
    this.#chosen = c;
    this.#onpick(c);
    this.#plan();
  }

  #key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (way) {
      const step = (event.shiftKey ? 0.25 : STEP) * this.#unit;
      const { c_re, c_im } = this.#mark ?? this.#chosen;
      const moved = (x, by, least, most) => Number(Math.max(least, Math.min(most, x + by * step)).toFixed(5));
      this.#look({ c_re: moved(c_re, way[0], LEFT, RIGHT), c_im: moved(c_im, way[1], this.#top, -this.#top) });
    } else if (event.key === "Enter" && this.#mark) this.#pick(this.#mark);
    else if (event.key === "Escape") this.#look(null);
    else return;
    event.preventDefault();
  }

  #plan() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const context = this.#canvas.getContext("2d", { alpha: false });
    context.drawImage(this.#picture, 0, 0);
    this.#cross(context, this.#chosen, 6);
    if (this.#mark) this.#cross(context, this.#mark, 4);
    const c = this.#mark ?? this.#chosen;
    julia(this.#preview, c, this.#palette);
    const text = complex(c.c_re, c.c_im, 5);
    this.#caption.textContent = `c = ${text}`;
    this.#preview.setAttribute("aria-label", `Julia set for c = ${text}`);
    this.#canvas.setAttribute("aria-label", `Mandelbrot set, mark at c = ${text}`);
  }

  /** White with a dark rim, to be seen on any colour. */
  #cross(context, { c_re, c_im }, radius) {
    const [x, y] = [(c_re - LEFT) / this.#unit, (c_im - this.#top) / this.#unit];
    for (const [width, style] of [[4, "#000"], [2, "#fff"]]) {
      context.lineWidth = width;
      context.strokeStyle = style;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
