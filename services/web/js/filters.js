// Filters by metadata: one control a column, made from what the server says the column holds.

import { field, h, put, refill } from "./dom.js";

/**
 * A form over `columns`; calls `changed()` after the person changed it. `where` is the filter as the search
 * routes take it ({site: ["lung"], age: {">=": 50}}), `terms` as the slide list takes it ("site in lung").
 */
export class Filters {
  #where = {};

  constructor(columns, changed, where = {}) {
    this.#where = structuredClone(where);
    this.changed = changed;
    this.columns = columns;
    this.element = h("div", { class: "filters" });
    this.#build();
  }

  get where() {
    return structuredClone(this.#where);
  }

  get terms() {
    return Object.entries(this.#where).flatMap(([name, value]) => {
      if (Array.isArray(value)) return [`${name} in ${value.map(quoted).join(",")}`];
      return Object.entries(value).map(([operator, bound]) => `${name}${operator}${bound}`);
    });
  }

  get count() {
    return Object.keys(this.#where).length;
  }

  clear() {
    this.#where = {};
    this.#build();
    this.changed();
  }

  #build() {
    refill(this.element);
    for (const column of this.columns) {
      const control = column.kind === "number" || column.kind === "integer" ? this.#range(column) : this.#values(column);
      put(this.element, control);
    }
    put(
      this.element,
      this.columns.length
        ? h("button", { type: "button", class: "quiet", onclick: () => this.clear() }, "Clear filters")
        : h("p", { class: "note" }, "No metadata column to filter by. Add some with “slidelake metadata”."),
    );
  }

  #set(name, value) {
    const empty = value === null || (Array.isArray(value) ? !value.length : !Object.keys(value).length);
    if (empty) delete this.#where[name];
    else this.#where[name] = value;
    this.changed();
  }

  #range({ name, kind }) {
    const bound = (operator, label) => {
      const input = h("input", {
        type: "number",
        step: kind === "integer" ? "1" : "any",
        value: this.#where[name]?.[operator] ?? "",
        placeholder: label,
        "aria-label": `${name} ${label}`,
        onchange: () => {
          const value = { ...this.#where[name] };
          if (input.value === "") delete value[operator];
          else value[operator] = Number(input.value);
          this.#set(name, value);
        },
      });
      return input;
    };
    return h("fieldset", { class: "filter range" }, h("legend", {}, name), bound(">=", "from"), bound("<=", "to"));
  }

  #values(column) {
    const { name, kind } = column;
    const values = column.values ?? (kind === "boolean" ? [true, false] : null);
    const chosen = new Set(this.#where[name] ?? []);
    if (!values) {
      const input = h("input", {
        type: "text",
        value: [...chosen][0] ?? "",
        placeholder: "is exactly…",
        onchange: () => this.#set(name, input.value ? [input.value] : null),
      });
      return field(name, input);
    }
    const boxes = values.map((value) => {
      const box = h("input", {
        type: "checkbox",
        checked: chosen.has(value),
        onchange: () => {
          if (box.checked) chosen.add(value);
          else chosen.delete(value);
          this.#set(name, [...chosen]);
          summary.textContent = title(name, chosen);
        },
      });
      return h("label", { class: "check" }, box, h("span", {}, value === true ? "yes" : value === false ? "no" : String(value)));
    });
    const summary = h("summary", {}, title(name, chosen));
    return h("details", { class: "filter", open: chosen.size > 0 || values.length <= 6 }, summary, h("div", { role: "group", "aria-label": name }, boxes));
  }
}

function title(name, chosen) {
  return chosen.size ? `${name} (${chosen.size})` : name;
}

/** A value as the slide list's filters read it, whatever characters it has. */
function quoted(value) {
  return `"${String(value).replaceAll('"', '""')}"`;
}
