// Annotations over the slide: outlines in the colours of their classes, the chosen one filled.

import { colourOf, lines, nameOf } from "../annotations/collection.js";

export class AnnotationLayer {
  depth = 2;
  features = [];
  chosen = null;
  visible = true;
  #paths = new WeakMap();

  paint(frame) {
    if (!this.visible) return;
    for (const feature of this.features) this.#paint(feature, frame);
  }

  #paint(feature, { context, zoom, box, x, y }) {
    const { path, bounds } = this.#path(feature);
    if (bounds.right < box.left || bounds.left > box.right || bounds.bottom < box.top || bounds.top > box.bottom) return;
    const chosen = feature === this.chosen;
    const [red, green, blue] = colourOf(feature);
    context.save();
    // The path is in level-0 px, the line's width in screen px.
    context.translate(x(0), y(0));
    context.scale(zoom, zoom);
    context.fillStyle = `rgb(${red} ${green} ${blue} / ${chosen ? 22 : 8}%)`;
    context.fill(path, "evenodd");
    context.lineJoin = "round";
    context.lineWidth = (chosen ? 3.5 : 2) / zoom;
    context.strokeStyle = `rgb(${red} ${green} ${blue})`;
    context.stroke(path);
    context.restore();
    const name = nameOf(feature);
    if (!name || (bounds.right - bounds.left) * zoom < 40) return;
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "bottom";
    const width = context.measureText(name).width;
    context.fillStyle = `rgb(${red} ${green} ${blue})`;
    context.fillRect(x(bounds.left), y(bounds.top) - 18, width + 10, 17);
    context.fillStyle = "#fff";
    context.fillText(name, x(bounds.left) + 5, y(bounds.top) - 3);
  }

  #path(feature) {
    let known = this.#paths.get(feature.geometry);
    if (known) return known;
    const path = new Path2D();
    const bounds = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
    for (const line of lines(feature.geometry)) {
      for (const [index, [x, y]] of line.entries()) {
        if (line.length === 1) path.arc(x, y, 24, 0, 2 * Math.PI);
        else if (index) path.lineTo(x, y);
        else path.moveTo(x, y);
        bounds.left = Math.min(bounds.left, x);
        bounds.right = Math.max(bounds.right, x);
        bounds.top = Math.min(bounds.top, y);
        bounds.bottom = Math.max(bounds.bottom, y);
      }
    }
    known = { path, bounds };
    this.#paths.set(feature.geometry, known);
    return known;
  }
}
