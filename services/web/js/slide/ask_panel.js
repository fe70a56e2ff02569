// A question about this slide, or about the patch or region that was searched for.

import { choice, field, h, refill } from "../dom.js";
import { questionForm } from "../search/question.js";

export class AskPanel {
  #started = false;

  constructor(stage) {
    this.stage = stage;
    this.element = h("div", { class: "ask" });
  }

  shown() {
    if (this.#started) return;
    this.#started = true;
    let about = "query";
    const own = h("input", { type: "checkbox" });
    const scope = choice([["query", "the searched place, else this slide"], ["slide", "this slide"], ["all", "the whole archive"]], about, (value) => (about = value));
    const context = () => this.#context(about, own.checked);
    const { element } = questionForm(context, {
      extras: [field("About", scope), h("label", { class: "check" }, own, h("span", {}, "Leave out this patient's own report"))],
      place: this.stage.slide.slide_id,
    });
    refill(this.element, element);
  }

  #context(about, withoutOwn) {
    if (about === "all") return {};
    const { slide, query, space } = this.stage;
    const asked = { slide: slide.slide_id, space, exclude_own_report: withoutOwn };
    const place = about === "query" ? (query?.body ?? {}) : {};
    if (place.region) return { ...asked, region: { polygon: place.region.polygon } };
    if (place.x !== undefined) return { ...asked, x: place.x, y: place.y };
    return asked;
  }
}
