// How OpenSeadragon draws tiles: by WebGL where a graphics card does it, else on a canvas.

import { remembered } from "../prefs.js";

// WebGL that the processor imitates (remote desktops, no driver) takes a tenth of a second and more a frame,
// the plain canvas a few milliseconds. Browsers do not always call it a performance caveat; the name tells.
const IMITATED = /swiftshader|llvmpipe|softpipe|software|basic render/i;

let known = null;

/** Names for OpenSeadragon's `drawer`, the best first. "slidelake.drawer" in local storage overrides it. */
export function drawers() {
  known ??= chosen();
  return known;
}

function chosen() {
  const wanted = remembered("drawer", null);
  if (wanted === "webgl" || wanted === "canvas") return [wanted, "canvas", "html"];
  return hasCard() ? ["webgl", "canvas", "html"] : ["canvas", "html"];
}

function hasCard() {
  const context = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!context) return false;
  const names = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  context.getExtension("WEBGL_lose_context")?.loseContext(); // a browser allows only so many at once
  return !IMITATED.test(name);
}
