// Similar patches (or slides) across the archive: the query, its settings, the gallery.

import { post, slidePath, url } from "../api.js";
import { choice, field, h, refill } from "../dom.js";
import { Filters } from "../filters.js";
import { counted, whole } from "../format.js";
import { columns, spaceName } from "../lake.js";
import { emptyBox, errorBox, note, say, tell } from "../notices.js";
import { remember, remembered } from "../prefs.js";
import { gallery, mark } from "./gallery.js";

const COUNTS = [10, 20, 50, 100, 200];

export class SimilarPanel {
  #controller = null;
  #hits = [];
  #open = -1;
  #slides = false; // slides like this one, instead of patches

  constructor(stage, { front, layers }) {
    Object.assign(this, { stage, front, layers });
    this.k = remembered("k", 20);
    this.query = h("div", { class: "query" });
    this.result = h("div", { class: "result", "aria-busy": "false" });
    this.others = h("input", { type: "checkbox", checked: remembered("others", true), onchange: () => this.#again() });
    this.filterTitle = h("summary", {}, "Filters");
    this.filterBody = h("div", {});
    const { slide } = stage;
    this.element = h(
      "div",
      { class: "similar" },
      this.query,
      h(
        "div",
        { class: "settings" },
        slide.spaces.length > 1 && field("Embedding", choice(slide.spaces.map((space) => [space, spaceName(space)]), stage.space, (space) => this.#space(space))),
        field("Hits", choice(COUNTS.map((k) => [String(k), String(k)]), String(this.k), (k) => this.#count(Number(k))), { inline: false }),
        h("label", { class: "check" }, this.others, h("span", {}, "Leave out this patient")),
        h("details", { class: "filter-box" }, this.filterTitle, this.filterBody),
      ),
      this.result,
    );
    this.#start();
    this.#columns();
    stage.addEventListener("query", () => this.#asked());
    stage.addEventListener("beside", () => stage.beside || this.#mark(-1));
  }

  #start() {
    refill(this.result, emptyBox("Click a patch to find its like.", "Click on the slide, or draw around a region with the lasso (L). S searches for the patch in the middle of the view."));
  }

  async #columns() {
    try {
      this.filters = new Filters(await columns(this.stage.space), () => this.#filtered(), remembered("where", {}));
      refill(this.filterBody, this.filters.element);
      this.#filterCount();
    } catch (error) {
      refill(this.filterBody, errorBox(error, () => this.#columns()));
    }
  }

  #filterCount() {
    this.filterTitle.textContent = this.filters.count ? `Filters (${this.filters.count})` : "Filters";
  }

  #filtered() {
    this.#filterCount();
    remember("where", this.filters.where);
    this.#again();
  }

  #space(space) {
    remember("space", space);
    this.stage.space = space;
    this.#columns();
    this.#again();
  }

  #count(k) {
    this.k = k;
    remember("k", k);
    this.#again();
  }

  toggleSamePatient() {
    this.others.checked = !this.others.checked;
    this.#again();
  }

  #asked() {
    this.#slides = false;
    this.front();
    this.#search();
  }

  searchSlides() {
    this.#slides = true;
    this.front();
    this.#search();
  }

  #again() {
    remember("others", this.others.checked);
    if (this.#slides || this.stage.query) this.#search();
  }

  #body() {
    const { stage } = this;
    const common = { space: stage.space, k: this.k, exclude_same_patient: this.others.checked };
    if (this.filters?.count) common.where = this.filters.where;
    if (!this.#slides) return ["api/search/patches", { query: stage.query.body, ...common }];
    return ["api/search/slides", { query: { slide: stage.slide.slide_id }, aggregator: this.#aggregator(), ...common }];
  }

  /** The pooling that slides are compared by: the one that was chosen, else the mean, which most slides have. */
  #aggregator() {
    const names = this.#aggregators();
    return names.find((name) => name === this.pooling) ?? names.find((name) => name.startsWith("mean")) ?? names[0] ?? "mean";
  }

  #aggregators() {
    const { slide, space } = this.stage;
    return slide.aggregators.filter((each) => each.space === space).map((each) => each.aggregator_id);
  }

  async #search() {
    this.#controller?.abort();
    const { signal } = (this.#controller = new AbortController());
    const [route, body] = this.#body();
    this.result.setAttribute("aria-busy", "true");
    this.#open = -1;
    try {
      this.#show(await post(route, body, { signal }));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#hits = [];
      refill(this.query);
      refill(this.result, errorBox(error, () => this.#search()));
      say(`The search failed: ${error.message}`);
    }
    this.result.setAttribute("aria-busy", "false");
  }

  #show(answer) {
    this.#hits = answer.hits;
    this.#describe(answer);
    const count = this.#slides ? counted(answer.hits.length, "slide") : counted(answer.hits.length, "patch", "patches");
    const others = new Set(answer.hits.map((hit) => hit.patient_id)).size;
    refill(
      this.result,
      h("p", { class: "result-line" }, `${count} of ${counted(others, "patient")} · ${answer.exact ? "exact" : "approximate"} · ${whole(answer.took_ms)} ms`),
      (answer.notes ?? []).map((line) => note(line)),
      answer.hits.length
        ? gallery(answer.hits, (hit) => this.#openHit(answer.hits.indexOf(hit)))
        : emptyBox("Nothing was found.", "The filters, or the patient left out, leave no patch to compare with."),
    );
    say(`${count} found, the best with score ${answer.hits[0]?.score.toFixed(3) ?? "none"}.`);
  }

  /** The query's own picture and place, as the server understood it. */
  #describe({ query, space }) {
    const { stage } = this;
    const facts = [];
    let picture = null;
    if (this.#slides) {
      const names = this.#aggregators().map((name) => [name, name]);
      const choose = (name) => {
        this.pooling = name;
        this.#search();
      };
      facts.push(h("strong", {}, "Slides like this one"), names.length > 1 ? field("Pooled by", choice(names, this.#aggregator(), choose)) : null);
    } else if (query.kind === "patch") {
      const [w, height] = stage.footprint() ?? [0, 0];
      const size = { w, h: height };
      stage.markQuery({ box: { x: query.x, y: query.y, ...size } });
      picture = h("img", { src: url(slidePath(query.slide_id ?? stage.slide.slide_id, "/patch.jpeg"), { x: query.x, y: query.y, space }), alt: "The patch that was searched for" });
      facts.push(h("strong", {}, "Patches like this one"), h("span", { class: "muted" }, `at ${whole(query.x)}, ${whole(query.y)} px`));
    } else if (query.kind === "region") facts.push(h("strong", {}, "Patches like this region"), h("span", { class: "muted" }, counted(query.patches ?? 0, "patch", "patches")));
    else facts.push(h("strong", {}, `Patches like the ${query.kind}`));
    const onSlide = !this.#slides && h("button", { type: "button", class: "quiet", onclick: () => this.layers().showSimilarity() }, "Show similarity on the slide");
    refill(this.query, picture, h("div", { class: "query-facts" }, facts, onSlide));
  }

  async #openHit(index) {
    this.#mark(index);
    try {
      await this.stage.openBeside(this.#hits[index]);
    } catch (error) {
      tell(error);
    }
  }

  #mark(index) {
    this.#open = index;
    mark(this.result, index);
  }

  /** Open the next hit, or the one before. */
  step(by) {
    if (!this.#hits.length) return;
    this.#openHit((this.#open + by + this.#hits.length) % this.#hits.length);
  }

  close() {
    this.#controller?.abort();
  }
}
