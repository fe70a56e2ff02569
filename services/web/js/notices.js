// What went wrong, said to the person: the server's problem and its remedy.

import { ApiError } from "./api.js";
import { h, refill } from "./dom.js";
import { icon } from "./icons.js";

const SHOWN_AT_ONCE = 3;

/** What the person can put right: a wrong file, a permission that the browser did not give. */
export class UsageProblem extends Error {
  constructor(problem, remedy) {
    super(problem);
    this.remedy = remedy;
  }
}

/** An error as a box that can stand in any panel. `again` adds a button that tries once more. */
export function errorBox(error, again = null) {
  const { problem, remedy } = described(error);
  return h(
    "div",
    { class: "error-box" },
    h("strong", {}, sentence(problem)),
    remedy && h("p", {}, sentence(remedy)),
    again && h("button", { type: "button", onclick: again }, "Try again"),
  );
}

/** Put an error at the top of the page until it is closed. Requests that were given up say nothing. */
export function tell(error) {
  if (error?.name === "AbortError") return;
  const list = document.getElementById("notices");
  const box = h("div", { class: "notice" }, errorBox(error));
  const close = h("button", { type: "button", class: "bare", "aria-label": "Close this message", onclick: () => box.remove() }, icon("close"));
  box.append(close);
  for (const other of [...list.children]) if (other.textContent === box.textContent) other.remove();
  list.append(box);
  while (list.children.length > SHOWN_AT_ONCE) list.firstChild.remove();
}

/** Take all messages away, as when the person goes to another view. */
export function clearNotices() {
  document.getElementById("notices").replaceChildren();
}

/** A quiet note inside a panel. */
export function note(...text) {
  return h("p", { class: "note" }, text);
}

/** Say something to a screen reader, and to nobody else. */
export function say(text) {
  refill(document.getElementById("said"), text);
}

/** A first thing to do, where there is nothing yet to show. */
export function emptyBox(title, ...advice) {
  return h("div", { class: "empty-box" }, h("strong", {}, title), advice.map((line) => h("p", {}, line)));
}

function described(error) {
  if (error instanceof ApiError) return error;
  if (error instanceof UsageProblem) return { problem: error.message, remedy: error.remedy };
  return { problem: error?.message ? `the page failed: ${error.message}` : "the page failed", remedy: "Reload the page; if it comes back, please report it with what you did." };
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`;
}
