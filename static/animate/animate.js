// Puts the parts of the animations' page together.

import * as api from "../api.js";
import { confirmed } from "../confirm.js";
import { arrange, byId, notice } from "../dom.js";
import { connect } from "../events.js";
import { showConnection, showCounts } from "../status.js";
import { Form } from "./form.js";
import { frameOf } from "./id.js";
import { Reel } from "./reel.js";

const PACE_MS = 400; // least time between two looks at the list

const reels = new Map();
let planned = 0;
let wanted = location.hash.slice(1);

new Form(location.search, ({ id }) => {
  wanted = id;
  look();
  notice("The farm renders it.");
});

async function look() {
  clearTimeout(planned);
  planned = 0;
  try {
    show((await api.animations()).animations);
    byId("main").dataset.state = "shown";
  } catch (error) {
    notice(error.message);
  }
}

function show(animations) {
  for (const animation of animations) {
    const { id } = animation;
    if (!reels.has(id)) reels.set(id, new Reel(animation, remove));
    reels.get(id).show(animation);
  }
  const shown = animations.map(({ id }) => id);
  for (const id of [...reels.keys()]) if (!shown.includes(id)) reels.delete(id);
  arrange(byId("reels"), shown.map((id) => reels.get(id).element));
  byId("no-reels").hidden = shown.length > 0;
  const named = reels.get(wanted)?.element;
  if (!named) return;
  wanted = "";
  named.scrollIntoView({ block: "nearest" });
  named.focus({ preventScroll: true });
}

/** Cancels it, or deletes it once it is complete. */
async function remove(id, running) {
  if (!running && !(await confirmed("Delete this animation with all its frames? This cannot be undone."))) return;
  try {
    await api.removeAnimation(id);
  } catch (error) {
    if (error.status !== 404) return notice(error.message);
  }
  await look();
  byId("reels-title").focus({ preventScroll: true });
}

/** Looks soon, once for all that happens until then. */
function plan() {
  planned ||= setTimeout(look, PACE_MS);
}

const isFrame = (uuid) => frameOf(uuid) !== null;

connect({
  onchanges: (changes) => [...changes.keys()].some(isFrame) && plan(),
  onprogress: (fractions) => [...fractions.keys()].some(isFrame) && plan(),
  oncounts: showCounts,
  onstale: look,
  onstate: showConnection,
});
