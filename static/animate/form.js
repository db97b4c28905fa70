// The form in which an animation is asked for, with its path in small beside it.

import * as api from "../api.js";
import { byId } from "../dom.js";
import { duration } from "../format.js";
import { parse } from "../explore/view.js";
import { draft } from "./path.js";
import { Preview } from "./preview.js";

const NUMBERS = [
  "c_re", "c_im", "to_c_re", "to_c_im", "around_re", "around_im", "re", "im", "span",
  "zoom", "at_re", "at_im", "frames", "fps", "width", "height", "iterations",
];
/** Where the farm's word for a field is not that of the form. */
const FIELDS = { xa: "span", xb: "span", ya: "span", yb: "span", to_xa: "zoom", to_xb: "zoom", to_ya: "zoom", to_yb: "zoom" };
const TO = { re: -0.4, im: 0.6 };

export class Form {
  #form = byId("path");
  #preview = new Preview(byId("preview"));
  #oncreate;

  /** `oncreate(animation)`: the farm has accepted it. */
  constructor(query, oncreate) {
    this.#oncreate = oncreate;
    const { elements } = this.#form;
    const { c_re, c_im, re, im, span, iterations, palette } = parse(query);
    const given = { c_re, c_im, re, im, span, iterations, at_re: re, at_im: im, to_c_re: TO.re, to_c_im: TO.im, around_re: 0, around_im: 0 };
    for (const [name, value] of Object.entries(given)) elements[name].value = value;
    elements.palette.value = palette;
    this.#form.addEventListener("input", () => this.#changed());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#changed();
  }

  /** What the fields say. */
  get #path() {
    const { elements } = this.#form;
    const numbers = NUMBERS.map((name) => [name, elements[name].valueAsNumber]);
    return { ...Object.fromEntries(numbers), course: elements.course.value, palette: elements.palette.value };
  }

  #changed() {
    const path = this.#path;
    // What is not asked for is not held against anybody.
    for (const course of ["line", "circle"]) {
      const part = byId(`course-${course}`);
      part.hidden = part.disabled = path.course !== course;
    }
    this.#complain("");
    const sound = this.#form.checkValidity();
    this.#preview.show(sound ? path : null);
    byId("length").textContent = sound ? `It lasts ${duration(path.frames / path.fps)}.` : "";
  }

  async #send() {
    const submit = byId("path-submit");
    if (submit.disabled) return;
    submit.disabled = true;
    this.#complain("");
    try {
      this.#oncreate(await api.animate(draft(this.#path)));
    } catch (error) {
      this.#complain(error.message);
      this.#form.elements[FIELDS[error.field] ?? error.field]?.focus();
    } finally {
      submit.disabled = false;
    }
  }

  #complain(message) {
    byId("path-error").textContent = message;
    byId("path-error").hidden = !message;
  }
}
