// What part of which Julia set is shown, and how that is written in an address. Pure functions.

/** Levels of the farm's grid of tiles; the finest has pixels of 2^-43. */
export const LEVELS = 38;
export const FINEST = 2 ** -43;

/** Half the side of the square that tiles cover. */
export const EDGE = 4;
export const TILE = 256;

export const WHOLE = { re: 0, im: 0, span: 3.2 };
const START = { c_re: -0.8, c_im: 0.156, ...WHOLE, iterations: 256, palette: "twilight" };
const NUMBERS = ["c_re", "c_im", "re", "im", "span"];
const MOST_ITERATIONS = 20_000;

/** How a view may differ from the fractal it was opened from. */
const DIFFERENCES = {
  mirrored: "not mirrored",
  stretched: "not stretched",
  beyond: `no further than ${EDGE} from the origin`,
  iterations: `no more than ${MOST_ITERATIONS.toLocaleString("en")} iterations`,
};

/** Side of a tile on a level, in units of the plane. */
export const side = (level) => (2 * EDGE) / 2 ** level;

/** The level whose pixels are nearest to `unit`, the length of one on the screen. */
export const levelFor = (unit) =>
  Math.max(0, Math.min(LEVELS, Math.round(-Math.log2(unit) + Math.log2((2 * EDGE) / TILE))));

/** The same view with everything within what there is; `pixels` are those of the shorter side. */
export function within(view, pixels) {
  const at = (x) => Math.max(-EDGE, Math.min(EDGE, x));
  const span = Math.max(FINEST * pixels, Math.min(2 * EDGE, view.span));
  return { ...view, re: at(view.re), im: at(view.im), span };
}

/** Whether no deeper view would show more. */
export const isDeepest = (view, pixels) => view.span / pixels <= FINEST * 1.01;

/** Reads an address; whatever is missing or makes no sense is as at the start. */
export function parse(query) {
  const given = new URLSearchParams(query);
  const view = { ...START };
  for (const name of NUMBERS) {
    const text = given.get(name);
    if (text !== null && text.trim() !== "" && Number.isFinite(Number(text))) view[name] = Number(text);
  }
  if (!(view.span > 0)) view.span = START.span;
  const iterations = Number(given.get("iterations"));
  if (Number.isInteger(iterations) && iterations >= 1) view.iterations = Math.min(iterations, MOST_ITERATIONS);
  if (/^[a-z]{1,20}$/.test(given.get("palette") ?? "")) view.palette = given.get("palette");
  return view;
}

export function format({ c_re, c_im, re, im, span, iterations, palette }) {
  return `/explore?${new URLSearchParams({ c_re, c_im, re, im, span, iterations, palette })}`;
}

/** The address where a view becomes the beginning of an animation. */
export const animated = (address) => address.replace(/^\/explore/, "/animate");

/** The address that shows a fractal's part of the plane, and says in what the view differs from it. */
export function addressOf(fractal) {
  const { c_re, c_im, xa, xb, ya, yb, iterations, palette } = fractal;
  const span = Math.min(Math.abs(xb - xa), Math.abs(yb - ya)) || Math.abs(xb - xa) || WHOLE.span;
  const view = { c_re, c_im, re: xa / 2 + xb / 2, im: ya / 2 + yb / 2, span, iterations: Math.min(iterations, MOST_ITERATIONS), palette };
  const differs = differences(fractal, view);
  return differs.length ? `${format(view)}&differs=${differs}` : format(view);
}

function differences({ width, height, xa, xb, ya, yb, iterations }, { re, im, span }) {
  // How many pixels high it were if they were square.
  const square = (Math.abs(yb - ya) / Math.abs(xb - xa)) * (width - 1) + 1;
  const found = {
    mirrored: xb < xa || yb < ya,
    stretched: Math.abs(square - height) > Math.max(1, height / 100),
    beyond: Math.abs(re) > EDGE || Math.abs(im) > EDGE || span > 2 * EDGE,
    iterations: iterations > MOST_ITERATIONS,
  };
  return Object.keys(found).filter((name) => found[name]);
}

/** What an address says of that, for people; nothing if it says nothing. */
export function differing(query) {
  const given = new URLSearchParams(query).get("differs")?.split(",") ?? [];
  const said = Object.keys(DIFFERENCES).filter((name) => given.includes(name)).map((name) => DIFFERENCES[name]);
  return said.length ? `Not quite the picture: ${said.join(", ")}.` : "";
}

/** The fractal that shows a view in so many pixels. */
export function fractalOf({ c_re, c_im, re, im, span, iterations, palette }, width, height) {
  const unit = span / Math.min(width, height);
  const [x, y] = [((width - 1) / 2) * unit, ((height - 1) / 2) * unit];
  return { width, height, iterations, palette, c_re, c_im, xa: re - x, xb: re + x, ya: im - y, yb: im + y };
}
