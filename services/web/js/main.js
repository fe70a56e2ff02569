// Starts the page: header, keys, who we are, then the view that the address names.

import { h, refill } from "./dom.js";
import { showHelp } from "./help.js";
import { icon } from "./icons.js";
import { bind, startKeys } from "./keys.js";
import { showSlides } from "./list/slides_page.js";
import { clearNotices, emptyBox, say, tell } from "./notices.js";
import { showReport } from "./reports/report_page.js";
import { go, link, onRoute, start } from "./router.js";
import { showAsk, showSearch } from "./search/search_page.js";
import { sessionButton, startSession } from "./session.js";
import { showSlide } from "./slide/slide_page.js";

const VIEWS = [
  { name: "slides", label: "Slides", href: "#/", show: (main, route) => (route.id ? showSlide : showSlides)(main, route) },
  { name: "search", label: "Search", href: "#/search", show: showSearch },
  { name: "ask", label: "Ask", href: "#/ask", show: showAsk },
  { name: "reports", show: showReport },
];

const main = document.getElementById("main");
let open = null; // { key, view } of what is shown

const theme = () => say(`Colours: ${window.slidelakeTheme.next()}.`);

function tools() {
  refill(
    document.getElementById("tools"),
    sessionButton(),
    h("button", { type: "button", class: "bare", title: "Light, dark, or as the system (T)", "aria-label": "Change between light and dark", onclick: theme }, icon("theme")),
    h("button", { type: "button", class: "bare", title: "Keys (?)", "aria-label": "Keys", onclick: showHelp }, icon("help")),
  );
}

function header() {
  refill(document.getElementById("views"), VIEWS.filter((view) => view.label).map(({ name, label, href }) => h("a", { href, data: { view: name } }, label)));
  tools();
  document.addEventListener("slidelake:session", tools);
  const find = document.getElementById("find");
  find.addEventListener("submit", (event) => {
    event.preventDefault();
    go(link("search", null, { text: find.elements.text.value.trim() }));
  });
  bind({ "?": showHelp, "/": () => find.elements.text.focus(), t: theme });
}

function route(to) {
  const view = VIEWS.find((each) => each.name === to.name);
  const key = `${to.name}/${to.id ?? ""}`;
  for (const each of document.querySelectorAll("#views a")) {
    if (each.dataset.view === to.name) each.setAttribute("aria-current", "page");
    else each.removeAttribute("aria-current");
  }
  if (open?.key === key) {
    open.view.update(to);
    return;
  }
  open?.view.close();
  clearNotices();
  open = { key, view: view && (to.id || view.label) ? view.show(main, to) : lost(to) };
  document.title = open.view.title ? `${open.view.title} · slidelake` : "slidelake";
  main.scrollTo(0, 0);
}

function lost({ name }) {
  refill(main, h("div", { class: "centred" }, emptyBox(`There is no page “${name}”.`, "The address may have been cut short."), h("p", {}, h("a", { href: "#/" }, "All slides"))));
  return { title: "Not found", update: lost, close: () => null };
}

// What no other place caught still has to reach the person.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  tell(event.reason);
});

header();
startKeys();
try {
  await startSession();
} catch (error) {
  tell(error);
}
tools();
onRoute(route);
start();
