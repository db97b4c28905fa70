// The fractals that have waited longest and why they still wait, and the latest failures.

import * as api from "../api.js";
import { byId, make } from "../dom.js";
import { dimensions, time } from "../format.js";

const WAITING = 5;
const FAILED = 8;

const line = (fractal, ...rest) =>
  make("li", {}, make("a", { href: `/view/${fractal.uuid}` }, fractal.uuid.slice(0, 8)), make("span", { class: "quiet-text" }, dimensions(fractal)), ...rest);

function put(id, items) {
  // Not under the feet of who walks through it by keyboard.
  if (byId(id).contains(document.activeElement)) return;
  byId(id).replaceChildren(...items);
  byId(`no-${id}`).hidden = items.length > 0;
}

export async function showWaiting() {
  const { objects } = await api.list({ statuses: ["queued"], ascending: true, size: WAITING });
  const lines = objects.map(async (fractal) => {
    // Begun in between, it waits no more.
    const { reason } = await api.wait(fractal.uuid).catch(() => ({ reason: "it is being rendered" }));
    return line(fractal, make("span", {}, reason));
  });
  put("waiting", await Promise.all(lines));
}

export async function showFailed(onretry) {
  const { objects } = await api.list({ statuses: ["failed"], size: FAILED });
  put("failed", objects.map((fractal) => {
    const retry = make("button", { type: "button", class: "quiet", "aria-label": `Retry ${fractal.uuid.slice(0, 8)}` }, "Retry");
    retry.addEventListener("click", () => onretry(fractal.uuid));
    const when = fractal.finished_at ? time(fractal.finished_at) : "";
    return line(fractal, make("span", { class: "error" }, fractal.error ?? "no reason is known"), make("span", { class: "quiet-text" }, when), retry);
  }));
}
