// One fractal in the gallery.

import { make, say } from "./dom.js";
import { count, dimensions, duration } from "./format.js";
import { picture, pictureKey, showProgress } from "./picture.js";

export class Card {
  #shown = null;
  #pictured = "";

  constructor(uuid) {
    this.frame = make("span", { class: "frame" });
    this.size = make("span");
    this.effort = make("span");
    this.caption = make("span", { class: "caption" }, this.size, this.effort);
    this.link = make("a", { href: `/view/${uuid}` }, this.frame, this.caption);
    this.element = make("li", { class: "card", "data-uuid": uuid }, this.link);
  }

  show(fractal) {
    if (fractal === this.#shown) return;
    this.#shown = fractal;
    const { status, iterations, duration: seconds } = fractal;
    this.element.dataset.status = status;
    say(this.size, dimensions(fractal));
    say(this.effort, `${count(iterations)} iterations${seconds == null ? "" : ` · ${duration(seconds)}`}`);
    // The picture is kept as long as it may be, so that a refresh does not make it blink.
    const key = pictureKey(fractal);
    if (key !== this.#pictured) this.#picture(fractal);
    this.#pictured = key;
    showProgress(this.frame, fractal);
  }

  #picture(fractal) {
    const { status, error } = fractal;
    this.frame.replaceChildren(picture(fractal, { thumbnail: true }));
    this.failure?.remove();
    this.failure = null;
    if (status === "failed") {
      const reason = make("p", { class: "error" }, error ?? "It could not be rendered.");
      const retry = make("button", { type: "button", "data-retry": fractal.uuid }, "Retry");
      this.failure = make("div", { class: "failure" }, reason, retry);
      this.element.append(this.failure);
    }
  }
}
