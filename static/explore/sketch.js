// Small pictures that are drawn here, without asking the farm: the map of c, and what a c looks like.

import { colouring } from "./colours.js";

/** Continuous escape count of z² + c from z, or Infinity. */
function escape(r, q, re, im, most) {
  for (let n = 0; n < most; n++) {
    const [rr, qq] = [r * r, q * q];
    if (rr + qq > 64) return n + 1 - Math.log2(Math.log2(rr + qq) / 2);
    q = 2 * r * q + im;
    r = rr - qq + re;
  }
  return Infinity;
}

/** Paints a canvas of its own size: `count(x, y)` is the escape count at a pixel. */
function paint(canvas, palette, count) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d", { alpha: false });
  const image = context.createImageData(width, height);
  const colour = colouring(palette);
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const [red, green, blue] = colour(count(x, y));
      image.data[at] = red;
      image.data[at + 1] = green;
      image.data[at + 2] = blue;
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

/** The Mandelbrot set, from `left` and `top` on, a pixel `unit` long. */
export function mandelbrot(canvas, { left, top, unit }, palette) {
  paint(canvas, palette, (x, y) => {
    const [re, im] = [left + (x + 0.5) * unit, top + (y + 0.5) * unit];
    return escape(0, 0, re, im, 160);
  });
}

/** The Julia set of c: all of it, or what lies around a point. */
export function julia(canvas, { c_re, c_im, re = 0, im = 0, span = 3.2 }, palette) {
  const { width, height } = canvas;
  const unit = span / Math.min(width, height);
  paint(canvas, palette, (x, y) => escape(re + (x + 0.5 - width / 2) * unit, im + (y + 0.5 - height / 2) * unit, c_re, c_im, 120));
}
