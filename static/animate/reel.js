// One animation of the list: how far it is, and once it is done what can be done with it.

import * as api from "../api.js";
import { make, say } from "../dom.js";
import { bytes, count, dimensions, duration, percent } from "../format.js";

const SAID = {
  queued: () => "waits",
  running: ({ counts, frames, progress }) => `${count(counts.done)} of ${count(frames)} frames, ${percent(progress)}`,
  done: ({ size }) => bytes(size),
  failed: ({ counts, error }) => `${count(counts.failed)} frames failed: ${error}`,
  incomplete: () => "some of its frames were deleted",
};

export class Reel {
  #id;
  #picture = make("div", { class: "screen" });
  #state = make("p", { class: "reel-state" });
  #bar = make("progress", { max: "1", value: "0" });
  #actions = make("div", { class: "actions" });
  #play = null;
  #status = "";
  #playing = false;
  #handlers;

  /** `onremove(id, running)`: the reader wants it gone; `onretry(id)`: what failed of it tried again. */
  constructor(animation, handlers) {
    const { id, frames, fps, palette } = animation;
    this.#id = id;
    this.#handlers = handlers;
    const title = `${count(frames)} frames, ${duration(frames / fps)}`;
    this.#bar.setAttribute("aria-label", `Rendering ${title}`);
    const about = `${dimensions(animation)}, ${palette}, ${fps} a second`;
    const words = make("div", { class: "reel-words" }, make("h3", {}, title), make("p", { class: "quiet-text" }, about), this.#state, this.#bar, this.#actions);
    this.element = make("li", { class: "reel", id, tabindex: "-1" }, this.#picture, words);
    this.#picture.style.setProperty("aspect-ratio", `${animation.width} / ${animation.height}`);
  }

  show(animation) {
    const { status, progress } = animation;
    say(this.#state, SAID[status](animation));
    this.#bar.value = progress;
    if (status === this.#status) return;
    this.#status = this.element.dataset.status = status;
    const running = status === "queued" || status === "running";
    this.#bar.hidden = !running;
    this.#offer(status, running);
    if (status === "done") this.#show();
  }

  #offer(status, running) {
    const held = this.#actions.contains(document.activeElement);
    const remove = make("button", { type: "button", class: running ? "" : "danger" }, running ? "Cancel" : "Delete");
    remove.addEventListener("click", () => this.#handlers.onremove(this.#id, running));
    this.#play = make("button", { type: "button", "aria-pressed": "false" }, "Play");
    this.#play.addEventListener("click", () => {
      this.#playing = !this.#playing;
      this.#show();
    });
    const retry = make("button", { type: "button" }, "Retry failed");
    retry.addEventListener("click", () => this.#handlers.onretry(this.#id));
    const files = [
      make("a", { class: "button", href: api.animationOf(this.#id, "png"), download: `${this.#id}.png` }, "Download"),
      make("a", { class: "button", href: api.animationOf(this.#id, "zip"), download: `${this.#id}.zip` }, "Frames as zip"),
    ];
    const offers = { done: [this.#play, ...files], failed: [retry] }[status] ?? [];
    this.#actions.replaceChildren(...offers, remove);
    if (held) this.#actions.querySelector("button").focus({ preventScroll: true });
  }

  /** Its first frame, or all of it. */
  #show() {
    const first = `${this.#id.slice(0, 33)}001`;
    const src = this.#playing ? api.animationOf(this.#id, "png") : api.thumbOf(first, 256);
    const image = make("img", { src, alt: this.#playing ? "The animation" : "Its first frame", loading: "lazy" });
    this.#picture.replaceChildren(image);
    this.#play.setAttribute("aria-pressed", String(this.#playing));
    this.#play.textContent = this.#playing ? "Stop" : "Play";
  }
}
