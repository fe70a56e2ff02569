// One canvas over the slide. Whatever lies on the slide is painted here: no element a patch.

import { h } from "../dom.js";

/**
 * Layers are objects with paint(frame), painted in the order of their `depth` (0 heatmaps, 1 grid,
 * 2 annotations, 3 marks, 4 what is being drawn). A frame maps level-0 px to the canvas.
 */
export class Overlay {
  #layers = [];
  #due = 0;

  constructor(pane) {
    this.pane = pane;
    this.canvas = h("canvas", { class: "overlay", "aria-hidden": "true" });
    pane.osd.canvas.append(this.canvas); // below the navigator
    this.context = this.canvas.getContext("2d");
    // In step with the tiles: OpenSeadragon says when it has drawn a frame.
    pane.osd.addHandler("update-viewport", () => this.paint());
    pane.osd.addHandler("resize", () => this.refresh());
  }

  add(layer) {
    this.#layers = [...this.#layers, layer].sort((a, b) => a.depth - b.depth);
    this.refresh();
    return layer;
  }

  drop(layer) {
    this.#layers = this.#layers.filter((other) => other !== layer);
    this.refresh();
  }

  /** Paint before the next frame, once however often it is asked for. */
  refresh() {
    if (this.#due) return;
    this.#due = requestAnimationFrame(() => {
      this.#due = 0;
      this.paint();
    });
  }

  paint() {
    if (!this.pane.osd.isOpen()) return;
    const { width, height } = this.pane.size;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const context = this.context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const { x, y, zoom } = this.pane.view;
    const left = x - width / 2 / zoom;
    const top = y - height / 2 / zoom;
    const frame = {
      context,
      zoom,
      width,
      height,
      box: { left, top, right: left + width / zoom, bottom: top + height / zoom },
      x: (at) => (at - left) * zoom,
      y: (at) => (at - top) * zoom,
    };
    for (const layer of this.#layers) {
      context.save();
      layer.paint(frame);
      context.restore();
    }
  }

  close() {
    cancelAnimationFrame(this.#due);
    this.canvas.remove();
  }
}

/** A colour of the page's style, for a canvas. */
export function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
