"""The viewer: pixels, scale, magnification, addresses that say what is seen; without WebGL, without the file."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Playwright, expect

from tests.services.web.acts import drag_slide, opened, pane, viewer
from tests.services.web.conftest import FLAGS, Open, Watched

_DRAWER = "OpenSeadragon.getViewer(document.querySelector('.pane-view')).drawer.getType()"


def pixels(page: Page, index: int = 0) -> np.ndarray:
    """(h, w, 3) of what a pane shows."""
    with Image.open(io.BytesIO(page.locator(".pane-view").nth(index).screenshot())) as shot:
        return np.asarray(shot.convert("RGB"))


def micron_scale(page: Page, index: int = 0) -> float:
    """µm a screen pixel, as the scale bar says it."""
    said = page.locator(".scale-bar").nth(index).get_attribute("aria-label")
    assert said is not None
    return float(said.split(", ")[1].split()[0])


def is_tissue(picture: np.ndarray) -> float:
    """Share of pixels that are pink or purple: more red and blue than green."""
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    return float(((red > green + 20) & (blue > green + 10)).mean())


def test_the_slide_is_shown_with_its_scale(open_page: Open) -> None:
    page = open_page("slides/S1")
    opened(page)
    assert is_tissue(pixels(page)) > 0.15
    view = viewer(page)
    assert micron_scale(page) == pytest.approx(0.5 / view["zoom"], rel=1e-3)
    # The bar is as long as its text says.
    text = page.locator(".scale-bar-text").inner_text()
    microns = float(text.split()[0]) * (1000 if "mm" in text else 1)
    width = page.locator(".scale-bar-line").bounding_box()
    assert width is not None
    assert width["width"] == pytest.approx(microns / micron_scale(page), abs=1.1)
    assert re.fullmatch(r"[\d.]+×", page.locator(".scale-bar-power").inner_text())


def test_magnification_comes_from_the_mpp(open_page: Open) -> None:
    for slide, mpp in (("S1", 0.5), ("S3", 0.25)):
        page = open_page(f"slides/{slide}")
        opened(page)
        page.get_by_role("button", name="10×", exact=True).click()
        expect(page.locator(".scale-bar-power")).to_have_text("10×")
        page.wait_for_timeout(500)  # the zoom runs out
        assert micron_scale(page) == pytest.approx(1.0, rel=1e-3)
        assert viewer(page)["zoom"] == pytest.approx(mpp, rel=1e-3)


def test_the_address_says_what_is_seen(open_page: Open) -> None:
    page = open_page("slides/S1")
    opened(page)
    page.get_by_role("button", name="20×", exact=True).click()
    expect(page.locator(".scale-bar-power")).to_have_text("20×")
    drag_slide(page, (1100, 700), (900, 800))
    page.wait_for_function("() => /cx=/.test(location.hash)")
    page.wait_for_timeout(500)  # the drag runs out
    before = viewer(page)
    again = open_page(page.url.partition("#/")[2])
    opened(again)
    after = viewer(again)
    assert after["zoom"] == pytest.approx(before["zoom"], rel=1e-3)
    assert (after["x"], after["y"]) == (pytest.approx(before["x"], abs=2), pytest.approx(before["y"], abs=2))


def test_a_link_to_a_rectangle_shows_it(open_page: Open) -> None:
    page = open_page("slides/S1?x=512&y=256&w=256&h=256")
    opened(page)
    view, box = viewer(page), pane(page)
    assert (view["x"], view["y"]) == (pytest.approx(640, abs=1), pytest.approx(384, abs=1))
    side = 256 * view["zoom"]
    assert 0.3 * box["height"] < side < 0.5 * box["height"]
    # The frame around it is drawn in the colour of links.
    picture = pixels(page).astype(int)
    edge = round(box["height"] / 2 - side / 2)
    line = picture[edge - 4 : edge + 5, round(box["width"] / 2)]
    assert np.abs(line - (0xC2, 0x41, 0x0C)).max(axis=1).min() < 40


def test_a_point_with_a_zoom_is_a_place_too(open_page: Open) -> None:
    page = open_page("slides/S1?x=700&y=500&zoom=1.5")
    opened(page)
    view = viewer(page)
    assert view == pytest.approx({"x": 700, "y": 500, "zoom": 1.5}, rel=1e-3)


def test_keys_move_and_zoom(open_page: Open) -> None:
    page = open_page("slides/S1")
    opened(page)
    home = viewer(page)
    page.keyboard.press("+")
    page.wait_for_timeout(600)
    near = viewer(page)
    assert near["zoom"] == pytest.approx(1.5 * home["zoom"], rel=0.02)
    page.locator(".openseadragon-canvas").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(600)
    assert viewer(page)["x"] > near["x"] + 5
    page.keyboard.press("r")  # OpenSeadragon would turn the slide; here it takes the rectangle
    expect(page.get_by_text("Pull a rectangle")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("h")
    page.wait_for_timeout(600)
    assert viewer(page)["zoom"] == pytest.approx(home["zoom"], rel=0.02)
    assert (
        page.evaluate("OpenSeadragon.getViewer(document.querySelector('.pane-view')).viewport.getRotation()")
        == 0
    )


def test_a_lost_slide_is_shown_from_its_thumbnail_and_says_so(open_page: Open) -> None:
    page = open_page("slides/S5")
    opened(page)
    expect(page.locator(".pane-note")).to_contain_text("thumbnail")
    assert is_tissue(pixels(page)) > 0.1


def test_with_webgl(open_page: Open) -> None:
    page = open_page(
        viewport={"width": 640, "height": 420}, script="localStorage.setItem('slidelake.drawer', '\"webgl\"')"
    )
    page.goto(f"{page.url}#/slides/S1")
    opened(page)
    assert page.evaluate(_DRAWER) == "webgl"
    assert is_tissue(pixels(page)) > 0.15


def test_without_webgl(open_page: Open, playwright: Playwright, chromium_path: str) -> None:
    flags = [*FLAGS, "--disable-3d-apis"]
    plain = playwright.chromium.launch(executable_path=chromium_path, args=flags)
    try:
        page = open_page("slides/S1", other=plain)
        opened(page)
        assert page.evaluate("document.createElement('canvas').getContext('webgl')") is None
        assert page.evaluate(_DRAWER) == "canvas"
        assert is_tissue(pixels(page)) > 0.15
        page.context.close()
    finally:
        plain.close()


def test_an_unknown_slide_is_an_error_to_read(open_page: Open, watched: Watched) -> None:
    watched.provoked.add(404)
    page = open_page("slides/nobody")
    expect(page.locator(".error-box")).to_contain_text("nobody")
    expect(page.locator(".error-box p")).not_to_be_empty()
    page.get_by_role("link", name="Back to all slides").click()
    expect(page.locator(".slide-card").first).to_be_visible()


def test_a_path_that_is_none(open_page: Open) -> None:
    page = open_page("nothing/here")
    expect(page.get_by_text("There is no page “nothing”.")).to_be_visible()
    expect(page.get_by_role("link", name="All slides", exact=True)).to_be_visible()
