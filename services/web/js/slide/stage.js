// The middle of a slide's view: the slide, beside it a hit, and what is marked and searched on them.

import { get, slidePath } from "../api.js";
import { h, refill } from "../dom.js";
import { icon } from "../icons.js";
import { tell } from "../notices.js";
import { link } from "../router.js";
import { Drawing } from "../viewer/drawing.js";
import { GridLayer } from "../viewer/grid_layer.js";
import { Linked } from "../viewer/link.js";
import { MarkLayer } from "../viewer/mark_layer.js";
import { Pane } from "../viewer/pane.js";
import { loadPatches } from "../viewer/patches.js";

const SHARE = 0.35; // of the pane, for a patch that is shown

/**
 * Events: "query" (there is a new thing to search for), "space", "tool", "beside" (a hit was opened or closed),
 * "moved" (the address should say the new view), "layers" (grid switched).
 * `query` is {body, box?, polygon?, text?}: the body is what the search routes take.
 */
export class Stage extends EventTarget {
  #drawing = null;
  #opening = 0;

  constructor(host, slide, space) {
    super();
    Object.assign(this, { host, slide, beside: null, linked: null, query: null, tool: "pan", gridOn: false });
    this.currentSpace = space;
    host.replaceChildren();
    this.main = this.#open(slide, "query");
    this.main.pane.addEventListener("pick", ({ detail }) => this.pick(detail));
  }

  get pane() {
    return this.main.pane;
  }

  get space() {
    return this.currentSpace;
  }

  set space(space) {
    if (space === this.currentSpace) return;
    this.currentSpace = space;
    this.#tell("space");
    if (this.gridOn) this.#grids();
  }

