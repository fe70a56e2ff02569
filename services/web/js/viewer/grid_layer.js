// The patches of a slide as a grid. Far away it is one small picture, near it is the outlines in view.

import { token } from "./overlay.js";

const OUTLINED_FROM = 9; // CSS px a patch: below it outlines run together

export class GridLayer {
  depth = 1;
  #picture = null;

  constructor(patches) {
    this.patches = patches;
  }

  paint(frame) {
    const { patches } = this;
    if (!patches.count) return;
    if (patches.width * frame.zoom < OUTLINED_FROM) this.#paintFar(frame);
    else this.#paintNear(frame);
  }

  #paintNear({ context, zoom, box, x, y }) {
    const { width, height } = this.patches;
    context.beginPath();
    this.patches.visit(box, (left, top) => {
      // Half a pixel in: a line of one pixel then covers one pixel.
      context.rect(Math.round(x(left)) + 0.5, Math.round(y(top)) + 0.5, width * zoom, height * zoom);
    });
    context.strokeStyle = token("--grid-line");
    context.lineWidth = 1;
    context.stroke();
  }

  #paintFar({ context, zoom, x, y }) {
    const { patches } = this;
    this.#picture ??= this.#draw();
    context.imageSmoothingEnabled = false;
    context.globalAlpha = 0.35;
    context.drawImage(
      this.#picture,
      x(patches.left),
      y(patches.top),
      patches.columns * patches.width * zoom,
      patches.rows * patches.height * zoom,
    );
  }

  /** One pixel a cell that holds a patch. */
  #draw() {
    const { patches } = this;
    const canvas = document.createElement("canvas");
    canvas.width = patches.columns;
    canvas.height = patches.rows;
    const context = canvas.getContext("2d");
    context.fillStyle = token("--grid-fill");
    for (let row = 0; row < patches.count; row += 1) {
      const column = Math.floor((patches.coords[2 * row] - patches.left) / patches.width);
      const line = Math.floor((patches.coords[2 * row + 1] - patches.top) / patches.height);
      context.fillRect(column, line, 1, 1);
    }
    return canvas;
  }
}
