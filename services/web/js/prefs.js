// What this browser remembers for its person: never data of the lake.

const STEM = "slidelake.";

export function remembered(name, otherwise) {
  try {
    const text = localStorage.getItem(STEM + name);
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise; // Storage closed, or written by another version.
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(STEM + name, JSON.stringify(value));
  } catch {
    return; // Then it is asked again next time.
  }
}