  #tell(name) {
    this.dispatchEvent(new Event(name));
  }

  #open(slide, role) {
    const notes = slide.pixels === "slide" ? null : slide.pixels_note || (slide.pixels === "none" ? "This slide has no pixels here: neither its file nor a thumbnail can be read." : "The slide's file cannot be reached: the pixels are from its stored thumbnail.");
    const caption = h("div", { class: "pane-caption" }, h("strong", {}, slide.slide_id), slide.patient_id !== slide.slide_id && h("span", { class: "muted" }, slide.patient_id));
    const element = h("section", { class: `pane pane-${role}`, "aria-label": role === "query" ? `Slide ${slide.slide_id}` : `Hit in slide ${slide.slide_id}` }, caption, notes && h("p", { class: "pane-note", role: "note" }, icon("help"), notes));
    this.host.append(element);
    const pane = new Pane(element, slide);
    const marks = pane.overlay.add(new MarkLayer());
    pane.addEventListener("failed", ({ detail }) => tell(detail));
    pane.addEventListener("still", () => this.#tell("moved"));
    return { slide, pane, marks, element, caption, grid: null };
  }

  /** Side of a patch of the present space in level-0 px of `slide`: [w, h]. */
  footprint(slide = this.slide) {
    const gridId = this.space?.split("/")[0];
    return slide.grids?.find((grid) => grid.grid_id === gridId)?.footprint ?? null;
  }

  /** Search for the patch under a point of the main slide. */
  pick({ x, y }) {
    const inside = x >= 0 && y >= 0 && x < this.slide.width && y < this.slide.height;
    if (!inside) return;
    this.search({ body: { slide: this.slide.slide_id, x: Math.floor(x), y: Math.floor(y) } });
  }

  search(query) {
    this.query = query;
    this.main.marks.put("link", null);
    this.markQuery(query);
    this.#tell("query");
  }

  /** Show where the query is, once the server has said which patch it took. */
  markQuery({ box = null, polygon = null }) {
    this.main.marks.put("query", polygon ? { polygon } : box ? { box } : null);
    this.pane.overlay.refresh();
  }

  /** Show a rectangle (level-0 px) on the main slide, as a link asks for it; null takes it away. */
  markLink(box) {
    this.main.marks.put("link", box && { box });
    this.pane.overlay.refresh();
  }

  // Side by side

  /** Open a hit beside the query, at the same physical scale, and link the two. */
  async openBeside({ slide_id: slideId, x = null, y = null, footprint = null }) {
    const turn = (this.#opening += 1);
    const slide = this.beside?.slide.slide_id === slideId ? this.beside.slide : await get(slidePath(slideId));
    if (turn !== this.#opening || this.closed) return;
    this.linked?.close();
    this.linked = null;
    if (this.beside?.slide !== slide) {
      this.#drop();
      this.host.classList.add("split");
      this.beside = this.#open(slide, "hit");
      this.#buttons();
      this.beside.pane.addEventListener("pick", ({ detail }) => this.#searchFrom(this.beside.slide, detail));
      await this.beside.pane.ready;
      if (turn !== this.#opening || this.closed) return;
    }
    const size = footprint ?? this.footprint(slide);
    const box = x === null ? null : { x, y, w: size?.[0] ?? 0, h: size?.[1] ?? 0 };
    this.beside.marks.put("hit", box && { box });
    this.besideBox = box;
    await this.#settled();
    this.#align(box);
    if (this.gridOn) this.#grids();
    this.#tell("beside");
  }

  /** OpenSeadragon sees a new size only at its next frame. */
  #settled() {
    return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  }

  /** The query in the middle of one pane, the hit in the middle of the other, at one scale. */
  #align(box) {
    const { pane } = this;
    const query = this.main.marks.get("query");
    const target = { ...pane.target };
    if (query) {
      const place = query.box ?? boxOf(query.polygon);
      const room = Math.min(pane.size.width, pane.size.height);
      const side = Math.max(place.w, place.h);
      Object.assign(target, { x: place.x + place.w / 2, y: place.y + place.h / 2 });
      if (side * target.zoom < 80 || side * target.zoom > 0.8 * room) target.zoom = (SHARE * room) / side;
    }
    pane.show(target, { at_once: true });
    const { pane: other, slide } = this.beside;
    const scaled = pane.mpp !== null && other.mpp !== null;
    other.show(
      {
        x: box ? box.x + box.w / 2 : slide.width / 2,
        y: box ? box.y + box.h / 2 : slide.height / 2,
        zoom: scaled ? (target.zoom / pane.mpp) * other.mpp : target.zoom,
      },
      { at_once: true },
    );
    this.linked = new Linked(pane, other);
    this.#sayScale();
  }

  #buttons() {
    const { slide, caption } = this.beside;
    this.linkButton = h("button", { type: "button", class: "bare", "aria-pressed": "true", title: "Move both together (U)", "aria-label": "Move both together", onclick: () => this.toggleLink() }, icon("link"));
    this.scaleNote = h("span", { class: "muted" });
    caption.append(
      this.scaleNote,
      h("span", { class: "spring" }),
      this.linkButton,
      h("a", { class: "bare", href: link("slides", slide.slide_id), title: "Open this slide alone", "aria-label": `Open ${slide.slide_id} alone` }, icon("fit")),
      h("button", { type: "button", class: "bare", title: "Close (Esc)", "aria-label": "Close the hit", onclick: () => this.closeBeside() }, icon("close")),
    );
  }

  #sayScale() {
    refill(this.scaleNote, !this.linked.scaled ? "same pixels: a slide has no mpp" : this.linked.on ? "same scale" : "not linked");
  }

  toggleLink() {
    if (!this.linked) return;
    this.linked.on = !this.linked.on;
    this.linkButton.setAttribute("aria-pressed", String(this.linked.on));
    this.#sayScale();
  }

  closeBeside() {
    if (!this.beside) return;
    this.#opening += 1;
    this.#drop();
    this.#tell("beside");
  }

  #drop() {
    this.linked?.close();
    this.linked = null;
    this.beside?.pane.close();
    this.beside?.element.remove();
    this.beside = null;
    this.besideBox = null;
    this.host.classList.remove("split");
  }

  /** A click in the hit's pane: that slide becomes the one that is searched from. */
  #searchFrom(slide, { x, y }) {
    const { zoom } = this.beside.pane.view;
    const place = { x: Math.floor(x), y: Math.floor(y) };
    location.hash = link("slides", slide.slide_id, { ...place, cx: place.x, cy: place.y, zoom: zoom.toPrecision(4), find: 1 });
  }

  // Grid

  async toggleGrid() {
    this.gridOn = !this.gridOn;
    this.#tell("layers");
    try {
      await this.#grids();
    } catch (error) {
      this.gridOn = false;
      this.#tell("layers");
      tell(error);
    }
  }

  async #grids() {
    for (const side of [this.main, this.beside]) {
      if (!side) continue;
      if (side.grid) side.pane.overlay.drop(side.grid);
      side.grid = null;
      if (!this.gridOn || !side.slide.spaces.includes(this.space)) continue;
      side.patches ??= new Map();
      if (!side.patches.has(this.space)) side.patches.set(this.space, await loadPatches(side.slide.slide_id, this.space));
      if (this.gridOn && !side.pane.closed && !side.grid) side.grid = side.pane.overlay.add(new GridLayer(side.patches.get(this.space)));
    }
  }

  // Drawing

  /** Take a tool: "pan", "lasso", or "freehand", "polygon", "rectangle" for annotations. */
  setTool(tool, shape = tool) {
    this.#drawing?.stop();
    this.#drawing = null;
    this.tool = tool;
    if (tool === "lasso") {
      this.#drawing = new Drawing(this.pane, "freehand", (points) => {
        this.setTool("pan");
        this.search({ body: { region: { slide: this.slide.slide_id, polygon: points } }, polygon: points });
      });
    } else if (tool !== "pan") {
      this.#drawing = new Drawing(this.pane, shape, (points) => {
        this.setTool("pan");
        this.dispatchEvent(new CustomEvent("drawn", { detail: points }));
      });
    }
    this.#tell("tool");
  }

  finishDrawing() {
    this.#drawing?.finish();
  }

  close() {
    this.closed = true;
    this.#drawing?.stop();
    this.#drop();
    this.pane.close();
  }
}

function boxOf(polygon) {
  const xs = polygon.map(([x]) => x);
  const ys = polygon.map(([, y]) => y);
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, w: Math.max(...xs) - x, h: Math.max(...ys) - y };
}
