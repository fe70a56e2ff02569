// The bar over the slide: zoom, tools, grid, link to this view.

import { h, put, refill } from "../dom.js";
import { icon } from "../icons.js";
import { UsageProblem, say, tell } from "../notices.js";

const POWERS = [1.25, 5, 10, 20, 40];
const TOOLS = [
  ["pan", "Move, click to search (V)", "pan"],
  ["lasso", "Lasso a region to search for (L)", "lasso"],
];

export class Toolbar {
  constructor(element, stage) {
    this.stage = stage;
    const { pane } = stage;
    const button = (name, label, run, more = {}) => h("button", { type: "button", title: label, "aria-label": label, onclick: run, ...more }, icon(name));
    this.tools = TOOLS.map(([tool, label, sign]) => [tool, button(sign, label, () => stage.setTool(tool))]);
    this.grid = button("grid", "Grid of patches (G)", () => stage.toggleGrid(), { "aria-pressed": "false", disabled: stage.space === null });
    this.hint = h("span", { class: "stage-hint", role: "status" });
    put(
      element,
      group("Zoom", button("minus", "Zoom out (−)", () => pane.zoomBy(1 / 1.5)), button("plus", "Zoom in (+)", () => pane.zoomBy(1.5)), button("fit", "Whole slide (H)", () => pane.home())),
      pane.mpp !== null && group("Magnification", POWERS.map((power) => h("button", { type: "button", class: "power", title: `Show at ${power}×`, onclick: () => this.#power(power) }, `${power}×`))),
      group("Tools", this.tools.map(([, each]) => each)),
      group("Shown", this.grid),
      this.hint,
      h("span", { class: "spring" }),
      group("Share", button("copy", "Copy a link to this view", () => this.#copy())),
    );
    stage.addEventListener("tool", () => this.#update());
    stage.addEventListener("layers", () => this.#update());
    this.#update();
  }

  #update() {
    const { stage } = this;
    for (const [tool, button] of this.tools) button.setAttribute("aria-pressed", String(stage.tool === tool));
    this.grid.setAttribute("aria-pressed", String(stage.gridOn));
    refill(this.hint, HINTS[stage.tool] ?? "");
  }

  /** 10 µm a screen pixel is 1×, as in the scale bar's figure. */
  #power(power) {
    const { pane } = this.stage;
    const { x, y } = pane.target;
    pane.show({ x, y, zoom: (pane.mpp * power) / 10 });
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(location.href);
      say("The link was copied.");
      refill(this.hint, "Link copied.");
    } catch (error) {
      tell(new UsageProblem(`the browser did not let the link be copied (${error.name})`, "Copy it from the address bar."));
    }
  }
}

const HINTS = {
  lasso: "Draw around a region. Esc ends.",
  freehand: "Draw around the place. Esc ends.",
  polygon: "Click the corners; Enter or a double click closes. Esc ends.",
  rectangle: "Pull a rectangle. Esc ends.",
};

function group(label, ...buttons) {
  return h("div", { class: "button-group", role: "group", "aria-label": label }, buttons);
}
