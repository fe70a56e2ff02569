// Annotations: drawn, named, classed, saved to the server, imported and exported as GeoJSON.

import { getTagged, putTagged, slidePath } from "../api.js";
import { boxOf, classOf, colourOf, featureOf, nameOf, read, setClass, setName, write } from "../annotations/collection.js";
import { freshId, h, refill } from "../dom.js";
import { counted } from "../format.js";
import { icon } from "../icons.js";
import { UsageProblem, emptyBox, errorBox, note, say, tell } from "../notices.js";
import { mayWrite } from "../session.js";
import { AnnotationLayer } from "../viewer/annotation_layer.js";

// What was drawn and not saved yet, by slide, with the ETag it was made from: going to another slide and back
// loses nothing, and does not hide that somebody else saved in between.
const unsaved = new Map();
const CONFLICTS = new Set([409, 412, 428]);
const SHAPES = [["freehand", "Freehand (F)"], ["polygon", "Polygon (P)"], ["rectangle", "Rectangle (R)"]];

addEventListener("beforeunload", (event) => {
  if (unsaved.size) event.preventDefault();
});

export class AnnotationsPanel {
  #lastClass = "";

  constructor(stage, { front }) {
    Object.assign(this, { stage, front });
    this.layer = stage.pane.overlay.add(new AnnotationLayer());
    this.trouble = h("div", { role: "alert" });
    this.list = h("ul", { class: "annotation-list", "aria-label": "Annotations" });
    this.state = h("p", { class: "muted", role: "status" });
    this.classes = h("datalist", { id: freshId("classes") });
    this.buttons = SHAPES.map(([shape, label]) => [shape, h("button", { type: "button", title: label, "aria-pressed": "false", onclick: () => stage.setTool(stage.tool === shape ? "pan" : shape) }, icon(shape), label.split(" (")[0])]);
    this.save = h("button", { type: "button", class: "primary", onclick: () => this.#save() }, "Save");
    this.file = h("input", { type: "file", accept: ".geojson,.json,application/geo+json,application/json", class: "unseen", tabIndex: -1, "aria-label": "GeoJSON file to import", onchange: () => this.#import() });
    this.visible = h("input", { type: "checkbox", checked: true, onchange: () => this.#show(this.visible.checked) });
    this.element = h(
      "div",
      { class: "annotations" },
      h("div", { class: "button-group wide", role: "group", "aria-label": "Draw" }, this.buttons.map(([, button]) => button)),
      this.list,
      this.classes,
      this.state,
      this.trouble,
      h("div", { class: "buttons" }, h("label", { class: "check" }, this.visible, h("span", {}, "Shown")), h("span", { class: "spring" }), h("button", { type: "button", onclick: () => this.file.click() }, "Import…"), this.file, h("button", { type: "button", onclick: () => this.#export() }, "Export"), this.save),
    );
    stage.addEventListener("tool", () => this.#tools());
    stage.addEventListener("drawn", ({ detail }) => this.#drawn(detail));
    document.addEventListener("slidelake:session", () => this.#tellState());
    this.#load();
  }

  get features() {
    return this.layer.features;
  }

  get #path() {
    return slidePath(this.stage.slide.slide_id, "/annotations");
  }

  async #load() {
    const kept = unsaved.get(this.stage.slide.slide_id);
    try {
      if (kept) {
        this.layer.features = kept.features;
        this.tag = kept.tag;
      } else {
        const { value, tag } = await getTagged(this.#path);
        this.layer.features = read(value);
        this.tag = tag;
      }
      this.loaded = true;
    } catch (error) {
      refill(this.trouble, errorBox(error, () => this.#load()));
      return;
    }
    refill(this.trouble);
    this.#refresh();
  }

  #tools() {
    for (const [shape, button] of this.buttons) button.setAttribute("aria-pressed", String(this.stage.tool === shape));
    if (SHAPES.some(([shape]) => shape === this.stage.tool)) this.front();
  }

  #drawn(points) {
    if (!this.loaded) {
      tell(new UsageProblem("the annotations of this slide are not loaded, and saving would replace them", "Load them first: see the Annotations panel."));
      return;
    }
    const feature = featureOf(points, { className: this.#lastClass });
    this.layer.features = [...this.features, feature];
    this.layer.chosen = feature;
    this.#changed();
    this.front();
    say("Annotation drawn. Give it a name and a class.");
    this.list.lastElementChild?.querySelector("input")?.focus({ preventScroll: true });
    this.list.lastElementChild?.scrollIntoView({ block: "nearest" });
  }

  #changed({ rows = true } = {}) {
    unsaved.set(this.stage.slide.slide_id, { features: this.features, tag: this.tag });
    if (rows) this.#refresh();
    else this.#tellState();
  }

  #refresh() {
    refill(this.list, this.features.map((feature) => this.#row(feature)));
    refill(this.classes, [...new Set(this.features.map(classOf).filter(Boolean))].map((value) => h("option", { value })));
    this.#tellState();
    this.stage.pane.overlay.refresh();
  }

  #tellState() {
    const dirty = unsaved.has(this.stage.slide.slide_id);
    this.save.disabled = !dirty || !mayWrite() || !this.loaded;
    this.save.title = mayWrite() ? "" : "Your token may read, not write: export the annotations instead.";
    if (!this.features.length && !dirty) refill(this.state, emptyBox("No annotation yet.", "Draw one with the buttons above, or import GeoJSON (QuPath's, too)."));
    else refill(this.state, `${counted(this.features.length, "annotation")}${dirty ? ", not saved yet" : ", saved"}`, dirty && !mayWrite() && note("Your token may read, not write: export them to keep them."));
  }

  #row(feature) {
    const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
    const paint = () => (swatch.style.background = `rgb(${colourOf(feature).join(" ")})`);
    paint();
    const name = h("input", { type: "text", value: nameOf(feature), placeholder: "Name", "aria-label": "Name", maxlength: 200, oninput: () => this.#edit(() => setName(feature, name.value.trim())) });
    const kind = h("input", {
      type: "text",
      value: classOf(feature),
      placeholder: "Class",
      "aria-label": "Class",
      maxlength: 200,
      list: this.classes.id,
      oninput: () => {
        this.#lastClass = kind.value.trim();
        this.#edit(() => setClass(feature, this.#lastClass));
        paint();
      },
    });
    return h(
      "li",
      { class: "annotation", onfocusin: () => this.#choose(feature), onpointerdown: () => this.#choose(feature) },
      swatch,
      name,
      kind,
      h("button", { type: "button", class: "bare", title: "Show on the slide", "aria-label": "Show on the slide", onclick: () => this.stage.pane.showBox(boxOf(feature), { share: 0.5 }) }, icon("target")),
      h("button", { type: "button", class: "bare", title: "Search for this region", "aria-label": "Search for this region", disabled: feature.geometry.type !== "Polygon", onclick: () => this.#search(feature) }, icon("search")),
      h("button", { type: "button", class: "bare", title: "Delete", "aria-label": "Delete this annotation", onclick: () => this.#delete(feature) }, icon("trash")),
    );
  }

  #edit(change) {
    change();
    this.layer.features = [...this.features]; // A save that is under way is then not of this state.
    this.#changed({ rows: false });
    this.stage.pane.overlay.refresh();
  }

  #choose(feature) {
    this.layer.chosen = feature;
    this.stage.pane.overlay.refresh();
  }

  #search(feature) {
    const polygon = feature.geometry.coordinates[0].slice(0, -1);
    this.stage.search({ body: { region: { slide: this.stage.slide.slide_id, polygon } }, polygon });
  }

  #delete(feature) {
    this.layer.features = this.features.filter((other) => other !== feature);
    if (this.layer.chosen === feature) this.layer.chosen = null;
    this.#changed();
    say("Annotation deleted; save to keep this.");
  }

  #show(visible) {
    this.layer.visible = visible;
    this.stage.pane.overlay.refresh();
  }

  async #save(tag = this.tag) {
    const { slide_id: slideId } = this.stage.slide;
    const saved = this.features;
    this.save.disabled = true;
    try {
      const answer = await putTagged(this.#path, write(saved), tag);
      this.tag = answer.tag;
      const still = unsaved.get(slideId);
      if (still?.features === saved) unsaved.delete(slideId);
      else if (still) still.tag = this.tag;
      refill(this.trouble, (answer.value.notes ?? []).map((line) => note(line)));
      say("Annotations saved.");
    } catch (error) {
      refill(this.trouble, errorBox(error), CONFLICTS.has(error.status) && this.#conflict());
    }
    this.#tellState();
  }

  /** Somebody else saved since these were read: the person says which are to stand. */
  #conflict() {
    const reload = () => {
      unsaved.delete(this.stage.slide.slide_id);
      this.#load();
    };
    return h(
      "div",
      { class: "buttons" },
      h("button", { type: "button", onclick: reload }, "Load theirs"),
      h("button", { type: "button", onclick: () => this.#save("*") }, "Save mine over theirs"),
    );
  }

  async #import() {
    const [file] = this.file.files;
    this.file.value = "";
    if (!file) return;
    try {
      const found = read(JSON.parse(await file.text()));
      this.layer.features = [...this.features, ...found];
      refill(this.trouble);
      this.#changed();
      say(`${counted(found.length, "annotation")} imported.`);
    } catch (error) {
      const problem = error instanceof SyntaxError ? "the file is not JSON" : error.message;
      refill(this.trouble, errorBox(new UsageProblem(`${file.name} was not imported: ${problem}`, "GeoJSON in level-0 pixels is read, as QuPath exports it.")));
    }
  }

  #export() {
    const address = URL.createObjectURL(new Blob([JSON.stringify(write(this.features), null, 1)], { type: "application/geo+json" }));
    const anchor = h("a", { href: address, download: `${this.stage.slide.slide_id}.geojson` });
    anchor.click();
    URL.revokeObjectURL(address);
    say("Annotations exported.");
  }
}
