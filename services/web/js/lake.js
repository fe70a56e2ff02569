// What the whole lake has, asked for once: its spaces and the columns that can be filtered on.

import { get } from "./api.js";

const known = new Map();

function once(key, load) {
  if (!known.has(key)) {
    const loading = load();
    known.set(key, loading);
    loading.catch(() => known.delete(key)); // A failure is not remembered.
  }
  return known.get(key);
}

/** [{space, grid_id, encoder_id, slides, patches, patch_px, mpp, aggregators}], as the server lists them. */
export const spaces = () => once("spaces", () => get("api/spaces"));

/** [{name, kind, level, values?}] of what a search in `space` can be filtered by; ids have their own box. */
export const columns = (space = null) =>
  once(`columns ${space}`, async () => {
    const all = await get("api/columns", { parameters: { space } });
    return all.filter((column) => column.name !== "slide_id");
  });

/** True if the server answers questions (POST /api/ask). */
export const canAsk = () =>
  once("ask", async () => {
    const description = await get("api/openapi.json");
    return Object.hasOwn(description.paths ?? {}, "/api/ask");
  });

/** A space as people read it: "stain-texture on 256px-0.5mpp" for "256px-0.5mpp/stain-texture.1a2b3c4d". */
export function spaceName(space) {
  const [grid, encoder = ""] = space.split("/");
  return `${encoder.replace(/\.[0-9a-f]{8,}$/, "")} on ${grid}`;
}
