// The reports of the slide's patient, read beside the slide.

import { get } from "../api.js";
import { h, refill } from "../dom.js";
import { emptyBox, errorBox } from "../notices.js";
import { reportText } from "../reports/report_text.js";
import { link } from "../router.js";

export class ReportsPanel {
  #loaded = false;

  constructor(stage) {
    this.stage = stage;
    this.element = h("div", { class: "reports" });
  }

  shown() {
    if (!this.#loaded) this.#load();
  }

  async #load() {
    const { patient_id: patient } = this.stage.slide;
    refill(this.element, h("p", { class: "loading" }, "Reading the reports…"));
    try {
      const reports = await get("api/reports", { parameters: { patient } });
      this.#loaded = true;
      if (!reports.length) {
        refill(this.element, emptyBox(`No report of patient ${patient} is in this lake.`, "Add reports with “slidelake reports add”."));
        return;
      }
      refill(this.element, reports.map((each, index) => this.#report(each, index === 0)));
    } catch (error) {
      refill(this.element, errorBox(error, () => this.#load()));
    }
  }

  #report({ report_id: id, title }, open) {
    const body = h("div", {});
    const box = h(
      "details",
      { class: "report", ontoggle: () => box.open && !body.childElementCount && this.#read(id, body) },
      h("summary", {}, title || id),
      body,
    );
    box.open = open; // Fires "toggle", which reads the text.
    return box;
  }

  async #read(id, body) {
    try {
      const report = await get(`api/reports/${encodeURIComponent(id)}`);
      refill(body, reportText(report), h("p", {}, h("a", { href: link("reports", id) }, "Open on a page of its own")));
    } catch (error) {
      refill(body, errorBox(error, () => this.#read(id, body)));
    }
  }
}
