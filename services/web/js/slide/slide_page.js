// The view of one slide: the stage in the middle, panels at its side, the address in step with both.

import { ApiError, get, slidePath } from "../api.js";
import { h, refill } from "../dom.js";
import { bind } from "../keys.js";
import { spaces } from "../lake.js";
import { errorBox, say, tell } from "../notices.js";
import { remembered } from "../prefs.js";
import { link, replace } from "../router.js";
import { AnnotationsPanel } from "./annotations_panel.js";
import { AskPanel } from "./ask_panel.js";
import { FactsPanel } from "./facts_panel.js";
import { LayersPanel } from "./layers_panel.js";
import { ReportsPanel } from "./reports_panel.js";
import { SimilarPanel } from "./similar_panel.js";
import { Stage } from "./stage.js";
import { Tabs } from "./tabs.js";
import { Toolbar } from "./toolbar.js";

export function showSlide(main, route) {
  const page = new SlidePage(main, route);
  return { title: route.id, update: (next) => page.update(next), close: () => page.close() };
}

class SlidePage {
  #keys = null;
  #link = null; // the rectangle that the address names

  constructor(main, route) {
    refill(main, h("p", { class: "loading" }, "Opening the slide…"));
    this.main = main;
    this.#open(route);
  }

  async #open(route) {
    let slide, known;
    try {
      // The slide can be seen without the listing; only the embedding that is chosen at first hangs on it.
      [slide, known] = await Promise.all([get(slidePath(route.id)), spaces().catch(() => [])]);
      if (!slide.width || !slide.height) {
        const problem = `the size of ${slide.slide_id} is not known: its embeddings were brought in without the slide`;
        throw new ApiError({ problem, remedy: "Ingest the slide's file to see it here; searches from the command line work without." });
      }
    } catch (error) {
      if (!this.closed) refill(this.main, h("div", { class: "centred" }, errorBox(error, () => this.#open(route)), h("p", {}, h("a", { href: "#/" }, "Back to all slides"))));
      return;
    }
    if (this.closed) return;
    this.slide = slide;
    this.#build(known);
    await this.stage.pane.ready;
    if (!this.closed) this.update(route);
  }

  #build(known) {
    const { slide } = this;
    const panes = h("div", { class: "panes" });
    const bar = h("div", { class: "stage-bar" });
    const side = h("aside", { class: "side", "aria-label": "Panels of this slide" });
    refill(this.main, h("div", { class: "slide-page" }, h("section", { class: "stage", "aria-label": "Viewer" }, h("h1", { class: "unseen" }, `Slide ${slide.slide_id}`), bar, panes), side));
    const listed = known.map((each) => each.space); // in the server's order: the fullest first, baselines last
    const space = [remembered("space", null), ...listed, ...slide.spaces].find((each) => slide.spaces.includes(each)) ?? null;
    this.stage = new Stage(panes, slide, space);
    this.tabs = new Tabs("Panels of this slide");
    side.append(this.tabs.element);
    const { stage, tabs } = this;
    tabs.add("slide", "Slide", new FactsPanel(stage, { similarSlides: () => this.similar.searchSlides() }));
    this.similar = tabs.add("similar", "Similar", new SimilarPanel(stage, { front: () => tabs.choose("similar"), layers: () => this.layers }));
    this.layers = tabs.add("layers", "Layers", new LayersPanel(stage));
    this.reports = tabs.add("reports", "Reports", new ReportsPanel(stage));
    this.annotations = tabs.add("annotations", "Annotate", new AnnotationsPanel(stage, { front: () => tabs.choose("annotations") }));
    this.ask = tabs.add("ask", "Ask", new AskPanel(stage));
    tabs.start();
    this.toolbar = new Toolbar(bar, stage);
    for (const name of ["moved", "beside", "query"]) stage.addEventListener(name, () => this.#write());
    this.#keys = bind(this.#bindings());
  }

  #bindings() {
    const { stage, tabs } = this;
    const { pane } = stage;
    return {
      "+": () => pane.zoomBy(1.5),
      "=": () => pane.zoomBy(1.5),
      "-": () => pane.zoomBy(1 / 1.5),
      h: () => pane.home(),
      g: () => stage.toggleGrid(),
      s: () => {
        stage.pick(pane.view);
        say("Searching for the patch in the middle of the view.");
      },
      l: () => stage.setTool("lasso"),
      p: () => stage.setTool("polygon"),
      r: () => stage.setTool("rectangle"),
      f: () => stage.setTool("freehand"),
      v: () => stage.setTool("pan"),
      x: () => this.similar.toggleSamePatient(),
      n: () => this.similar.step(1),
      b: () => this.similar.step(-1),
      u: () => stage.toggleLink(),
      "]": () => tabs.step(1),
      "[": () => tabs.step(-1),
      Enter: () => stage.finishDrawing(),
      Escape: () => (stage.tool === "pan" ? stage.closeBeside() : stage.setTool("pan")),
    };
  }

  /** Go where the address says. */
  update({ parameters }) {
    if (!this.stage) return;
    const number = (name) => (parameters.has(name) && Number.isFinite(Number(parameters.get(name))) ? Number(parameters.get(name)) : null);
    const [x, y, w, height] = ["x", "y", "w", "h"].map(number);
    const [cx, cy, zoom] = ["cx", "cy", "zoom"].map(number);
    const { stage } = this;
    const placed = x !== null && y !== null;
    const box = placed && w > 0 && height > 0 ? { x, y, w, h: height } : null;
    this.#link = box;
    stage.markLink(box);
    if (cx !== null && cy !== null && zoom > 0) stage.pane.show({ x: cx, y: cy, zoom }, { at_once: true });
    else if (box) stage.pane.showBox(box, { at_once: true });
    else if (placed) stage.pane.show({ x, y, zoom: zoom > 0 ? zoom : null }, { at_once: true });
    if (placed && number("find")) stage.pick(box ? { x: x + w / 2, y: y + height / 2 } : { x, y });
    if (parameters.get("similar") === "slides") this.similar.searchSlides();
    const [vx, vy, vw, vh] = ["vx", "vy", "vw", "vh"].map(number);
    const beside = parameters.get("vs");
    if (beside) stage.openBeside({ slide_id: beside, x: vx, y: vy, footprint: vw > 0 && vh > 0 ? [vw, vh] : null }).catch(tell);
    else stage.closeBeside();
  }

  /** Let the address say what is seen, so that it can be sent to somebody. */
  #write() {
    if (this.closed || !this.stage.pane.osd.isOpen()) return;
    const { stage, slide } = this;
    const { x, y, zoom } = stage.pane.target;
    const query = stage.query?.body;
    const found = query?.slide === slide.slide_id && query.x !== undefined;
    const place = found ? { x: query.x, y: query.y, find: 1 } : (this.#link ?? {});
    const beside = stage.beside && { vs: stage.beside.slide.slide_id, ...prefixed(stage.besideBox) };
    replace(link("slides", slide.slide_id, { ...place, cx: Math.round(x), cy: Math.round(y), zoom: Number(zoom.toPrecision(4)), ...beside }));
  }

  close() {
    this.closed = true;
    this.#keys?.();
    this.similar?.close();
    this.stage?.close();
  }
}

function prefixed(box) {
  return box && { vx: box.x, vy: box.y, vw: box.w, vh: box.h };
}
