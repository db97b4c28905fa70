// In which order the fractals of the feed are shown. Pure functions of what is known.

export const FEW = 4; // waiting ones that still stand among the pictures
export const STRIP = 12; // most waiting ones shown

export const newestFirst = (a, b) =>
  Date.parse(b.created_at) - Date.parse(a.created_at) || (a.uuid < b.uuid ? 1 : -1);

const uuids = (fractals) => fractals.map(({ uuid }) => uuid);

/**
 * The order while the feed follows: waiting, running, finished, each newest first.
 *
 * A farm takes the oldest job first, so this is also newest first over all, and a card rarely
 * has to move when its state changes. More than a few waiting ones go to a strip of their own, and
 * stay there until the last has left: otherwise the page would jump about the threshold.
 */
export function following(fractals, { strip }) {
  const sorted = [...fractals].sort(newestFirst);
  const waiting = sorted.filter(({ status }) => status === "queued");
  const running = sorted.filter(({ status }) => status === "running");
  const finished = sorted.filter(({ status }) => status !== "queued" && status !== "running");
  const apart = waiting.length > (strip.length ? 0 : FEW);
  return {
    strip: uuids(apart ? waiting.slice(0, STRIP) : []),
    grid: uuids([...(apart ? [] : waiting), ...running, ...finished]),
  };
}

/** The order while the feed holds still: as it was, and what has been loaded before or after that. */
export function still(items, { strip, grid }) {
  const shown = new Set([...strip, ...grid]);
  const rest = [...items.values()].filter(({ uuid, status }) => !shown.has(uuid) && status !== "queued");
  const left = grid.filter((uuid) => items.has(uuid));
  const end = items.get(left.at(-1));
  const isAfter = (fractal) => !end || newestFirst(end, fractal) < 0;
  rest.sort(newestFirst);
  return {
    strip: strip.filter((uuid) => items.has(uuid)),
    grid: [...uuids(rest.filter((fractal) => !isAfter(fractal))), ...left, ...uuids(rest.filter(isAfter))],
  };
}

/** The order away from the head of the list, where the state makes no difference. */
export const apart = (items) => ({ strip: [], grid: uuids([...items.values()].sort(newestFirst)) });
