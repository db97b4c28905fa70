// How values are written for people. Nothing here touches the page.

const plain = new Intl.NumberFormat("en");
const rounded = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const count = (n) => plain.format(n);

export const dimensions = ({ width, height }) => `${width} × ${height}`;

export function duration(seconds) {
  if (seconds < 0.001) return "under 1\u00a0ms";
  if (seconds < 1) return `${rounded.format(seconds * 1000)}\u00a0ms`;
  if (seconds < 60) return `${rounded.format(seconds)}\u00a0s`;
  return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
}

export function bytes(n) {
  for (const unit of ["bytes", "kB", "MB"]) {
    if (n < 1000) return `${rounded.format(n)} ${unit}`;
    n /= 1000;
  }
  return `${rounded.format(n)} GB`;
}

/** In whole percent, rounded down: 100 % is only what is complete. */
export const percent = (fraction) => `${Math.floor(fraction * 100)}\u00a0%`;

/** A complex number, every digit of it unless told how many: the exact value is what makes a picture again. */
export function complex(re, im, digits) {
  if (re == null || im == null) return null;
  const text = (x) => String(digits ? Number(x.toPrecision(digits)) : x).replace("-", "−");
  return `${text(re)} ${im < 0 ? "−" : "+"} ${text(Math.abs(im))}i`;
}

export const time = (iso) => moment.format(new Date(iso));

/** What a picture shows, for those who do not see it. */
export function alt({ c_re, c_im, width, height }) {
  const c = complex(c_re, c_im, 4);
  return c ? `Julia set for c = ${c}` : `Julia set, ${width} by ${height} pixels`;
}
