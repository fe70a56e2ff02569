// A slide's annotations as GeoJSON features in level-0 px, in the form that QuPath reads and writes.

const PALETTE = [[200, 0, 0], [0, 110, 200], [0, 140, 70], [150, 60, 180], [214, 120, 0], [0, 140, 150], [110, 80, 40], [200, 0, 110]];
const SHAPES = new Set(["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"]);

/** A new feature from drawn points [[x, y], …], not closed. */
export function featureOf(points, { name = "", className = "" } = {}) {
  const feature = {
    type: "Feature",
    id: crypto.randomUUID?.() ?? `a-${Date.now()}-${Math.floor(Math.random() * 1e9)}`, // no randomUUID without https
    geometry: { type: "Polygon", coordinates: [[...points, points[0]]] },
    properties: { objectType: "annotation" },
  };
  setName(feature, name);
  setClass(feature, className);
  return feature;
}

export const nameOf = (feature) => textOf(feature.properties?.name);
export const classOf = (feature) => textOf(feature.properties?.classification?.name ?? feature.properties?.classification);

export function setName(feature, name) {
  feature.properties ??= {};
  if (name) feature.properties.name = name;
  else delete feature.properties.name;
}

export function setClass(feature, className) {
  feature.properties ??= {};
  if (className) feature.properties.classification = { name: className, color: classColour(className) };
  else delete feature.properties.classification;
}

/** [r, g, b] of a feature: its class's own colour, else one made from the class's name. */
export function colourOf(feature) {
  const given = feature.properties?.classification?.color ?? feature.properties?.color;
  if (Array.isArray(given) && given.length >= 3 && given.every((part) => Number.isFinite(part))) return given.slice(0, 3);
  return classColour(classOf(feature));
}

/** Always the same colour for a class's name. */
export function classColour(className) {
  if (!className) return [30, 90, 200];
  let sum = 0;
  for (const letter of className.toLowerCase()) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return PALETTE[sum % PALETTE.length];
}

/** The features of a GeoJSON text or object; throws an Error that says what is wrong. */
export function read(json) {
  const listed = Array.isArray(json) ? json : json?.type === "FeatureCollection" ? json.features : json?.type === "Feature" ? [json] : null;
  if (!Array.isArray(listed)) throw new Error("the file holds no GeoJSON FeatureCollection");
  for (const [index, feature] of listed.entries()) {
    if (feature?.type !== "Feature" || !SHAPES.has(feature.geometry?.type)) throw new Error(`feature ${index + 1} of the file has no geometry that can be shown`);
    if (!points(feature).every(([x, y]) => Number.isFinite(x) && Number.isFinite(y))) throw new Error(`feature ${index + 1} of the file has coordinates that are no numbers`);
  }
  return listed;
}

export const write = (features) => ({ type: "FeatureCollection", features });

/** Rings and lines of a geometry as lists of [x, y]; a point is a list of one. */
export function lines({ type, coordinates, geometries }) {
  switch (type) {
    case "Point":
      return [[coordinates]];
    case "MultiPoint":
      return coordinates.map((point) => [point]);
    case "LineString":
      return [coordinates];
    case "MultiLineString":
    case "Polygon":
      return coordinates;
    case "MultiPolygon":
      return coordinates.flat(1);
    case "GeometryCollection":
      return geometries.flatMap(lines);
    default:
      return [];
  }
}

/** {x, y, w, h} around a feature. */
export function boxOf(feature) {
  const all = points(feature);
  const [left, top, right, bottom] = all.reduce(
    ([l, t, r, b], [x, y]) => [Math.min(l, x), Math.min(t, y), Math.max(r, x), Math.max(b, y)],
    [Infinity, Infinity, -Infinity, -Infinity],
  );
  return { x: left, y: top, w: Math.max(right - left, 64), h: Math.max(bottom - top, 64) };
}

function points(feature) {
  return lines(feature.geometry).flat(1);
}

function textOf(value) {
  return typeof value === "string" ? value : "";
}
