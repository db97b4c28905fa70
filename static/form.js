// The dialog in which a new fractal is asked for.

import * as api from "./api.js";
import { byId } from "./dom.js";

const NUMBERS = ["width", "height", "iterations", "xa", "xb", "ya", "yb", "c_re", "c_im"];
const DEFAULTS = { width: 1024, height: 768, iterations: 256, xa: -2, xb: 2, ya: -1.5, yb: 1.5, palette: "classic" };

const whole = (least, most) => least + Math.floor(Math.random() * (most - least + 1));
const real = (a, b) => Number((a + Math.random() * (b - a)).toFixed(4));

/** Draws what the command line's client draws; c is left to the farm, which looks for one worth seeing. */
export const surprise = () => ({
  width: whole(256, 1024),
  height: whole(256, 1024),
  iterations: whole(128, 512),
  xa: real(-1, -4),
  xb: real(1, 4),
  ya: real(-0.5, -3),
  yb: real(0.5, 3),
});

export class Form {
  #dialog = byId("create");
  #form = byId("create-form");
  #submit = byId("create-submit");
  #oncreate;

  /** `oncreate` is given the promise of the new fractal while the farm still considers it. */
  constructor(oncreate) {
    this.#oncreate = oncreate;
    byId("create-surprise").addEventListener("click", () => this.#fill(surprise()));
    byId("create-cancel").addEventListener("click", () => this.#dialog.close());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#create();
    });
    // A complaint holds until the value is another.
    this.#form.addEventListener("input", ({ target }) => NUMBERS.includes(target.name) && this.#complain(target, ""));
  }

  /** Opens with these values; without, with those it was left with. */
  open(values) {
    if (values || !this.#form.elements.width.value) this.#fill(values ?? DEFAULTS);
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#form.elements.width.select();
  }

  #fill(values) {
    for (const name of NUMBERS) this.#form.elements[name].value = values[name] ?? "";
    // A surprise comes in the colours that are chosen.
    if (values.palette) this.#form.elements.palette.value = values.palette;
    this.#forgive();
  }

  #draft() {
    const given = NUMBERS.filter((name) => this.#form.elements[name].value !== "");
    const numbers = given.map((name) => [name, this.#form.elements[name].valueAsNumber]);
    return { ...Object.fromEntries(numbers), palette: this.#form.elements.palette.value };
  }

  async #create() {
    if (this.#submit.disabled) return;
    this.#forgive();
    this.#submit.disabled = true;
    const request = api.create(this.#draft());
    try {
      await this.#oncreate(request);
      this.#dialog.close();
      // The button it was opened by may be gone, with the empty gallery or the view.
      byId("new").focus({ preventScroll: true });
    } catch (error) {
      const field = NUMBERS.includes(error.field) ? this.#form.elements[error.field] : null;
      this.#complain(field, error.message);
      field?.focus();
    } finally {
      this.#submit.disabled = false;
    }
  }

  #complain(field, message) {
    const line = byId(field ? `error-${field.name}` : "create-error");
    line.textContent = message;
    line.hidden = !message;
    if (!field) return;
    if (message) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
  }

  #forgive() {
    this.#complain(null, "");
    for (const name of NUMBERS) this.#complain(this.#form.elements[name], "");
  }
}
