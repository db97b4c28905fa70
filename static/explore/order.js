// The dialog that has the farm render the view in a size of one's own.

import * as api from "../api.js";
import { byId } from "../dom.js";
import { fractalOf } from "./view.js";

export class Order {
  #dialog = byId("order");
  #form = byId("order-form");
  #stage;

  constructor(stage) {
    this.#stage = stage;
    byId("render").addEventListener("click", () => this.#open());
    byId("order-cancel").addEventListener("click", () => this.#dialog.close());
    byId("ordered-close").addEventListener("click", () => {
      byId("ordered").hidden = true;
      byId("render").focus({ preventScroll: true });
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  /** With the shape that the view has on the screen. */
  #open() {
    const { width, height } = this.#form.elements;
    const [w, h] = this.#stage.size;
    if (!width.value) [width.value, height.value] = [1920, Math.max(1, Math.round((1920 * h) / w))];
    this.#complain("");
    this.#dialog.showModal();
    width.select();
  }

  async #send() {
    const { width, height } = this.#form.elements;
    const submit = byId("order-submit");
    submit.disabled = true;
    this.#complain("");
    try {
      const draft = fractalOf(this.#stage.view, width.valueAsNumber, height.valueAsNumber);
      const { uuid } = await api.create(draft);
      byId("ordered-link").href = `/view/${uuid}`;
      byId("ordered").hidden = false;
      this.#dialog.close();
      byId("ordered-link").focus({ preventScroll: true });
    } catch (error) {
      this.#complain(error.message);
    } finally {
      submit.disabled = false;
    }
  }

  #complain(message) {
    byId("order-error").textContent = message;
    byId("order-error").hidden = !message;
  }
}
