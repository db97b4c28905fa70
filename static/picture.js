// The image of a fractal, or what stands in for it while there is none.

import { imageOf, thumbOf } from "./api.js";
import { make } from "./dom.js";
import { alt } from "./format.js";

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

/** A key that changes exactly when `picture` would give something else. */
export const pictureKey = ({ uuid, status, error }) => `${uuid} ${status} ${error ?? ""}`;

export function picture(fractal, { thumbnail }) {
  const { uuid, width, height, status } = fractal;
  if (status === "done") {
    const image = make("img", { width, height, alt: alt(fractal), decoding: "async" });
    // Must be set before the address, or the browser begins to load at once.
    if (thumbnail) image.loading = "lazy";
    image.style.setProperty("--width", `${width}px`);
    image.style.setProperty("--ratio", width / height);
    persist(image);
    if (thumbnail) image.srcset = `${thumbOf(uuid, 512)} 2x`;
    image.src = thumbnail ? thumbOf(uuid, 256) : imageOf(uuid);
    return image;
  }
  const outline = make("span", { class: "outline" });
  outline.style.aspectRatio = `${width} / ${height}`;
  outline.classList.toggle("tall", height > width);
  const badge = make("span", { class: "badge" }, status);
  const pending = make("span", { class: "pending", "data-status": status }, outline, badge);
  if (status === "running") pending.append(make("progress", { max: 1, value: 0, "aria-label": "rendered", hidden: "" }));
  return pending;
}

/** A farm that restarts, or has too much to do, gives no picture now: asks again, ever less often. */
function persist(image) {
  let wait = FIRST_RETRY_MS;
  image.addEventListener("error", () => {
    setTimeout(() => image.isConnected && (image.src = image.src), wait);
    wait = Math.min(wait * 2, LAST_RETRY_MS);
  });
}

/** Moves the bar of a picture that is being rendered, once it is known how far that is. */
export function showProgress(frame, { progress }) {
  const bar = frame.querySelector("progress");
  if (!bar) return;
  bar.hidden = progress == null;
  bar.value = progress ?? 0;
}
