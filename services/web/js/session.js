// Who the person is to the server: a token is asked for when one is needed, and kept in a cookie by the server.

import { ApiError, get, onTokenNeeded, remove, url } from "./api.js";
import { h, refill } from "./dom.js";
import { icon } from "./icons.js";
import { errorBox, tell } from "./notices.js";

const session = { caller: null, scopes: [], token_needed: false };
let asking = null;

export const mayWrite = () => session.scopes.includes("write");

/** Learn who we are; asks for a token first if the server wants one. */
export async function startSession() {
  onTokenNeeded(() => (asking ??= ask().finally(() => (asking = null))));
  await learn();
  if (session.token_needed && !session.caller) await (asking ??= ask().finally(() => (asking = null)));
}

/** The button in the header: who is signed in, and the way out. Empty where no token is needed. */
export function sessionButton() {
  if (!session.token_needed || !session.caller) return null;
  return h(
    "button",
    { type: "button", class: "bare", title: `Signed in as ${session.caller} (${session.scopes.join(", ")}). Sign out`, "aria-label": "Sign out", onclick: signOut },
    icon("key"),
  );
}

async function learn() {
  Object.assign(session, { caller: null, scopes: [] }, await get("api/session"));
}

async function signOut() {
  try {
    await remove("api/session");
    location.reload();
  } catch (error) {
    tell(error);
  }
}

/** Resolves to true when the server took a token, to false when the person closed the dialog. */
function ask() {
  return new Promise((resolve) => {
    const field = h("input", { id: "token", type: "password", required: true, autocomplete: "current-password", spellcheck: "false" });
    const trouble = h("div", { role: "alert" });
    let taken = false;
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "token-title", onclose: () => (dialog.remove(), resolve(taken)) },
      h(
        "form",
        {
          method: "dialog",
          onsubmit: async (event) => {
            event.preventDefault();
            try {
              await signIn(field.value);
              taken = true;
              dialog.close();
            } catch (error) {
              refill(trouble, errorBox(error));
              field.select();
            }
          },
        },
        h("h2", { id: "token-title" }, "A token is needed"),
        h("p", {}, "This server asks who you are. The person who runs it gives out tokens."),
        h("label", { htmlFor: "token" }, "Token"),
        field,
        trouble,
        h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Not now"), h("button", { type: "submit", class: "primary" }, "Sign in")),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

async function signIn(token) {
  // Not through api.post: a wrong token must come back here, not open this dialog again.
  const response = await fetch(url("api/session"), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    credentials: "same-origin",
    body: JSON.stringify({ token }),
  }).catch(() => {
    throw new ApiError({ problem: "the server cannot be reached", remedy: "Check that “slidelake serve” is still running, then try again." });
  });
  if (!response.ok) {
    const told = await response.json().catch(() => null);
    throw new ApiError(told?.error ?? { problem: `the server answered ${response.status}`, remedy: "Check the token." }, response.status);
  }
  await learn();
  document.dispatchEvent(new Event("slidelake:session"));
}
