// One slide in the list: its thumbnail, ids and metadata.

import { url } from "../api.js";
import { h } from "../dom.js";
import { counted, shown, trimmed } from "../format.js";
import { link } from "../router.js";

const FACTS = 4;

export function slideCard(slide) {
  const facts = Object.entries(slide.metadata).filter(([, value]) => value !== null && value !== "");
  return h(
    "li",
    { class: "slide-card" },
    h(
      "a",
      { href: link("slides", slide.slide_id) },
      h("span", { class: "slide-card-picture" }, picture(slide)),
      h("span", { class: "slide-card-name" }, slide.slide_id),
      slide.patient_id !== slide.slide_id && h("span", { class: "muted" }, `patient ${slide.patient_id}`),
      h("span", { class: "muted" }, [slide.mpp && `${trimmed(slide.mpp)} µm/px`, counted(slide.patches, "patch", "patches")].filter(Boolean).join(" · ")),
      slide.pixels !== "slide" && h("span", { class: "badge warn" }, slide.pixels === "thumbnail" ? "slide file not reachable" : "no pixels"),
      facts.length > 0 &&
        h(
          "span",
          { class: "slide-card-facts" },
          facts.slice(0, FACTS).map(([name, value]) => h("span", { class: "badge", title: `${name}: ${shown(value)}` }, `${name} ${shown(value)}`)),
        ),
    ),
  );
}

function picture(slide) {
  if (slide.pixels === "none" || !slide.thumbnail) return h("span", { class: "muted" }, "no picture");
  const image = h("img", { src: url(slide.thumbnail, { size: 320 }), alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "muted" }, "no picture")));
  return image;
}
