// Puts the parts of the animations' page together.

import * as api from "../api.js";
import { confirmed } from "../confirm.js";
import { arrange, byId, notice } from "../dom.js";
import { connect } from "../events.js";
import { showConnection, showCounts } from "../status.js";
import { retryFailed } from "./failed.js";
import { Form } from "./form.js";
import { frameOf, isId } from "./id.js";
import { Reel } from "./reel.js";

const PACE_MS = 400; // least time between two looks at the list

const reels = new Map();
let planned = 0;
let named = ""; // by the address: shown whether or not it is one of the newest
let wanted = ""; // to be brought into sight once it is there

new Form(location.search, ({ id }) => {
  wanted = id;
  look();
  notice("The farm renders it.");
});

async function look() {
  clearTimeout(planned);
  planned = 0;
  try {
    show(await newestAndNamed());
    byId("main").dataset.state = "shown";
  } catch (error) {
    notice(error.message);
  }
}

async function newestAndNamed() {
  const { animations } = await api.animations();
  const asked = named;
  if (!asked || animations.some(({ id }) => id === asked)) return animations;
  try {
    return [...animations, await api.animation(asked)];
  } catch (error) {
    if (error.status !== 404) throw error;
    if (named === asked) named = "";
    if (wanted === asked) notice("The animation of this address is not there: it may have been deleted.");
    return animations;
  }
}

function show(animations) {
  for (const animation of animations) {
    const { id } = animation;
    if (!reels.has(id)) reels.set(id, new Reel(animation, { onremove: remove, onretry: retry }));
    reels.get(id).show(animation);
  }
  const shown = animations.map(({ id }) => id);
  for (const id of [...reels.keys()]) if (!shown.includes(id)) reels.delete(id);
  arrange(byId("reels"), shown.map((id) => reels.get(id).element));
  byId("no-reels").hidden = shown.length > 0;
  const element = reels.get(wanted)?.element;
  if (!element) return;
  wanted = "";
  element.scrollIntoView({ block: "nearest" });
  element.focus({ preventScroll: true });
}

/** Takes up the animation that the address names, if it names one. */
function follow() {
  const id = location.hash.slice(1);
  if (isId(id)) named = wanted = id;
}

/** Cancels it, or deletes it once it is complete. */
async function remove(id, running) {
  if (!running && !(await confirmed("Delete this animation with all its frames? This cannot be undone."))) return;
  try {
    await api.removeAnimation(id);
  } catch (error) {
    if (error.status !== 404) return notice(error.message);
  }
  if (named === id) named = "";
  await look();
  byId("reels-title").focus({ preventScroll: true });
}

async function retry(id) {
  try {
    await retryFailed(id);
  } catch (error) {
    notice(error.message);
  }
  await look();
}

/** Looks soon, once for all that happens until then. */
function plan() {
  planned ||= setTimeout(look, PACE_MS);
}

const isFrame = (uuid) => frameOf(uuid) !== null;

follow();
window.addEventListener("hashchange", () => {
  follow();
  look();
});
connect({
  onchanges: (changes) => [...changes.keys()].some(isFrame) && plan(),
  onprogress: (fractions) => [...fractions.keys()].some(isFrame) && plan(),
  oncounts: showCounts,
  onstale: look,
  onstate: showConnection,
});
