// Text search: passages of reports, and patches where an embedding understands text.

import { post } from "../api.js";
import { choice, field, h, put, refill } from "../dom.js";
import { counted } from "../format.js";
import { spaceName, spaces } from "../lake.js";
import { emptyBox, errorBox, note, say } from "../notices.js";
import { remember, remembered } from "../prefs.js";
import { go, inPage, link } from "../router.js";
import { gallery } from "../slide/gallery.js";
import { questionForm } from "./question.js";

export function showSearch(main, route) {
  const page = new SearchPage(main);
  page.update(route);
  return { title: "Search", update: (next) => page.update(next), close: () => page.close() };
}

/** A view of its own for questions about the whole archive. */
export function showAsk(main) {
  refill(main, h("div", { class: "ask-page" }, h("h1", {}, "Ask the archive"), h("p", { class: "muted" }, "Answers are made from the reports in this lake; every statement names its source."), questionForm(() => ({})).element));
  return { title: "Ask", update: () => null, close: () => null };
}

class SearchPage {
  #controller = null;

  constructor(main) {
    this.title = h("h1", {});
    this.reports = h("section", { class: "search-reports", "aria-label": "Reports" });
    this.patches = h("section", { class: "search-patches", "aria-label": "Patches" });
    refill(main, h("div", { class: "search-page" }, this.title, h("div", { class: "search-columns" }, this.reports, this.patches)));
  }

  update({ parameters }) {
    const text = (parameters.get("text") ?? "").trim();
    this.#controller?.abort();
    this.#controller = new AbortController();
    document.getElementById("find-text").value = text;
    refill(this.title, text ? `“${text}”` : "Search");
    refill(this.reports);
    refill(this.patches);
    if (!text) {
      refill(this.reports, emptyBox("Type what you look for.", "The box at the top searches the reports, and patches where an embedding understands text. / puts the cursor there."));
      return;
    }
    this.#searchReports(text, this.#controller.signal);
    this.#offerPatches(text, this.#controller.signal);
  }

  async #searchReports(text, signal) {
    refill(this.reports, h("h2", {}, "Reports"), h("p", { class: "loading" }, "Searching…"));
    try {
      const { hits, notes = [] } = await post("api/search/reports", { text, k: 30 }, { signal });
      refill(this.reports, h("h2", {}, "Reports"), notes.map((line) => note(line)));
      if (!hits.length) put(this.reports, emptyBox("No report matches.", "Other words may; “slidelake reports list” shows what is there."));
      else put(this.reports, h("ol", { class: "passages" }, hits.map((hit) => passage(hit))));
      say(`${counted(hits.length, "passage")} found in reports.`);
    } catch (error) {
      if (error.name !== "AbortError") refill(this.reports, h("h2", {}, "Reports"), errorBox(error, () => this.#searchReports(text, signal)));
    }
  }

  /** Patches are looked for when asked to: only embeddings that were trained with text understand it. */
  async #offerPatches(text, signal) {
    const title = h("h2", {}, "Patches");
    try {
      const known = await spaces();
      if (!known.length) {
        refill(this.patches, title, note("This lake has no embedding yet."));
        return;
      }
      const names = known.map(({ space }) => space);
      let space = names.includes(remembered("textSpace", null)) ? remembered("textSpace", null) : names[0];
      const found = h("div", { class: "result" });
      const search = () => this.#searchPatches(text, space, found, signal);
      refill(
        this.patches,
        title,
        h("div", { class: "text-space" }, field("Embedding (one that was trained with text)", choice(names.map((each) => [each, spaceName(each)]), space, (chosen) => (space = chosen))), h("button", { type: "button", onclick: search }, "Search patches")),
        found,
      );
      if (space === remembered("textSpace", null)) search();
    } catch (error) {
      refill(this.patches, title, errorBox(error, () => this.#offerPatches(text, signal)));
    }
  }

  async #searchPatches(text, space, found, signal) {
    try {
      const { hits, notes = [] } = await post("api/search/patches", { query: { text }, space, k: 30 }, { signal });
      remember("textSpace", space); // It understood: next time it is asked at once.
      refill(found, notes.map((line) => note(line)), gallery(hits, openAlone));
      say(`${counted(hits.length, "patch", "patches")} found.`);
    } catch (error) {
      if (error.name !== "AbortError") refill(found, errorBox(error));
    }
  }

  close() {
    this.#controller?.abort();
  }
}

function openAlone(hit) {
  const [w, height] = hit.footprint ?? [null, null];
  go(link("slides", hit.slide_id, { x: hit.x, y: hit.y, w, h: height }));
}

function passage(hit) {
  const target = inPage(hit.link) ?? link("reports", hit.report_id, { start: hit.start, end: hit.end });
  const slides = hit.slide_ids ?? [];
  return h(
    "li",
    { class: "passage-hit" },
    h("a", { class: "passage-head", href: target }, hit.report_id, hit.section && h("span", { class: "muted" }, ` · ${hit.section}`)),
    h("p", {}, hit.text),
    h("p", { class: "muted" }, `patient ${hit.patient_id}`, slides.length > 0 && [" · ", slides.map((id, index) => [index > 0 && ", ", h("a", { href: link("slides", id) }, id)])]),
  );
}
