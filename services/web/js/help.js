// The keys, in a dialog.

import { h } from "./dom.js";

const KEYS = [
  ["Everywhere", [["/", "search reports and patches"], ["t", "light, dark, or as the system"], ["?", "this list"]]],
  ["The slide", [["arrows", "move (when the slide has the focus)"], ["+ −", "zoom"], ["h", "the whole slide"], ["g", "grid of patches"], ["Esc", "end drawing; close the hit"]]],
  ["Search", [["click", "search for the patch under the pointer"], ["s", "search for the patch in the middle"], ["l", "lasso a region"], ["n  b", "open the next hit, the one before"], ["u", "move both slides together, or not"], ["x", "with or without this patient"]]],
  ["Annotations", [["f", "draw freehand"], ["p", "draw a polygon; Enter closes it"], ["r", "draw a rectangle"], ["v", "back to moving"]]],
  ["Panels", [["[  ]", "the panel before, the next"]]],
];

export function showHelp() {
  const dialog = h(
    "dialog",
    { class: "dialog help", "aria-labelledby": "help-title", onclose: () => dialog.remove(), onclick: (event) => event.target === dialog && dialog.close() },
    h("h2", { id: "help-title" }, "Keys"),
    h(
      "div",
      { class: "help-groups" },
      KEYS.map(([title, keys]) => h("section", {}, h("h3", {}, title), h("dl", {}, keys.map(([key, what]) => [h("dt", {}, key.split("  ").map((each) => h("kbd", {}, each))), h("dd", {}, what)])))),
    ),
    h("p", { class: "muted" }, "slidelake is for research use only."),
    h("form", { method: "dialog", class: "buttons" }, h("button", { class: "primary" }, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}
