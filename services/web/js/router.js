// What the address says: "#/slides/{id}?x=…" is a view's name, an id and parameters.

const listeners = [];

/** { name, id, parameters } of an address's hash; an empty one is the list of slides. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s, 2);
  const [name = "", ...rest] = path.split("/");
  return { name: name || "slides", id: rest.length ? decoded(rest.join("/")) : null, parameters: new URLSearchParams(query) };
}

/** The hash of a view. Parameters that are null, undefined or "" are left out. */
export function link(name, id = null, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") query.append(key, one);
    }
  }
  const tail = query.toString();
  return `#/${name}${id === null ? "" : `/${encodeURIComponent(id)}`}${tail ? `?${tail}` : ""}`;
}

/** The hash inside a link that the server made ("/#/slides/S1?x=0"); null if it is none of this page. */
export function inPage(address) {
  const at = String(address ?? "").indexOf("#/");
  return at < 0 ? null : address.slice(at);
}

export const here = () => parse(location.hash);

export function go(hash) {
  if (hash === location.hash) changed();
  else location.hash = hash;
}

/** Change the address without a step in the history: a view that was moved, not left. */
export function replace(hash) {
  if (hash !== location.hash) history.replaceState(null, "", hash);
}

export function onRoute(listener) {
  listeners.push(listener);
}

export function start() {
  addEventListener("hashchange", changed);
  changed();
}

function changed() {
  for (const listener of listeners) listener(here());
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A stray % in a hand-written address.
  }
}
