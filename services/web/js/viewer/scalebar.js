// The scale bar and the magnification, both from the slide's mpp.

import { h } from "../dom.js";
import { length, magnification } from "../format.js";

const LONGEST = 140; // CSS px

export class ScaleBar {
  constructor(pane) {
    this.pane = pane;
    this.bar = h("span", { class: "scale-bar-line" });
    this.text = h("span", { class: "scale-bar-text" });
    this.power = h("span", { class: "scale-bar-power", title: "Magnification that this view corresponds to (10 µm/px is 1×)" });
    this.element = h("div", { class: "scale-bar", role: "img" }, this.power, h("span", { class: "scale-bar-rule" }, this.text, this.bar));
    pane.element.append(this.element);
    pane.addEventListener("view", () => this.update());
  }

  update() {
    const { scale } = this.pane;
    if (scale === null) {
      this.element.setAttribute("aria-label", "Scale unknown: the slide has no mpp");
      this.power.textContent = "scale unknown: the slide has no mpp";
      this.text.textContent = "";
      this.bar.hidden = true;
      return;
    }
    if (!Number.isFinite(scale) || scale <= 0) return;
    const microns = roundLength(LONGEST * scale);
    this.bar.style.width = `${microns / scale}px`;
    this.text.textContent = length(microns);
    this.power.textContent = magnification(scale);
    this.element.setAttribute("aria-label", `${magnification(scale)}, ${scale.toPrecision(4)} µm a screen pixel`);
  }

  close() {
    this.element.remove();
  }
}

/** The largest 1, 2 or 5 times a power of ten that is not above `most`. */
export function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  for (const step of [5, 2, 1]) if (step * power <= most) return step * power;
  return power;
}
