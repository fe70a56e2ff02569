// Keys of the page. They rest while a person types, and while a dialog is open.

const bound = [];

/** Bind keys ({g: run, "?": run}) until the returned function is called; later ones win. */
export function bind(keys) {
  bound.unshift(keys);
  return () => {
    const at = bound.indexOf(keys);
    if (at >= 0) bound.splice(at, 1);
  };
}

export function startKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (document.querySelector("dialog[open]")) return;
    if (typing && !(typing.type === "checkbox" || typing.type === "range")) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    // Enter on a button or a link is that button's.
    if (event.key === "Enter" && event.target.closest?.("button, a, summary")) return;
    const run = bound.map((keys) => keys[event.key.length === 1 ? event.key.toLowerCase() : event.key]).find(Boolean);
    if (!run) return;
    event.preventDefault();
    run();
  });
}
