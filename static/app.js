// Puts the parts of the page together.

import * as api from "./api.js";
import { byId } from "./dom.js";
import { connect } from "./events.js";
import { Form, surprise } from "./form.js";
import { Gallery } from "./gallery.js";
import { neighbours } from "./neighbours.js";
import { notice } from "./notice.js";
import * as router from "./router.js";
import { showConnection, showCounts } from "./status.js";
import { View } from "./view.js";

const TITLE = document.title;
const gallery = new Gallery();

const form = new Form(create);

const view = new View({
  neighbours: (fractal) => neighbours(fractal, gallery.feed),
  onagain: (fractal) => form.open(fractal),
  ongone: (uuid) => {
    gallery.apply(new Map([[uuid, null]]));
    go(byId("view-back").pathname);
    notice("The fractal has been deleted.");
  },
  onretry: retry,
});

async function create(request) {
  await gallery.settle(request);
  go("/", true);
}

async function retry(uuid) {
  try {
    await gallery.settle(api.retry(uuid));
    if (view.uuid === uuid) await view.refresh();
  } catch (error) {
    notice(error.message);
  }
}

function show(route, anew) {
  const left = view.uuid;
  if (route.uuid) {
    gallery.hide();
    document.title = `Fractal ${route.uuid.slice(0, 8)} – ${TITLE}`;
    view.show(route.uuid, gallery.feed.items.get(route.uuid));
    return;
  }
  view.hide();
  document.title = TITLE;
  byId("view-back").href = location.pathname;
  gallery.show(route.page, anew);
  if (left) gallery.focus(left);
}

const go = router.start(show);

byId("new").addEventListener("click", () => form.open());
byId("surprise-empty").addEventListener("click", () => {
  // The button is gone with the empty gallery, and the focus must not be lost with it.
  const focus = () => byId("new").focus({ preventScroll: true });
  create(api.create(surprise())).then(focus, ({ message }) => notice(message));
});
document.addEventListener("click", ({ target }) => target.dataset?.retry && retry(target.dataset.retry));

connect({
  onchanges(changes) {
    gallery.apply(changes);
    view.apply(changes);
  },
  onprogress(fractions) {
    gallery.progress(fractions);
    view.progress(fractions);
  },
  oncounts(counts) {
    gallery.counts = counts;
    showCounts(counts);
  },
  onstale() {
    gallery.stale();
    view.refresh();
  },
  onstate: showConnection,
});
