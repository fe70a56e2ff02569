// A slide's patches in one space: their places, and which of them lies under a point or in a box.

import { fetchRaw, slidePath } from "../api.js";

/** Loads the places of a slide's patches (level-0 px of their top-left corners). */
export async function loadPatches(slideId, space, { signal = null } = {}) {
  const response = await fetchRaw(slidePath(slideId, "/coords"), { parameters: { space }, signal });
  const [width, height] = response.headers.get("X-Slidelake-Footprint").split(",").map(Number);
  return new PatchSet(new Int32Array(await response.arrayBuffer()), width, height);
}

/** Patches sorted into cells of one footprint, so that a look touches only the cells it asks for. */
export class PatchSet {
  #starts;
  #order;

  /** `coords` is x0, y0, x1, y1, … in level-0 px; `width` and `height` are the footprint of a patch. */
  constructor(coords, width, height) {
    Object.assign(this, { coords, width, height, count: coords.length / 2 });
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < coords.length; i += 2) {
      left = Math.min(left, coords[i]);
      right = Math.max(right, coords[i]);
      top = Math.min(top, coords[i + 1]);
      bottom = Math.max(bottom, coords[i + 1]);
    }
    this.left = this.count ? left : 0;
    this.top = this.count ? top : 0;
    this.columns = this.count ? Math.floor((right - left) / width) + 1 : 0;
    this.rows = this.count ? Math.floor((bottom - top) / height) + 1 : 0;
    this.#sort();
  }

  #cell(row) {
    const column = Math.floor((this.coords[2 * row] - this.left) / this.width);
    return Math.floor((this.coords[2 * row + 1] - this.top) / this.height) * this.columns + column;
  }

  #sort() {
    const starts = new Int32Array(this.columns * this.rows + 1);
    for (let row = 0; row < this.count; row += 1) starts[this.#cell(row) + 1] += 1;
    for (let cell = 1; cell < starts.length; cell += 1) starts[cell] += starts[cell - 1];
    const next = starts.slice();
    this.#order = new Int32Array(this.count);
    for (let row = 0; row < this.count; row += 1) {
      const cell = this.#cell(row);
      this.#order[next[cell]] = row;
      next[cell] += 1;
    }
    this.#starts = starts;
  }

  /** Calls visit(x, y, row) for each patch that may touch the box, and for few others. */
  visit({ left, top, right, bottom }, visit) {
    // A patch that starts one cell before the box may reach into it.
    const firstColumn = Math.max(0, Math.floor((left - this.left) / this.width) - 1);
    const lastColumn = Math.min(this.columns - 1, Math.floor((right - this.left) / this.width));
    const firstRow = Math.max(0, Math.floor((top - this.top) / this.height) - 1);
    const lastRow = Math.min(this.rows - 1, Math.floor((bottom - this.top) / this.height));
    for (let gridRow = firstRow; gridRow <= lastRow; gridRow += 1) {
      const first = this.#starts[gridRow * this.columns + firstColumn];
      const last = firstColumn <= lastColumn ? this.#starts[gridRow * this.columns + lastColumn + 1] : first;
      for (let i = first; i < last; i += 1) {
        const row = this.#order[i];
        visit(this.coords[2 * row], this.coords[2 * row + 1], row);
      }
    }
  }

  /** The patch that holds a point, of several the one centred nearest; null where there is none. */
  at(x, y) {
    let [found, least] = [null, Infinity];
    this.visit({ left: x, top: y, right: x, bottom: y }, (left, top, row) => {
      if (x < left || y < top || x >= left + this.width || y >= top + this.height) return;
      const away = Math.hypot(left + this.width / 2 - x, top + this.height / 2 - y);
      if (away < least) [found, least] = [{ x: left, y: top, row }, away];
    });
    return found;
  }
}
