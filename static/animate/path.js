// The path of an animation, as the farm goes it. Pure functions.

const between = (from, to, way) => (way >= 1 ? to : from + (to - from) * way);

/** How far a view has come that shrinks or grows by the same factor from frame to frame. */
function zoomed(factor, way) {
  const rate = Math.log(factor);
  return rate === 0 ? way : Math.expm1(-rate * way) / Math.expm1(-rate);
}

function turned({ c_re, c_im }, centre, turn) {
  const [sin, cos] = [Math.sin(2 * Math.PI * turn), Math.cos(2 * Math.PI * turn)];
  const [re, im] = [c_re - centre.re, c_im - centre.im];
  return { c_re: centre.re + re * cos - im * sin, c_im: centre.im + re * sin + im * cos };
}

/** What frame `number` of `path.frames` shows, counted from 0: c, the middle, and the shorter side's length. */
export function view(path, number) {
  const way = number / (path.frames - 1);
  const near = zoomed(path.zoom, way);
  const middle = {
    re: between(path.re, path.at_re, near),
    im: between(path.im, path.at_im, near),
    span: between(path.span, path.span / path.zoom, near),
  };
  if (path.course === "circle") {
    return { ...middle, ...turned(path, { re: path.around_re, im: path.around_im }, number / path.frames) };
  }
  const to = path.course === "line" ? { re: path.to_c_re, im: path.to_c_im } : { re: path.c_re, im: path.c_im };
  return { ...middle, c_re: between(path.c_re, to.re, way), c_im: between(path.c_im, to.im, way) };
}

/** What the farm is asked for. */
export function draft(path) {
  const { frames, fps, width, height, iterations, palette, c_re, c_im } = path;
  const part = (re, im, span) => {
    const unit = span / Math.min(width, height) / 2;
    return [re - width * unit, re + width * unit, im - height * unit, im + height * unit];
  };
  const [xa, xb, ya, yb] = part(path.re, path.im, path.span);
  const [to_xa, to_xb, to_ya, to_yb] = part(path.at_re, path.at_im, path.span / path.zoom);
  const course = {
    stay: {},
    line: { to_c_re: path.to_c_re, to_c_im: path.to_c_im },
    circle: { around_re: path.around_re, around_im: path.around_im },
  }[path.course];
  return { frames, fps, width, height, iterations, palette, c_re, c_im, xa, xb, ya, yb, to_xa, to_xb, to_ya, to_yb, ...course };
}
