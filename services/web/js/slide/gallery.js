// Hits as pictures: score, slide, patient, metadata. A click opens the hit beside the query.

import { url } from "../api.js";
import { h } from "../dom.js";
import { shown } from "../format.js";

const FACTS = 3;

/** An ordered list of hits; `open(hit)` is called on a click. Works for patches and for slides. */
export function gallery(hits, open, { label = "Hits, best first" } = {}) {
  return h("ol", { class: "gallery", "aria-label": label }, hits.map((hit) => card(hit, open)));
}

function card(hit, open) {
  const facts = Object.entries(hit.metadata ?? {}).filter(([, value]) => value !== null && value !== "");
  const picture = hit.patch ?? hit.thumbnail;
  const patient = hit.patient_id !== hit.slide_id ? hit.patient_id : null;
  const spoken = [`Hit ${hit.rank}`, `score ${hit.score.toFixed(3)}`, `slide ${hit.slide_id}`, patient && `patient ${patient}`].filter(Boolean).join(", ");
  const button = h(
    "button",
    { type: "button", class: "hit", "aria-pressed": "false", "aria-label": spoken, title: facts.map(([name, value]) => `${name}: ${shown(value)}`).join("\n") || null, onclick: () => open(hit) },
    h("span", { class: "hit-picture" }, picture ? image(url(picture)) : h("span", { class: "muted" }, "no picture")),
    h("span", { class: "hit-head" }, h("span", { class: "rank" }, hit.rank), h("span", { class: "score", title: "cosine similarity" }, hit.score.toFixed(3))),
    h("span", { class: "hit-slide" }, hit.slide_id),
    patient && h("span", { class: "hit-fact" }, patient),
    facts.slice(0, FACTS).map(([name, value]) => h("span", { class: "hit-fact" }, `${name} ${shown(value)}`)),
  );
  return h("li", {}, button);
}

function image(address) {
  const picture = h("img", { src: address, alt: "", loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => picture.replaceWith(h("span", { class: "muted" }, "no picture")));
  return picture;
}

/** Mark the hit that is open. */
export function mark(list, index) {
  for (const [at, button] of [...list.querySelectorAll(".hit")].entries()) {
    button.setAttribute("aria-pressed", String(at === index));
    if (at === index) button.scrollIntoView({ block: "nearest" });
  }
}
