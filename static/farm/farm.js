// Puts the parts of the farm's page together.

import * as api from "../api.js";
import { byId, notice, say } from "../dom.js";
import { connect } from "../events.js";
import { count, duration } from "../format.js";
import { showConnection, showCounts } from "../status.js";
import { Chart } from "./chart.js";
import * as history from "./history.js";
import { showFailed, showWaiting } from "./lists.js";
import { Workers } from "./workers.js";

const PACE_MS = 2_000;

const queue = new Chart(byId("chart-queue"), "Waiting", "fractals");
const done = new Chart(byId("chart-done"), "Finished a minute", "pictures");
const workers = new Workers();
const progress = new Map();
let failures = -1;

say(byId("endpoint"), location.origin);

async function look() {
  const [farm, crew] = await Promise.all([api.farm(), api.workers()]);
  queue.show(history.waiting(farm.samples));
  const finished = history.throughput(farm.samples);
  done.show(finished);
  say(byId("queue-now"), count(farm.counts.queued));
  say(byId("done-now"), count(finished.at(-1)[1]));
  say(byId("figure-slots"), count(farm.slots));
  say(byId("figure-rate"), farm.rate.toFixed(farm.rate < 10 ? 1 : 0));
  say(byId("figure-oldest"), farm.oldest_waiting_seconds === null ? "–" : duration(farm.oldest_waiting_seconds));
  say(byId("figure-failed"), count(history.sum(farm.samples, "failed")));
  workers.show(crew, progress);
  await showWaiting();
  if (failures !== farm.counts.failed) await showFailed(retry);
  failures = farm.counts.failed;
}

async function retry(uuid) {
  try {
    await api.retry(uuid);
    notice("It waits for another attempt.");
  } catch (error) {
    notice(error.message);
  }
  byId("failed-title").tabIndex = -1;
  byId("failed-title").focus({ preventScroll: true }); // the button goes with its line
  failures = -1;
}

/** Looks again and again, one look at a time, while anybody sees it. */
async function watch() {
  if (!document.hidden) {
    try {
      await look();
      byId("main").dataset.state = "shown";
    } catch {
      // That the farm cannot be reached is said at the top already.
    }
  }
  setTimeout(watch, PACE_MS);
}

connect({
  onchanges(changes) {
    for (const uuid of changes.keys()) progress.delete(uuid);
  },
  onprogress(fractions) {
    for (const [uuid, fraction] of fractions) progress.set(uuid, fraction);
    workers.progress(progress);
  },
  oncounts: showCounts,
  onstale: () => {},
  onstate: showConnection,
});
watch();
