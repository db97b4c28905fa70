// The farm's token: asked for once, remembered by this browser, sent with what changes something.

import { byId, notice } from "./dom.js";

const KEY = "faafo-token";

const dialog = byId("token");
const form = byId("token-form");
let token = stored();
let asked = null;

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // Closed to this page: remembered until it is left.
  }
}

function remember(value) {
  token = value;
  try {
    if (value) localStorage.setItem(KEY, value);
    else localStorage.removeItem(KEY);
  } catch {
    // As above.
  }
  byId("forget").hidden = !value;
}

byId("forget").hidden = !token;
byId("forget").addEventListener("click", () => {
  remember(null);
  notice("The token is forgotten: this page will ask for it again.");
  (byId("new") ?? byId("home")).focus({ preventScroll: true });
});
byId("token-cancel").addEventListener("click", () => dialog.close());

/** What is known now, or null. */
export const current = () => token;

/**
 * Asks for a token instead of `refused`, which was sent to no avail (null: none was). Promises
 * whether there is another one to try.
 */
export function ask(refused, complaint) {
  // Several requests may fail for the want of one token.
  if (token && token !== refused) return Promise.resolve(true);
  asked ??= dialogue(refused && complaint).finally(() => (asked = null));
  return asked;
}

function dialogue(complaint) {
  const error = byId("token-error");
  error.textContent = complaint ?? "";
  error.hidden = !complaint;
  const input = form.elements.token;
  input.value = "";
  dialog.returnValue = ""; // what Escape answers, too
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = input.value.trim();
      input.value = "";
      const another = dialog.returnValue === "yes" && given !== "";
      if (another) remember(given);
      resolve(another);
    }, { once: true });
  });
}
