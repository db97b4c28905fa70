// The farm at a glance: the counts and whether the page is live.

import { byId, say } from "./dom.js";
import { count } from "./format.js";

const STATES = ["queued", "running", "done", "failed"];
const QUIET_MS = 2_000; // counts that have held still this long are worth saying
const LONGEST_MS = 30_000; // and while they never do, this often is enough

let announced = performance.now();
let timer = 0;

export function showCounts(counts) {
  for (const state of STATES) say(byId(`count-${state}`), count(counts[state]));
  // The figures themselves are no live region: it would talk without end while the farm works.
  clearTimeout(timer);
  const patience = Math.max(0, announced + LONGEST_MS - performance.now());
  timer = setTimeout(() => {
    announced = performance.now();
    const { queued, running, done, failed } = counts;
    say(byId("announce"), `${count(queued)} waiting, ${count(running)} running, ${count(done)} done, ${count(failed)} failed`);
  }, Math.min(QUIET_MS, patience));
}

export function showConnection(state) {
  const element = byId("connection");
  element.dataset.state = state;
  say(element, state);
}
