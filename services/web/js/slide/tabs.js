// Tabs of the side panel, with the keys that screen readers expect.

import { freshId, h } from "../dom.js";
import { remember, remembered } from "../prefs.js";

export class Tabs {
  #tabs = [];
  #chosen = null;

  constructor(label) {
    this.list = h("div", { class: "tab-list", role: "tablist", "aria-label": label });
    this.body = h("div", { class: "tab-body" });
    this.element = h("div", { class: "tabs" }, this.list, this.body);
    this.list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.step(step);
      this.#chosen.tab.focus();
    });
  }

  /** `panel` has an `element`, and may have shown(), called whenever its tab comes to the front. */
  add(name, label, panel) {
    const id = freshId("tab");
    const tab = h("button", { type: "button", role: "tab", id, class: "tab", "aria-selected": "false", "aria-controls": `${id}-panel`, tabIndex: -1, onclick: () => this.choose(name) }, label);
    const body = h("div", { role: "tabpanel", id: `${id}-panel`, "aria-labelledby": id, class: "tab-panel", hidden: true }, panel.element);
    this.list.append(tab);
    this.body.append(body);
    this.#tabs.push({ name, tab, body, panel });
    return panel;
  }

  choose(name, { keep = true } = {}) {
    const wanted = this.#tabs.find((each) => each.name === name) ?? this.#tabs[0];
    if (wanted === this.#chosen) return;
    for (const each of this.#tabs) {
      const on = each === wanted;
      each.tab.setAttribute("aria-selected", String(on));
      each.tab.tabIndex = on ? 0 : -1;
      each.body.hidden = !on;
    }
    this.#chosen = wanted;
    if (keep) remember("tab", wanted.name);
    wanted.panel.shown?.();
  }

  start() {
    this.choose(remembered("tab", "slide"), { keep: false });
  }

  step(by) {
    const at = this.#tabs.indexOf(this.#chosen);
    this.choose(this.#tabs[(at + by + this.#tabs.length) % this.#tabs.length].name);
  }

  get current() {
    return this.#chosen?.name;
  }
}
