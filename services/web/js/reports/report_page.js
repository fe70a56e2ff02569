// One report, whole: its text, the passage that a citation names, the slides it belongs to.

import { get } from "../api.js";
import { h, refill } from "../dom.js";
import { shown } from "../format.js";
import { errorBox } from "../notices.js";
import { link } from "../router.js";
import { reportText } from "./report_text.js";

export function showReport(main, route) {
  let closed = false;
  const show = async ({ id, parameters }) => {
    const start = Number(parameters.get("start"));
    const end = Number(parameters.get("end"));
    const passage = parameters.has("start") && end > start ? { start, end } : null;
    try {
      const report = await get(`api/reports/${encodeURIComponent(id)}`);
      if (closed) return;
      refill(main, page(report, passage));
      main.querySelector(".passage")?.scrollIntoView({ block: "center" });
    } catch (error) {
      if (!closed) refill(main, h("div", { class: "centred" }, errorBox(error, () => show({ id, parameters }))));
    }
  };
  show(route);
  return { title: route.id, update: show, close: () => (closed = true) };
}

function page(report, passage) {
  const { source } = report;
  const facts = {
    patient: report.patient_id,
    ...report.metadata,
    source: source?.kind,
    "OCR confidence": source?.ocr_confidence,
  };
  return h(
    "div",
    { class: "report-page" },
    h("section", { class: "report-body", "aria-label": "Report" }, h("h1", {}, report.title || report.report_id), reportText(report, passage)),
    h(
      "aside",
      { class: "report-side", "aria-label": "About this report" },
      h("h2", {}, "Slides"),
      report.slide_ids.length ? h("ul", { class: "plain-list" }, report.slide_ids.map((id) => h("li", {}, h("a", { href: link("slides", id) }, id)))) : h("p", {}, h("a", { href: link("slides", null, { query: report.patient_id }) }, `Slides of patient ${report.patient_id}`)),
      h("h2", {}, "Report"),
      h(
        "dl",
        {},
        Object.entries(facts)
          .filter(([, value]) => value !== null && value !== undefined && value !== "")
          .map(([name, value]) => [h("dt", {}, name), h("dd", {}, shown(value))]),
      ),
    ),
  );
}
