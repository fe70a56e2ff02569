// Marks on a slide: the rectangle of a link, the patch or region that was searched for, the hits.

import { token } from "./overlay.js";

const SMALLEST = 12; // CSS px: a mark stays visible however far away

export class MarkLayer {
  depth = 3;
  #marks = new Map();

  /** Set or take away a mark: {box: {x, y, w, h}} or {polygon: [[x, y], …]}, in level-0 px. */
  put(name, mark) {
    if (mark) this.#marks.set(name, mark);
    else this.#marks.delete(name);
  }

  get(name) {
    return this.#marks.get(name) ?? null;
  }

  paint(frame) {
    for (const [name, mark] of this.#marks) {
      const colour = token(name === "query" ? "--mark-query" : "--mark-link");
      if (mark.polygon) outline(frame, mark.polygon);
      else this.#box(frame, mark.box);
      twice(frame.context, colour);
    }
  }

  #box({ context, zoom, x, y }, box) {
    const width = Math.max(box.w * zoom, SMALLEST);
    const height = Math.max(box.h * zoom, SMALLEST);
    context.beginPath();
    context.rect(x(box.x + box.w / 2) - width / 2, y(box.y + box.h / 2) - height / 2, width, height);
  }
}

function outline({ context, x, y }, points) {
  context.beginPath();
  for (const [index, [px, py]] of points.entries()) {
    if (index) context.lineTo(x(px), y(py));
    else context.moveTo(x(px), y(py));
  }
  context.closePath();
}

/** A line that shows on any tissue: light below, the colour above. */
function twice(context, colour) {
  context.lineJoin = "round";
  context.lineWidth = 5;
  context.strokeStyle = "rgb(255 255 255 / 85%)";
  context.stroke();
  context.lineWidth = 2.5;
  context.strokeStyle = colour;
  context.stroke();
}
