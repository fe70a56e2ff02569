// Drawing on a slide: freehand, polygon or rectangle, in level-0 px. One shape a call.

import { token } from "./overlay.js";

const CLOSE_ENOUGH = 10; // CSS px from the first point that close a polygon
const STEP = 3; // CSS px between the points of a freehand line

/**
 * Lets the person draw until the shape is whole or `stop()` is called.
 * `done(points)` gets [[x, y], …], not closed, at least three.
 */
export class Drawing {
  depth = 4;
  #points = [];
  #hover = null;
  #down = false;
  #off = new AbortController();

  constructor(pane, shape, done) {
    Object.assign(this, { pane, shape, done });
    const { canvas } = pane.overlay;
    canvas.classList.add("drawing");
    const on = (name, handler, options = {}) => {
      const only = (event) => {
        event.stopPropagation(); // OpenSeadragon listens below and would move the slide.
        handler(event);
      };
      canvas.addEventListener(name, only, { signal: this.#off.signal, ...options });
    };
    on("pointerdown", (event) => this.#start(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#end(event));
    on("pointercancel", () => this.#clear());
    on("dblclick", () => this.finish());
    on("wheel", (event) => this.#zoom(event), { passive: false });
    pane.overlay.add(this);
  }

  /** True if Enter would finish the shape. */
  get canFinish() {
    return this.#points.length >= 3;
  }

  finish() {
    if (!this.canFinish) return;
    const points = withoutDoubles(this.#points);
    this.#clear();
    if (points.length >= 3) this.done(points.map(([x, y]) => this.#inside(x, y)));
  }

  stop() {
    this.#off.abort();
    this.pane.overlay.canvas.classList.remove("drawing");
    this.pane.overlay.drop(this);
  }

  #clear() {
    this.#points = [];
    this.#down = false;
    this.#hover = null;
    this.pane.overlay.refresh();
  }

  #place(event) {
    const { x, y } = this.pane.toSlide(event.offsetX, event.offsetY);
    return [x, y];
  }

  #inside(x, y) {
    const { width, height } = this.pane.slide;
    return [Math.round(Math.min(Math.max(x, 0), width)), Math.round(Math.min(Math.max(y, 0), height))];
  }

  #start(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.pane.osd.innerTracker.element.focus({ preventScroll: true });
    const place = this.#place(event);
    if (this.shape === "polygon") {
      if (this.canFinish && this.#away(this.#points[0], place) < CLOSE_ENOUGH) this.finish();
      else this.#points.push(place);
      this.pane.overlay.refresh();
      return;
    }
    event.target.setPointerCapture(event.pointerId);
    this.#down = true;
    this.#points = [place];
  }

  #move(event) {
    const place = this.#place(event);
    if (this.shape === "polygon") this.#hover = this.#points.length ? place : null;
    else if (!this.#down) return;
    else if (this.shape === "rectangle") this.#points = corners(this.#points[0], place);
    else if (this.#away(this.#points.at(-1), place) >= STEP) this.#points.push(place);
    this.pane.overlay.refresh();
  }

  #end() {
    if (!this.#down) return;
    this.#down = false;
    if (this.canFinish && this.#large()) this.finish();
    else this.#clear();
  }

  #zoom(event) {
    event.preventDefault();
    this.pane.zoomBy(event.deltaY < 0 ? 1.25 : 0.8, { x: event.offsetX, y: event.offsetY });
  }

  #away([ax, ay], [bx, by]) {
    return Math.hypot(ax - bx, ay - by) * this.pane.view.zoom;
  }

  /** False for what is only a click with a shaking hand. */
  #large() {
    const xs = this.#points.map(([x]) => x);
    const ys = this.#points.map(([, y]) => y);
    const side = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
    return side * this.pane.view.zoom > 6;
  }

  paint({ context, x, y }) {
    const points = this.#hover ? [...this.#points, this.#hover] : this.#points;
    if (!points.length) return;
    context.beginPath();
    for (const [index, [px, py]] of points.entries()) {
      if (index) context.lineTo(x(px), y(py));
      else context.moveTo(x(px), y(py));
    }
    if (this.shape !== "polygon" || points.length > 2) context.closePath();
    context.fillStyle = token("--draw-fill");
    context.fill();
    context.lineJoin = "round";
    context.lineWidth = 2;
    context.strokeStyle = token("--mark-query");
    context.stroke();
    if (this.shape !== "polygon") return;
    context.fillStyle = token("--mark-query");
    for (const [px, py] of this.#points) context.fillRect(x(px) - 3, y(py) - 3, 6, 6);
  }
}

function corners([ax, ay], [bx, by]) {
  return [[ax, ay], [bx, ay], [bx, by], [ax, by]];
}

/** A double click puts the last point twice. */
function withoutDoubles(points) {
  return points.filter(([x, y], index) => !index || x !== points[index - 1][0] || y !== points[index - 1][1]);
}
