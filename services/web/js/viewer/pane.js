// One slide in one OpenSeadragon viewer, spoken to in level-0 pixels.

import { ApiError, described, url } from "../api.js";
import { h } from "../dom.js";
import { drawers } from "./drawers.js";
import { Overlay } from "./overlay.js";
import { ScaleBar } from "./scalebar.js";

const OSD = window.OpenSeadragon;

// OpenSeadragon would write a style element of its own, which the page's policy forbids; the rule that it
// wants stands in viewer.css. It looks for an element of that name first: this one is of no markup language,
// so that the policy has nothing to say about it.
const told = document.createElementNS("urn:slidelake", "style");
told.setAttribute("data-openseadragon-mobile-css", "true");
document.head.append(told);

//: The page's own keys; OpenSeadragon would turn and flip the slide on some of them.
const OUR_KEYS = /^[a-z?/[\]]$/i;

/**
 * Events: "view" while it moves, "still" when it stands, "pick" ({x, y} level-0 px) on a click,
 * "failed" (an error) once if tiles do not come, "led" when the person moves this pane.
 */
export class Pane extends EventTarget {
  constructor(host, slide) {
    super();
    this.slide = slide;
    this.mpp = slide.mpp ?? null;
    this.element = h("div", { class: "pane-view" });
    host.append(this.element);
    this.osd = OSD({
      element: this.element,
      tileSources: tileSource(slide),
      drawer: drawers(),
      showNavigationControl: false,
      showNavigator: true,
      navigatorPosition: "TOP_RIGHT",
      ...navigatorSize(slide),
      navigatorAutoFade: true,
      animationTime: 0.35,
      springStiffness: 9,
      visibilityRatio: 0.1,
      minZoomImageRatio: 0.5,
      maxZoomPixelRatio: 16,
      zoomPerScroll: 1.25,
      preserveImageSizeOnResize: true,
      maxImageCacheCount: 600,
      imageLoaderLimit: 8,
      maxTilesPerFrame: 24, // of its own it asks for one tile a frame, which keeps slow screens waiting
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: false },
      gestureSettingsPen: { clickToZoom: false, dblClickToZoom: false },
      gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: false },
    });
    this.osd.innerTracker.element.setAttribute("role", "application");
    this.osd.innerTracker.element.setAttribute(
      "aria-label",
      `Slide ${slide.slide_id}. Arrow keys move, plus and minus zoom, S searches for the patch in the middle, ? lists all keys.`,
    );
    this.overlay = new Overlay(this);
    this.scaleBar = new ScaleBar(this);
    this.ready = new Promise((open) => this.osd.addOnceHandler("open", () => open(this)));
    this.#listen();
  }

  #listen() {
    const told = (name) => () => this.dispatchEvent(new Event(name));
    this.osd.addHandler("viewport-change", told("view"));
    this.osd.addHandler("resize", told("view"));
    this.osd.addHandler("open", told("view"));
    this.osd.addHandler("animation-finish", told("still"));
    this.osd.addHandler("canvas-click", (event) => {
      if (!event.quick) return;
      const { x, y } = this.toSlide(event.position.x, event.position.y);
      this.dispatchEvent(new CustomEvent("pick", { detail: { x, y } }));
    });
    this.osd.addHandler("canvas-key", (event) => {
      if (OUR_KEYS.test(event.originalEvent.key)) event.preventDefaultAction = true;
    });
    for (const name of ["pointerdown", "wheel", "keydown"]) {
      this.element.addEventListener(name, told("led"), { capture: true, passive: true });
    }
    let told_once = false;
    this.osd.addHandler("tile-load-failed", async (event) => {
      if (told_once || this.closed) return;
      told_once = true;
      this.dispatchEvent(new CustomEvent("failed", { detail: await whyNot(event.tile?.getUrl?.()) }));
    });
  }

  /** What is seen: centre in level-0 px, zoom in CSS px a level-0 px. */
  get view() {
    const { viewport } = this.osd;
    const centre = viewport.getCenter(true);
    return { x: centre.x * this.slide.width, y: centre.y * this.slide.width, zoom: this.#imageZoom(viewport.getZoom(true)) };
  }

  /** The view that a running animation goes to. */
  get target() {
    const { viewport } = this.osd;
    const centre = viewport.getCenter(false);
    return { x: centre.x * this.slide.width, y: centre.y * this.slide.width, zoom: this.#imageZoom(viewport.getZoom(false)) };
  }

  /** Width and height in CSS px. */
  get size() {
    return { width: this.element.clientWidth, height: this.element.clientHeight };
  }

  /** Microns a CSS px; null where the slide has no mpp. */
  get scale() {
    return this.mpp === null ? null : this.mpp / this.view.zoom;
  }

  /** Show the point (x, y) in the middle at `zoom`; without `zoom` the zoom stays. */
  show({ x, y, zoom = null }, { at_once = false } = {}) {
    const { viewport } = this.osd;
    if (zoom !== null) viewport.zoomTo((zoom * this.slide.width) / this.size.width, null, at_once);
    viewport.panTo(new OSD.Point(x / this.slide.width, y / this.slide.width), at_once);
    this.osd.forceRedraw();
  }

  /** Show a rectangle of level-0 px so that it takes `share` of the pane. */
  showBox({ x, y, w, h: height }, { share = 0.4, at_once = false } = {}) {
    const zoom = Math.min((this.size.width * share) / w, (this.size.height * share) / height);
    this.show({ x: x + w / 2, y: y + height / 2, zoom: Math.min(zoom, 8) }, { at_once });
  }

  home() {
    this.osd.viewport.goHome(false);
  }

  zoomBy(factor, position = null) {
    const point = position && this.osd.viewport.pointFromPixel(new OSD.Point(position.x, position.y));
    this.osd.viewport.zoomBy(factor, point).applyConstraints();
  }

  /** Level-0 px under a point of the pane (CSS px). */
  toSlide(left, top) {
    const { x, y, zoom } = this.view;
    const { width, height } = this.size;
    return { x: x + (left - width / 2) / zoom, y: y + (top - height / 2) / zoom };
  }

  setSmoothing(on) {
    this.osd.drawer?.setImageSmoothingEnabled?.(on);
  }

  #imageZoom(zoom) {
    return (zoom * this.size.width) / this.slide.width;
  }

  close() {
    this.closed = true;
    this.overlay.close();
    this.scaleBar.close();
    this.osd.destroy();
    this.element.remove();
  }
}

