// What is known of a slide.

import { h, put } from "../dom.js";
import { counted, length, shown, trimmed, whole } from "../format.js";
import { spaceName } from "../lake.js";
import { note } from "../notices.js";
import { link } from "../router.js";

export class FactsPanel {
  constructor(stage, { similarSlides }) {
    const { slide } = stage;
    const { mpp } = slide;
    this.element = h("div", { class: "facts" });
    put(
      this.element,
      h("h2", {}, slide.slide_id),
      list({
        Patient: h("a", { href: link("slides", null, { query: slide.patient_id }) }, slide.patient_id),
        Size: mpp ? `${length(slide.width * mpp)} × ${length(slide.height * mpp)}` : null,
        Pixels: `${whole(slide.width)} × ${whole(slide.height)}`,
        Resolution: mpp ? `${trimmed(mpp)} µm/px` : "unknown: no scale is shown",
        Objective: slide.objective_power ? `${trimmed(slide.objective_power)}×` : null,
        Patches: slide.patches ? whole(slide.patches) : "none",
      }),
      slide.pixels_note && slide.pixels !== "slide" && note(slide.pixels_note),
      h("h3", {}, "Metadata"),
      Object.keys(slide.metadata).length ? list(slide.metadata) : note("None. “slidelake metadata” adds columns."),
      h("h3", {}, "Embeddings"),
      slide.spaces.length ? h("ul", { class: "plain-list" }, slide.spaces.map((space) => h("li", { title: space }, spaceName(space), aggregators(slide, space)))) : note("None: ingest this slide with an encoder to search from it."),
      slide.aggregators.length > 0 && h("button", { type: "button", onclick: similarSlides }, "Find similar slides"),
      slide.reports.length > 0 && h("p", { class: "muted" }, `${counted(slide.reports.length, "report")} of this patient: see Reports.`),
    );
  }
}

function aggregators(slide, space) {
  const names = slide.aggregators.filter((each) => each.space === space).map((each) => each.aggregator_id);
  return names.length ? h("span", { class: "muted" }, ` · pooled by ${names.join(", ")}`) : null;
}

function list(facts) {
  return h(
    "dl",
    {},
    Object.entries(facts)
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => [h("dt", {}, name), h("dd", {}, value instanceof Node ? value : shown(value))]),
  );
}
