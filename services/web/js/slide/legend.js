// A heatmap's legend: its colours, and the true least and most value of what is shown.

import { h } from "../dom.js";
import { counted, figure } from "../format.js";

export function legend({ label, minimum, maximum, colours, rows }) {
  const bar = h("span", { class: "legend-bar", role: "img", "aria-label": `${label}: colours from ${figure(minimum)} to ${figure(maximum)}` });
  const last = colours.length - 1;
  const stops = colours.map(({ colour }, index) => `${colour} ${((100 * index) / Math.max(1, last)).toFixed(1)}%`);
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return h(
    "div",
    { class: "legend" },
    h("span", { class: "legend-label" }, label, rows !== undefined && h("span", { class: "muted" }, ` · ${counted(rows, "patch", "patches")}`)),
    bar,
    h("span", { class: "legend-ends" }, h("span", { class: "legend-least" }, figure(minimum)), h("span", { class: "legend-most" }, figure(maximum))),
  );
}
