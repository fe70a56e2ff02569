// Heatmaps over the slide: quality columns, attention, similarity to the query. Several may lie over each other.

import { post, slidePath } from "../api.js";
import { choice, field, h, put, refill } from "../dom.js";
import { errorBox, note, say } from "../notices.js";
import { HeatmapLayer } from "../viewer/heatmap_layer.js";
import { legend } from "./legend.js";

const MEASURES = [["rank", "rank"], ["attention", "attention"], ["score", "raw score"]];

export class LayersPanel {
  #rows = [];

  constructor(stage) {
    this.stage = stage;
    this.element = h("div", { class: "layers" });
    this.#build();
    stage.addEventListener("space", () => this.#build());
    stage.addEventListener("query", () => this.#queryChanged());
    stage.addEventListener("layers", () => (this.grid.checked = stage.gridOn));
  }

  #build() {
    for (const row of this.#rows) row.drop();
    this.#rows = [];
    const { stage } = this;
    const { slide, space } = stage;
    this.grid = h("input", { type: "checkbox", checked: stage.gridOn, disabled: space === null, onchange: () => stage.toggleGrid() });
    refill(this.element, h("h2", {}, "Grid"), h("label", { class: "check" }, this.grid, h("span", {}, "Outlines of the patches")));
    if (space === null) {
      put(this.element, note("This slide has no patches: ingest it with an encoder to see layers."));
      return;
    }
    const grid = slide.grids.find((each) => each.grid_id === space.split("/")[0]);
    this.#section("Tissue and quality", (grid?.columns ?? []).map((column) => [named(column), () => ({ kind: "column", column: nameOf(column) })]), "No column was kept for this grid.");
    this.#attention(slide.aggregators.filter((each) => each.space === space && each.attention));
    put(this.element, h("h2", {}, "Similarity"));
    this.similarity = this.#row("Similarity to the query", () => ({ kind: "similarity", query: stage.query?.body }));
    this.similarity.enable(stage.query !== null);
    this.similarityNote = note("Search for a patch or a region first.");
    this.similarityNote.hidden = stage.query !== null;
    put(this.element, this.similarity.element, this.similarityNote);
  }

  #section(title, rows, none) {
    put(this.element, h("h2", {}, title));
    if (!rows.length) put(this.element, note(none));
    for (const [label, ask] of rows) put(this.element, this.#row(label, ask).element);
  }

  #attention(aggregators) {
    put(this.element, h("h2", {}, "Attention"));
    if (!aggregators.length) {
      put(this.element, note("No slide encoder with attention has been run: “slidelake embed” makes it."));
      return;
    }
    let show = "rank";
    const rows = [];
    for (const { aggregator_id: aggregator, branches } of aggregators) {
      for (let branch = 0; branch < branches; branch += 1) {
        const label = branches > 1 ? `${aggregator}, branch ${branch}` : aggregator;
        rows.push(this.#row(label, () => ({ kind: "attention", aggregator, branch, show })));
      }
    }
    const measure = choice(MEASURES, show, (value) => {
      show = value;
      for (const row of rows) row.again();
    });
    put(this.element, field("Show as", measure, { inline: false }), rows.map((row) => row.element));
  }

  #row(label, ask) {
    const row = new LayerRow(this.stage, label, ask);
    this.#rows.push(row);
    return row;
  }

  #queryChanged() {
    if (!this.similarity) return;
    this.similarity.enable(true);
    this.similarityNote.hidden = true;
    this.similarity.again();
  }

  /** Put the heatmap of likeness to the query on the slide. */
  showSimilarity() {
    this.similarity?.turn(true);
    say("Similarity to the query is shown on the slide.");
  }
}

/** One layer: a box to tick; once ticked an opacity and a legend. */
class LayerRow {
  #layer = null;
  #turn = 0;
  #opacity = 0.6;

  constructor(stage, label, ask) {
    Object.assign(this, { stage, label, ask });
    this.box = h("input", { type: "checkbox", onchange: () => this.#changed() });
    this.detail = h("div", { class: "layer-detail" });
    this.element = h("div", { class: "layer" }, h("label", { class: "check" }, this.box, h("span", {}, label)), this.detail);
  }

  enable(able) {
    this.box.disabled = !able;
  }

  turn(on) {
    this.box.checked = on;
    this.#changed();
  }

  /** Ask anew if it is shown: the query or the measure changed. */
  again() {
    if (this.box.checked) this.#changed();
  }

  drop() {
    this.#turn += 1;
    if (!this.#layer) return;
    this.stage.pane.overlay.drop(this.#layer);
    this.#layer.close();
    this.#layer = null;
  }

  async #changed() {
    this.drop();
    refill(this.detail);
    if (!this.box.checked) return;
    const turn = this.#turn;
    const { stage } = this;
    try {
      const told = await post(slidePath(stage.slide.slide_id, "/heatmap"), { space: stage.space, ...this.ask() });
      const layer = await HeatmapLayer.from(told);
      if (turn !== this.#turn || stage.closed) return layer.close();
      layer.opacity = this.#opacity;
      this.#layer = stage.pane.overlay.add(layer);
      refill(this.detail, this.#slider(), legend(told), (told.notes ?? []).map((line) => note(line)));
      say(`${told.label} is shown.`);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.box.checked = false;
      refill(this.detail, errorBox(error));
    }
    return undefined;
  }

  #slider() {
    const slider = h("input", {
      type: "range",
      min: 0,
      max: 100,
      value: String(Math.round(this.#opacity * 100)),
      "aria-label": `Opacity of ${this.label}`,
      oninput: () => {
        this.#opacity = Number(slider.value) / 100;
        if (this.#layer) this.#layer.opacity = this.#opacity;
        this.stage.pane.overlay.refresh();
      },
    });
    return h("div", { class: "opacity" }, h("span", { class: "muted" }, "Opacity"), slider);
  }
}

const nameOf = (column) => (typeof column === "string" ? column : column.name);
const named = (column) => nameOf(column).replaceAll("_", " ");
