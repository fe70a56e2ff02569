// The list of slides: search, filters, pages.

import { get } from "../api.js";
import { h, refill } from "../dom.js";
import { Filters } from "../filters.js";
import { counted, whole } from "../format.js";
import { icon } from "../icons.js";
import { columns } from "../lake.js";
import { emptyBox, errorBox, say } from "../notices.js";
import { go, link } from "../router.js";
import { slideCard } from "./slide_card.js";

const PAGE = 48; // slides a page, where the address says no other
const TYPING_PAUSE = 250; // ms

export function showSlides(main, route) {
  const page = new SlidesPage(main, route);
  return { title: "Slides", update: (next) => page.update(next), close: () => page.close() };
}

class SlidesPage {
  #controller = null;
  #timer = 0;

  constructor(main, route) {
    this.cards = h("ul", { class: "slide-cards", "aria-label": "Slides" });
    this.status = h("div", { class: "list-status" });
    this.pager = h("nav", { class: "pager", "aria-label": "Pages of slides" });
    this.side = h("div", { class: "list-filters" });
    this.query = h("input", {
      id: "slide-query",
      type: "search",
      placeholder: "Slide or patient…",
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#changed(), TYPING_PAUSE);
      },
    });
    refill(
      main,
      h(
        "div",
        { class: "list-page" },
        h("aside", { class: "list-side", "aria-label": "Search and filters" }, h("label", { htmlFor: "slide-query", class: "heading" }, "Find a slide"), this.query, h("h2", { class: "heading" }, "Filters"), this.side),
        h("section", { class: "list-main", "aria-label": "Slides" }, h("h1", { class: "unseen" }, "Slides"), this.status, this.cards, this.pager),
      ),
    );
    this.#start(route);
  }

  async #start(route) {
    let known = [];
    try {
      known = (await columns()).filter((column) => column.level === "slide");
    } catch (error) {
      refill(this.side, errorBox(error));
    }
    this.filters = new Filters(known, () => this.#changed(), readWhere(route.parameters));
    if (known.length || !this.side.childElementCount) refill(this.side, this.filters.element);
    this.update(route);
  }

  #changed() {
    this.#go({});
  }

  #go(more) {
    const limit = this.limit === PAGE ? null : this.limit;
    go(link("slides", null, { query: this.query.value.trim(), where: writeWhere(this.filters.where), limit, ...more }));
  }

  update(route) {
    if (!this.filters) return;
    this.query.value = route.parameters.get("query") ?? this.query.value;
    if (!route.parameters.has("query") && document.activeElement !== this.query) this.query.value = "";
    this.limit = Math.min(500, Math.max(1, Number(route.parameters.get("limit")) || PAGE));
    this.#load(Math.max(0, Number(route.parameters.get("offset")) || 0));
  }

  async #load(offset) {
    this.#controller?.abort();
    const { signal } = (this.#controller = new AbortController());
    const query = this.query.value.trim();
    try {
      const parameters = { offset, limit: this.limit, query, where: this.filters.terms };
      const found = await get("api/slides", { parameters, signal });
      this.#show(found, query);
    } catch (error) {
      if (error.name === "AbortError") return;
      refill(this.cards);
      refill(this.pager);
      refill(this.status, errorBox(error, () => this.#load(offset)));
    }
  }

  #show({ total, offset, slides }, query) {
    refill(this.cards, slides.map(slideCard));
    refill(this.pager);
    if (total === 0) {
      const narrowed = query || this.filters.count;
      refill(
        this.status,
        narrowed
          ? emptyBox("No slide matches.", "Change the search or clear the filters.")
          : emptyBox("This lake has no slides yet.", "Put some in with “slidelake ingest 'slides/*.svs' --store …”, or try “slidelake demo”. They appear here as they are done; no restart is needed."),
      );
      say("No slide matches.");
      return;
    }
    const text = total <= this.limit ? counted(total, "slide") : `${whole(offset + 1)}–${whole(offset + slides.length)} of ${counted(total, "slide")}`;
    refill(this.status, h("p", {}, text));
    say(text);
    if (total > this.limit) this.#page(total, offset);
  }

  #page(total, offset) {
    const { limit } = this;
    const to = (where, label, sign, able) =>
      h(
        "button",
        {
          type: "button",
          disabled: !able,
          "aria-label": label,
          onclick: () => {
            this.#go({ offset: where || null });
            document.getElementById("main").scrollTo(0, 0);
          },
        },
        icon(sign),
      );
    refill(
      this.pager,
      to(Math.max(0, offset - limit), "Previous page", "previous", offset > 0),
      h("span", {}, `Page ${whole(Math.floor(offset / limit) + 1)} of ${whole(Math.ceil(total / limit))}`),
      to(offset + limit, "Next page", "next", offset + limit < total),
    );
  }

  close() {
    clearTimeout(this.#timer);
    this.#controller?.abort();
  }
}

function writeWhere(where) {
  return Object.keys(where).length ? JSON.stringify(where) : null;
}

function readWhere(parameters) {
  try {
    const where = JSON.parse(parameters.get("where") ?? "{}");
    return where && typeof where === "object" && !Array.isArray(where) ? where : {};
  } catch {
    return {}; // A hand-written address: no filter then.
  }
}
