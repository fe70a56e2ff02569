"""Layers: the grid, quality columns, attention and similarity, with legends that tell the truth."""

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from slidelake.services.lake import Lake
from tests.services.web.acts import click_slide, opened
from tests.services.web.archive import ATTENTION
from tests.services.web.conftest import Open
from tests.services.web.test_viewer import pixels


def ends(page: Page, label: str) -> tuple[float, float]:
    """Least and most of the legend below a layer's box."""
    legend = page.locator(".layer", has=page.get_by_label(label, exact=True)).locator(".legend")
    expect(legend).to_be_visible()
    return float(legend.locator(".legend-least").inner_text()), float(
        legend.locator(".legend-most").inner_text()
    )


def test_layers_over_a_slide(open_page: Open, web_lake: Lake) -> None:
    page = open_page("slides/S1")
    opened(page)
    page.get_by_role("tab", name="Layers").click()
    plain = pixels(page)

    # A column of the grid, with the least and most that the store holds.
    page.get_by_label("blur", exact=True).check()
    [space] = web_lake.store.spaces()
    grid = web_lake.store.grid("S1", space.split("/")[0])
    blur = np.asarray(grid.columns["blur"][:])
    assert ends(page, "blur") == (blur.min(), blur.max())
    expect(page.locator(".legend")).to_contain_text(f"{len(blur)} patches")
    covered = pixels(page)
    assert np.abs(covered.astype(int) - plain).mean() > 5

    page.get_by_label("Opacity of blur").fill("0")
    page.wait_for_timeout(200)
    assert np.abs(pixels(page).astype(int) - plain).mean() < 2  # tiles may have come meanwhile
    page.get_by_label("Opacity of blur").fill("60")
    page.get_by_label("blur", exact=True).uncheck()
    expect(page.locator(".legend")).to_have_count(0)

    # Attention as raw scores.
    page.get_by_label("Show as").select_option("score")
    page.get_by_label(ATTENTION, exact=True).check()
    assert ends(page, ATTENTION) == pytest.approx((-3.0, 2.0), abs=1e-3)
    page.get_by_label("Show as").select_option("rank")
    expect(page.locator(".legend-most")).not_to_have_text("2")
    page.get_by_label(ATTENTION, exact=True).uncheck()

    # Similarity needs a query first.
    expect(page.get_by_label("Similarity to the query")).to_be_disabled()
    click_slide(page, 600, 300)
    expect(page.locator(".hit").first).to_be_visible()
    page.get_by_role("button", name="Show similarity on the slide").click()
    page.get_by_role("tab", name="Layers").click()
    least, most = ends(page, "Similarity to the query")
    bag = np.asarray(web_lake.store.bag("S1", space).features, np.float32)
    bag /= np.linalg.norm(bag, axis=1, keepdims=True)
    row = int(np.flatnonzero((np.asarray(grid.coords) == (512, 256)).all(axis=1))[0])
    assert (least, most) == (pytest.approx((bag @ bag[row]).min(), abs=2e-3), pytest.approx(1.0, abs=2e-3))


def test_the_grid_is_drawn_on_a_canvas(open_page: Open) -> None:
    page = open_page("slides/S1?x=640&y=384&zoom=1")
    opened(page)
    plain = pixels(page)
    elements = page.evaluate("() => document.querySelectorAll('.pane-view *').length")
    page.keyboard.press("g")
    expect(page.get_by_role("button", name="Grid of patches (G)")).to_have_attribute("aria-pressed", "true")
    page.wait_for_timeout(500)
    changed = (np.abs(pixels(page).astype(int) - plain).max(axis=2) > 30).mean(axis=0)
    assert changed.max() > 0.5  # a vertical line through most of the pane
    assert page.evaluate("() => document.querySelectorAll('.pane-view *').length") == elements


def test_a_grid_of_a_hundred_thousand_patches_is_fast_and_right(open_page: Open) -> None:
    """The same modules, on as many patches as a large slide has."""
    page = open_page("slides/S1")
    opened(page)
    found = page.evaluate(
        """async () => {
          const { PatchSet } = await import(new URL("assets/js/viewer/patches.js", document.baseURI));
          const { GridLayer } = await import(new URL("assets/js/viewer/grid_layer.js", document.baseURI));
          const side = 317, step = 256;
          const coords = new Int32Array(2 * side * side);
          for (let i = 0; i < side * side; i += 1) {
            coords[2 * i] = 100 + (i % side) * step;
            coords[2 * i + 1] = 50 + Math.floor(i / side) * step;
          }
          const patches = new PatchSet(coords, step, step);
          const canvas = Object.assign(document.createElement("canvas"), { width: 1200, height: 800 });
          const layer = new GridLayer(patches);
          const paint = (zoom, left, top) => layer.paint({
            context: canvas.getContext("2d"), zoom, width: 1200, height: 800,
            box: { left, top, right: left + 1200 / zoom, bottom: top + 800 / zoom },
            x: (at) => (at - left) * zoom, y: (at) => (at - top) * zoom,
          });
          let touched = 0;
          patches.visit({ left: 30000, top: 30000, right: 31000, bottom: 30700 }, () => (touched += 1));
          for (const zoom of [0.01, 0.02, 0.04, 0.3, 2]) paint(zoom, 20000, 20000);
          const at = patches.at(100 + 5 * step + 3, 50 + 7 * step + 200);
          return { count: patches.count, touched, row: at.row, none: patches.at(0, 0), side };
        }"""
    )
    assert found["count"] == 317**2 > 100_000
    assert found["row"] == 7 * 317 + 5
    assert found["none"] is None
    assert found["touched"] <= 6 * 5  # only what lies in the box, and the cell before
