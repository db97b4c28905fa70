// Puts the parts of the page together. What a first look at the gallery does without is fetched after it.

import * as api from "./api.js";
import { byId, notice } from "./dom.js";
import * as filters from "./filters.js";
import { Gallery } from "./gallery.js";
import * as router from "./router.js";

const TITLE = document.title;
let selection = null;
let view = null;
let wanted = null; // the route that is to be seen, while a part for it may still be on its way

const gallery = new Gallery(() => selection?.refresh());
const once = (load) => {
  let part;
  return () => (part ??= load());
};

const filtering = once(async () => {
  const { FilterBox } = await import("./filterbox.js");
  return new FilterBox((chosen) => {
    history.replaceState(null, "", `/${filters.format(chosen)}`);
    show(router.parse("/", location.search), false);
  });
});

const searching = once(() => import("./found.js"));

const forming = once(() => import("./form.js").then(({ Form, surprise }) => ({ form: new Form(create), surprise })));

const selecting = once(async () => {
  const { Selection } = await import("./selection.js");
  selection = new Selection(gallery, changed);
  return selection;
});

const viewing = once(async () => {
  const [{ View }, { neighbours }] = await Promise.all([import("./view.js"), import("./neighbours.js")]);
  view = new View({
    neighbours: (fractal) => neighbours(fractal, gallery.feed),
    onagain: (fractal) => ask(fractal),
    ongone: (uuid) => {
      gallery.apply(new Map([[uuid, null]]));
      go(byId("view-back").pathname + byId("view-back").search);
      notice("The fractal has been deleted.");
    },
    onretry: retry,
  });
  return view;
});

/** Does it with a part of the page, or tells why there is none. */
async function using(part, work) {
  const made = await part().catch(() => null);
  if (made) work(made);
  else notice("This part of the page could not be fetched. Load the page again once the farm answers.");
}

const ask = (values) => using(forming, ({ form }) => form.open(values));

async function create(request) {
  await gallery.settle(request);
  go("/", true);
}

async function retry(uuid) {
  try {
    await gallery.settle(api.retry(uuid));
    if (view?.uuid === uuid) await view.refresh();
  } catch (error) {
    notice(error.message);
  }
}

function show(route, anew) {
  wanted = route;
  const { uuid } = route;
  const left = view?.uuid;
  if (uuid) {
    selection?.end();
    gallery.hide();
    document.title = `Fractal ${uuid.slice(0, 8)} – ${TITLE}`;
    using(viewing, () => wanted === route && view.show(uuid, gallery.feed.items.get(uuid)));
    return;
  }
  view?.hide();
  document.title = TITLE;
  byId("view-back").href = location.pathname + location.search;
  using(filtering, (box) => box.show(route.filters));
  const enter = (Found) => {
    gallery.show(route.page, route.filters, anew, Found);
    if (left) gallery.focus(left);
  };
  if (filters.count(route.filters)) using(searching, ({ Found }) => wanted === route && enter(Found));
  else enter();
}

const go = router.start(show);

byId("new").addEventListener("click", () => ask());
byId("select").addEventListener("click", () => using(selecting, () => selection.toggle()));
byId("surprise-empty").addEventListener("click", () => {
  // The button is gone with the empty gallery, and the focus must not be lost with it.
  const focus = () => byId("new").focus({ preventScroll: true });
  using(forming, ({ surprise }) => create(api.create(surprise())).then(focus, ({ message }) => notice(message)));
});
using(() => import("./walk.js"), ({ walkable }) => walkable(byId("grid"), () => gallery.links));
document.addEventListener("click", ({ target }) => target.dataset?.retry && retry(target.dataset.retry));

function changed(changes) {
  gallery.apply(changes);
  view?.apply(changes);
}

performance.mark("interactive"); // the page answers from here on: what a slow phone is measured by
using(
  () => Promise.all([import("./events.js"), import("./status.js")]),
  ([{ connect }, { showConnection, showCounts }]) =>
    connect({
      onchanges: changed,
      onprogress(fractions) {
        gallery.progress(fractions);
        view?.progress(fractions);
      },
      oncounts(counts) {
        gallery.counts = counts;
        showCounts(counts);
      },
      onstale() {
        gallery.stale();
        view?.refresh();
      },
      onstate: showConnection,
    }),
);
