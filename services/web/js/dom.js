// Elements from plain calls. Text becomes text nodes, never markup: what a lake holds is data.

const BOOLEAN = new Set(["checked", "disabled", "hidden", "selected", "open", "multiple", "readOnly", "required", "autofocus"]);
const PROPERTY = new Set(["value", "htmlFor", "tabIndex", "indeterminate"]);

/**
 * An element: h("button", { class: "plain", onclick: go, "aria-label": "Go" }, "Go").
 * Properties that are null or undefined are left out; children may be nodes, text, numbers or lists of these.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (BOOLEAN.has(name)) element[name] = Boolean(value);
    else if (PROPERTY.has(name)) element[name] = value;
    else element.setAttribute(name, String(value));
  }
  put(element, children);
  return element;
}

/** Append children to `element`; lists are flattened, null and false left out. */
export function put(element, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Replace all that is in `element`. */
export function refill(element, ...children) {
  element.replaceChildren();
  return put(element, ...children);
}

let count = 0;

/** An id that no other element of this page has. */
export function freshId(stem) {
  count += 1;
  return `${stem}-${count}`;
}

/** A label and its field, bound to each other. */
export function field(label, input, { hint = null, inline = false } = {}) {
  input.id ||= freshId("field");
  const parts = [h("label", { htmlFor: input.id }, label), input];
  return h("div", { class: inline ? "field inline" : "field" }, inline ? parts.reverse() : parts, hint && h("small", {}, hint));
}

/** A <select> over [value, label] pairs. */
export function choice(pairs, chosen, onchange, properties = {}) {
  return h(
    "select",
    { ...properties, onchange: (event) => onchange(event.target.value) },
    pairs.map(([value, label]) => h("option", { value, selected: value === chosen }, label)),
  );
}
