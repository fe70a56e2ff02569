"""The page in a real Chromium: how long until a slide is seen, and from a click to the gallery of its like.

The lake is that of api_load: 200,000 patches of 512 numbers in 100 slides, and one slide with pixels. The server is a
real `slidelake serve`; browser, server and this process share the cores. Times are taken inside the page.

- first_slide_s: from the start of the navigation, nothing cached in the browser, until every tile of the slide's view
  has been drawn. The server has drawn the tiles once before.
- click_to_gallery_ms: from the press of the button on a patch until the gallery of 20 hits stands in the page; each
  click is on another patch, the exact search behind it looks at all 200,000 vectors. These slides have no pixels, so
  the pictures of the hits, which come after, are not in it.

    python -m benchmarks.page --quick
"""

import random
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.api_load import ACROSS, FOOTPRINT, make_lake, serving
from benchmarks.harness import Benchmark, parse_arguments

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Screen pixels a level-0 pixel at which a whole slide of the lake is in view.
_ZOOM = 0.02
#: Notes the time (ms since the navigation began) of the first frame in which the slide is whole.
_WATCH_SLIDE = """
const look = () => {
  const element = document.querySelector(".pane-view");
  const item = element && window.OpenSeadragon?.getViewer(element)?.world.getItemAt(0);
  if (item?.getFullyLoaded()) requestAnimationFrame(() => (window.slideSeen = performance.now()));
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
#: Notes the time from a press of the button to the frame after the gallery of the next search is in the page.
_WATCH_CLICK = """() => {
  window.galleryAfter = null;
  const old = document.querySelector(".gallery");
  addEventListener("pointerup", () => {
    const pressed = performance.now();
    const watch = new MutationObserver(() => {
      const gallery = document.querySelector(".gallery");
      if (!gallery || gallery === old || gallery.children.length < 20) return;
      watch.disconnect();
      requestAnimationFrame(() => (window.galleryAfter = performance.now() - pressed));
    });
    watch.observe(document.body, { childList: true, subtree: true });
  }, { capture: true, once: true });
}"""


def first_slide(browser: Browser, address: str) -> float:
    """Seconds until a slide is whole, in a browser that knows nothing yet."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(_WATCH_SLIDE)
    page.goto(address)
    page.wait_for_function("() => window.slideSeen", timeout=60_000)
    seen = float(page.evaluate("() => window.slideSeen")) / 1000
    context.close()
    return seen


def click_to_gallery(page: Page, x: float, y: float) -> float:
    """Milliseconds from a click in the window to the gallery."""
    page.evaluate(_WATCH_CLICK)
    page.mouse.click(x, y)
    page.wait_for_function("() => window.galleryAfter", timeout=60_000)
    return float(page.evaluate("() => window.galleryAfter"))


def clicks(browser: Browser, url: str, slide_id: str, rows: int, count: int, seed: int) -> list[float]:
    """Click on `count` patches of a slide, one after the other; the first ones load the vectors and do not count."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    width, height = ACROSS * FOOTPRINT, -(-rows // ACROSS) * FOOTPRINT
    page.goto(f"{url}#/slides/{slide_id}?x={width // 2}&y={height // 2}&zoom={_ZOOM}")
    page.wait_for_function("() => document.querySelector('.scale-bar')?.ariaLabel", timeout=60_000)
    box = page.locator(".pane-view").first.bounding_box()
    assert box is not None
    chance = random.Random(seed)
    taken = []
    for _ in range(count + 3):
        row = chance.randrange(rows)
        x = (row % ACROSS + 0.5) * FOOTPRINT - width // 2
        y = (row // ACROSS + 0.5) * FOOTPRINT - height // 2
        left, top = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        taken.append(click_to_gallery(page, left + x * _ZOOM, top + y * _ZOOM))
    context.close()
    return taken[3:]


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def main() -> int:
    arguments = parse_arguments(__doc__)
    benchmark = Benchmark("page", quick=arguments.quick)
    slides, rows = (40, 500) if arguments.quick else (100, 2000)
    openings, searches = (5, 12) if arguments.quick else (15, 60)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise SystemExit("the page needs Chromium: install it (Debian: chromium)")
    with tempfile.TemporaryDirectory() as name:
        lake, seen = make_lake(Path(name), slides, rows)
        with serving(Path(lake.store.url)) as (url, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
            first_slide(browser, f"{url}#/slides/{seen}")  # the server draws the tiles
            opened = [first_slide(browser, f"{url}#/slides/{seen}") for _ in range(openings)]
            found = clicks(browser, url, "SLIDE-0000", rows, searches, seed=0)
            browser.close()
    benchmark.record("first_slide_s", opened)
    benchmark.record("first_slide_p95_s", p95(opened))
    benchmark.record("click_to_gallery_ms", found)
    benchmark.record("click_to_gallery_p95_ms", p95(found))
    benchmark.note(f"{slides * rows:,} patches; browser, server and script on the same cores")
    return benchmark.finish(arguments.out)


if __name__ == "__main__":
    raise SystemExit(main())
