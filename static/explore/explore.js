// Puts the parts of the explorer together.

import { byId, notice, say } from "../dom.js";
import { complex } from "../format.js";
import { attach } from "./gestures.js";
import { CMap } from "./map.js";
import { Order } from "./order.js";
import { Stage } from "./stage.js";
import { WHOLE, animated, differing, format, parse } from "./view.js";

const ADDRESS_MS = 250; // browsers refuse addresses that change all the time
const SPOKEN_MS = 1_200;

const settings = byId("settings");
const canvas = byId("stage");
const { c_re, c_im, iterations, palette } = settings.elements;
const slide = byId("slide");

// A fractal that was opened here, and is not all that is shown.
say(byId("differs"), differing(location.search));
let opened = null;

let addressTimer = 0;
let spokenTimer = 0;

const stage = new Stage(canvas, parse(location.search), {
  onview: tell,
  onstill: (view) => (canvas.dataset.still = format(view)),
  ontrouble(text) {
    byId("trouble").hidden = !text;
    say(byId("trouble"), text ?? "");
  },
});
const map = new CMap(byId("map"), byId("preview"), byId("preview-c"), (c) => stage.show({ ...c, ...WHOLE }));
new Order(stage);

/** Everything beside the picture that depends on the view. */
function tell(view) {
  for (const [field, value] of [[c_re, view.c_re], [c_im, view.c_im], [iterations, view.iterations]]) {
    // Not under the hands of who is writing there.
    if (document.activeElement !== field) field.value = value;
  }
  if (document.activeElement !== slide) slide.value = Math.log2(view.iterations);
  palette.value = view.palette;
  map.show(view);
  byId("depth").hidden = !stage.deepest;
  opened ??= format(view);
  byId("differs").hidden = !byId("differs").textContent || format(view) !== opened;
  byId("animate").href = animated(format(view));
  const digits = Math.max(3, Math.ceil(-Math.log10(view.span)) + 3);
  const at = complex(Number(view.re.toFixed(Math.min(20, digits))), Number(view.im.toFixed(Math.min(20, digits))));
  const wide = (view.span / Math.min(...stage.size)) * stage.size[0];
  say(byId("where"), at);
  say(byId("wide"), wide >= 0.001 ? wide.toPrecision(4) : wide.toExponential(2));
  canvas.setAttribute("aria-label", `Julia set for c = ${complex(view.c_re, view.c_im, 5)}`);
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => history.replaceState(null, "", format(stage.view)), ADDRESS_MS);
  clearTimeout(spokenTimer);
  spokenTimer = setTimeout(() => say(byId("spoken"), `At ${at}, ${byId("wide").textContent} wide`), SPOKEN_MS);
}

const reset = () => stage.show(WHOLE);
attach(canvas, stage, reset);
byId("zoom-in").addEventListener("click", () => stage.zoom(2));
byId("zoom-out").addEventListener("click", () => stage.zoom(0.5));
byId("zoom-all").addEventListener("click", reset);

settings.addEventListener("submit", (event) => event.preventDefault());
settings.addEventListener("input", ({ target }) => {
  if (target === slide) return stage.show({ iterations: Math.min(20_000, Math.round(2 ** slide.valueAsNumber)) });
  if (target === palette || target.name === "palette") return stage.show({ palette: palette.value });
  if (target.validity.valid && target.value !== "") stage.show({ [target.name]: target.valueAsNumber });
});
// What was not finished becomes again what is shown.
settings.addEventListener("focusout", () => setTimeout(() => tell(stage.view)));

byId("copy").addEventListener("click", async () => {
  history.replaceState(null, "", format(stage.view));
  try {
    await navigator.clipboard.writeText(location.href);
    notice("The link to this view has been copied.");
  } catch {
    notice("The link to this view is in the address bar.");
  }
});
window.addEventListener("popstate", () => stage.show(parse(location.search)));

stage.show({});
