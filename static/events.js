// The farm's event stream, gathered into batches.

const CHANGES = ["created", "queued", "running", "done", "failed"];
const CALM_MS = 150; // least time between two batches, so that a flood costs a few layouts a second
const HIDDEN_MS = 30_000; // how long a page nobody looks at stays connected
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;

/**
 * Connects and stays connected.
 *
 * - `onchanges(Map)`: what became of which fractal, the last word on each; null: deleted.
 * - `onprogress(Map)`: which share of a running fractal's picture is rendered, 0 to 1.
 * - `oncounts(counts)`: how many fractals are in each state.
 * - `onstale()`: events may have been missed, load again. Also called once connected at first: only
 *   a list asked for after that has no gap before the first event.
 * - `onstate(name)`: "live" or "reconnecting".
 */
export function connect({ onchanges, onprogress, oncounts, onstale, onstate }) {
  let source = null;
  let changes = new Map();
  let progress = new Map();
  let counts = null;
  let planned = false;
  let last = 0;
  let wait = FIRST_RETRY_MS;
  let retry = 0;
  let leave = 0;

  function flush() {
    planned = false;
    last = performance.now();
    const [batch, fractions] = [changes, progress];
    changes = new Map();
    progress = new Map();
    if (batch.size) onchanges(batch);
    if (fractions.size) onprogress(fractions);
    if (counts) oncounts(counts);
    counts = null;
  }

  function plan() {
    if (planned) return;
    planned = true;
    setTimeout(() => requestAnimationFrame(flush), Math.max(0, last + CALM_MS - performance.now()));
  }

  /** What was heard before the gap goes first, or it would overwrite what is loaded after it. */
  function stale() {
    flush();
    onstale();
  }

  /** Whatever becomes of a fractal, what was rendered of it before says no more. */
  function change(uuid, fractal) {
    progress.delete(uuid);
    changes.set(uuid, fractal);
  }

  function on(name, take) {
    source.addEventListener(name, (event) => {
      take(JSON.parse(event.data));
      plan();
    });
  }

  function open() {
    clearTimeout(retry);
    source = new EventSource("/v1/events");
    source.onopen = () => {
      wait = FIRST_RETRY_MS;
      onstate("live");
      stale();
    };
    source.onerror = () => {
      onstate("reconnecting");
      // The browser tries again by itself, unless it was answered with something other than a stream.
      if (source.readyState !== EventSource.CLOSED) return;
      retry = setTimeout(open, wait);
      wait = Math.min(wait * 2, LAST_RETRY_MS);
    };
    for (const name of CHANGES) on(name, (fractal) => change(fractal.uuid, fractal));
    on("deleted", ({ uuid }) => change(uuid, null));
    on("progress", ({ uuid, fraction }) => progress.set(uuid, fraction));
    on("queue", (now) => (counts = now));
    source.addEventListener("resync", stale);
  }

  // A browser allows few connections to one host, all tabs together: hidden ones give theirs back.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leave);
    if (!document.hidden) {
      if (!source || source.readyState === EventSource.CLOSED) open();
      return;
    }
    leave = setTimeout(() => {
      clearTimeout(retry);
      source?.close();
      source = null;
      onstate("reconnecting");
    }, HIDDEN_MS);
  });

  open();
}
