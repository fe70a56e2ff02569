// A report's text with its sections, and one passage highlighted. All of it text nodes.

import { h } from "../dom.js";

/**
 * The report as an element; `passage` is {start, end} in the text. The highlighted <mark> has the class
 * "passage", to scroll to.
 */
export function reportText(report, passage = null) {
  const text = new Characters(report.text);
  const cuts = report.sections?.length ? report.sections : [{ name: "", start: 0, end: text.length }];
  return h(
    "article",
    { class: "report-text", lang: report.metadata?.language ?? null },
    cuts.map(({ name, start, end }) => h("section", {}, name && h("h3", {}, name), h("p", {}, marked(text, start, end, passage)))),
  );
}

/** A text cut at whole characters, as the server counts them; the browser's own strings count some twice. */
class Characters {
  constructor(text) {
    this.whole = /[\u{10000}-\u{10ffff}]/u.test(text) ? [...text] : text;
    this.length = this.whole.length;
  }

  slice(start, end) {
    const part = this.whole.slice(start, end);
    return typeof part === "string" ? part : part.join("");
  }
}

function marked(text, start, end, passage) {
  const from = Math.max(start, passage?.start ?? end);
  const to = Math.min(end, passage?.end ?? start);
  if (!passage || from >= to) return text.slice(start, end);
  return [text.slice(start, from), h("mark", { class: "passage" }, text.slice(from, to)), text.slice(to, end)];
}
