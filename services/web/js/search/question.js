// Questions and their answers: each [n] leads to a passage of a report or to a place on a slide.

import { post } from "../api.js";
import { h, put, refill } from "../dom.js";
import { canAsk } from "../lake.js";
import { emptyBox, errorBox, note, say } from "../notices.js";
import { inPage } from "../router.js";

// The last question and its answer, by where it was asked: whoever follows a source and comes back finds them again.
const asked = new Map();

/**
 * A form that asks; `context()` gives what is asked about, `extras` are fields below the question, `place` is where
 * it stands: a slide's id, or "" for the whole archive.
 */
export function questionForm(context, { extras = [], place = "" } = {}) {
  const element = h("div", { class: "question" });
  start(element, context, extras, place);
  return { element };
}

async function start(element, context, extras, place) {
  refill(element, h("p", { class: "loading" }, "One moment…"));
  try {
    if (await canAsk()) refill(element, form(context, extras, place));
    else refill(element, emptyBox("This server does not answer questions.", "Its version has no /api/ask. The reports can still be searched with the box at the top."));
  } catch (error) {
    refill(element, errorBox(error, () => start(element, context, extras, place)));
  }
}

function form(context, extras, place) {
  const before = asked.get(place);
  const text = h("textarea", { value: before?.question ?? "", rows: 3, required: true, maxlength: 4000, placeholder: "What do the reports say about …?", "aria-label": "Question" });
  const button = h("button", { type: "submit", class: "primary" }, "Ask");
  const result = h("div", { class: "answer", "aria-live": "polite", "aria-busy": "false" }, before && answer(before.told));
  const ask = async () => {
    const question = text.value.trim();
    if (!question) return;
    button.disabled = true;
    result.setAttribute("aria-busy", "true");
    refill(result, h("p", { class: "loading" }, "Reading the reports…"));
    try {
      const told = await post("api/ask", { question, ...context() });
      asked.set(place, { question, told });
      refill(result, answer(told));
      say("The answer is there.");
    } catch (error) {
      refill(result, errorBox(error, ask));
    }
    button.disabled = false;
    result.setAttribute("aria-busy", "false");
  };
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      ask();
    }
  });
  return h("form", { onsubmit: (event) => (event.preventDefault(), ask()) }, text, extras, h("div", { class: "buttons" }, button), result);
}

function answer({ text, citations, abstained, model, notes = [] }) {
  const byNumber = new Map(citations.map((each) => [each.n, each]));
  const parts = text.split(/\[(\d+)\]/).map((part, index) => (index % 2 ? reference(byNumber.get(Number(part)), part) : part));
  return [
    h("div", { class: abstained ? "answer-text abstained" : "answer-text" }, parts),
    citations.length > 0 && h("ol", { class: "citations", "aria-label": "Sources" }, citations.map(source)),
    notes.map((line) => note(line)),
    h("p", { class: "muted" }, `${abstained ? "" : model === "extractive" ? "Quoted from the reports: no language model wrote it. " : `Written by ${model}. `}For research use only: check the sources.`),
  ];
}

function reference(citation, number) {
  const target = citation && inPage(citation.link);
  if (!target) return `[${number}]`;
  return h("a", { class: "reference", href: target, "aria-label": `Source ${number}` }, `[${number}]`);
}

function source(citation) {
  const target = inPage(citation.link);
  const name = citation.kind === "report" ? citation.report_id : `${citation.slide_id}${citation.x === null || citation.x === undefined ? "" : ` at ${citation.x}, ${citation.y}`}`;
  const item = h("li", { value: citation.n, class: "citation" });
  return put(item, target ? h("a", { href: target }, name) : name, citation.patient_id && h("span", { class: "muted" }, ` · patient ${citation.patient_id}`), citation.quote && h("blockquote", {}, citation.quote));
}