/** The small map of the whole slide: as long as 150 CSS px, in the slide's own proportions. */
function navigatorSize({ width, height }) {
  const longest = 150 / Math.max(width, height);
  return { navigatorWidth: `${Math.round(width * longest)}px`, navigatorHeight: `${Math.round(height * longest)}px` };
}

function tileSource(slide) {
  const { deep_zoom: zoom } = slide;
  if (slide.pixels === "none" || !zoom) {
    // No pixels at all: an empty field in the slide's frame, so that patches and marks can still be seen.
    return { width: slide.width, height: slide.height, tileSize: 1024, getTileUrl: () => "", tileExists: () => false };
  }
  return new OSD.DziTileSource({
    width: zoom.width,
    height: zoom.height,
    tileSize: zoom.tile_size,
    tileOverlap: zoom.overlap,
    tilesUrl: url(zoom.url).replace(/\.dzi(?=$|\?)/, "_files/"),
    fileFormat: "jpeg",
  });
}

/** Why a tile did not come, in the server's words. */
async function whyNot(address) {
  const unsaid = new ApiError({ problem: "some of the slide's pixels could not be loaded", remedy: "Move the view to try again." });
  if (!address) return unsaid;
  try {
    const response = await fetch(address, { credentials: "same-origin" });
    return response.ok ? unsaid : await described(response);
  } catch {
    return new ApiError({ problem: "the server cannot be reached", remedy: "Check that “slidelake serve” is still running, then reload." });
  }
}
