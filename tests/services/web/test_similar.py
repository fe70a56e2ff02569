"""Similar patches: click, lasso, settings, and the hit beside the query at one scale, moving with it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from slidelake.services.lake import Lake
from slidelake.services.lake import open as open_lake
from tests.ingest.slides import tissue, write_slide
from tests.services.web.acts import click_slide, drag_slide, opened, pane, to_screen, viewer
from tests.services.web.conftest import Open, Serve, Watched
from tests.services.web.test_viewer import micron_scale


def hits(page: Page) -> list[dict[str, str]]:
    """Score and slide of each hit, as they are spoken."""
    expect(page.locator(".result")).to_have_attribute("aria-busy", "false")
    labels = [button.get_attribute("aria-label") or "" for button in page.locator(".hit").all()]
    found = [
        re.match(r"Hit \d+, score (-?[\d.]+), slide (\S+?)(?:, patient (.+))?$", label) for label in labels
    ]
    return [{"score": m[1], "slide": m[2], "patient": m[3] or m[2]} for m in found if m]


@pytest.fixture
def searched(open_page: Open) -> Page:
    """S1, with a search for the patch at (512, 256)."""
    page = open_page("slides/S1")
    opened(page)
    click_slide(page, 600, 300)
    expect(page.locator(".hit").first).to_be_visible()
    return page


def test_a_click_finds_similar_patches(searched: Page, web_lake: Lake) -> None:
    page = searched
    expect(page.get_by_role("tab", name="Similar")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".query")).to_contain_text("at 512, 256 px")
    page.wait_for_function("() => document.querySelector('.query img').naturalWidth > 0")
    expect(page.locator(".result-line")).to_contain_text("20 patches of")
    expected = web_lake.search(slide="S1", at=(600, 300), k=20, exclude_same_patient=True)
    shown = hits(page)
    assert [hit["slide"] for hit in shown] == [hit.slide_id for hit in expected]
    assert [float(hit["score"]) for hit in shown] == pytest.approx([hit.score for hit in expected], abs=6e-4)
    assert "P1" not in {hit["patient"] for hit in shown}
    expect(page.locator("#said")).to_contain_text("20 patches found")
    page.wait_for_function("() => document.querySelector('.hit img').naturalWidth > 0")


def test_settings_search_again(searched: Page) -> None:
    page = searched
    page.get_by_label("Leave out this patient").uncheck()
    expect(page.locator(".hit").first).to_have_attribute("aria-label", re.compile("patient P1"))
    page.get_by_label("Hits", exact=True).select_option("10")
    expect(page.locator(".hit")).to_have_count(10)
    page.locator(".filter-box > summary").click()
    page.get_by_role("checkbox", name="lung").check()
    expect(page.locator(".filter-box > summary")).to_have_text("Filters (1)")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.hit')].every((hit) => / (S2|S3),/.test(hit.ariaLabel))"
    )
    assert {hit["slide"] for hit in hits(page)} <= {"S2", "S3"}
    page.get_by_label("age from").fill("99")
    page.get_by_label("age from").press("Tab")
    expect(page.get_by_text("Nothing was found.")).to_be_visible()


def test_a_hit_opens_at_the_same_physical_scale_and_moves_along(searched: Page) -> None:
    page = searched
    page.locator(".hit", has_text="S3").first.click()  # S3 has twice the resolution of S1
    opened(page, 1)
    opened(page, 0)
    expect(page.locator(".pane-hit")).to_contain_text("same scale")
    first, second = viewer(page, 0), viewer(page, 1)
    assert micron_scale(page, 0) == pytest.approx(micron_scale(page, 1), rel=1e-3)
    assert second["zoom"] == pytest.approx(first["zoom"] / 2, rel=1e-3)
    # The query in the middle of one pane, the hit in the middle of the other.
    assert (first["x"], first["y"]) == (pytest.approx(640, abs=2), pytest.approx(384, abs=2))
    assert float(re.search(r"vx=(\d+)", page.url)[1]) + 256 == pytest.approx(second["x"], abs=2)  # type: ignore[index]

    drag_slide(page, (700, 500), (600, 450))
    page.wait_for_timeout(600)
    moved, along = viewer(page, 0), viewer(page, 1)
    assert moved["x"] > first["x"] + 50
    assert (along["x"] - second["x"]) * 0.25 == pytest.approx((moved["x"] - first["x"]) * 0.5, abs=2)
    assert (along["y"] - second["y"]) * 0.25 == pytest.approx((moved["y"] - first["y"]) * 0.5, abs=2)
    box = pane(page, 1)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -300)  # in the hit's pane: the query follows
    page.wait_for_timeout(700)
    assert viewer(page, 1)["zoom"] > 1.1 * along["zoom"]
    assert micron_scale(page, 0) == pytest.approx(micron_scale(page, 1), rel=1e-3)

    page.keyboard.press("u")
    expect(page.locator(".pane-hit")).to_contain_text("not linked")
    stays = viewer(page, 1)
    page.keyboard.press("h")
    page.wait_for_timeout(600)
    assert viewer(page, 1) == pytest.approx(stays)
    page.keyboard.press("u")  # together again: at one scale
    page.wait_for_timeout(300)
    assert micron_scale(page, 0) == pytest.approx(micron_scale(page, 1), rel=1e-3)
    page.keyboard.press("Escape")
    expect(page.locator(".pane-view")).to_have_count(1)


def test_the_pair_has_an_address(searched: Page, open_page: Open) -> None:
    page = searched
    page.keyboard.press("n")
    opened(page, 1)
    slide = page.locator(".pane-hit .pane-caption strong").inner_text()
    page.wait_for_function("() => /vs=/.test(location.hash)")
    again = open_page(page.url.partition("#/")[2])
    opened(again, 1)
    expect(again.locator(".pane-hit .pane-caption strong")).to_have_text(slide)
    expect(again.locator(".hit").first).to_be_visible()
    page.wait_for_timeout(300)
    here, there = viewer(page, 1), viewer(again, 1)
    assert there["x"] == pytest.approx(here["x"], abs=3)
    again.keyboard.press("n")
    expect(again.locator(".hit").first).to_have_attribute("aria-pressed", "true")


def test_a_click_in_the_hit_searches_from_there(searched: Page) -> None:
    page = searched
    page.locator(".hit", has_text="S3").first.click()
    opened(page, 1)
    box = pane(page, 1)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".pane-query .pane-caption strong")).to_have_text("S3")
    expect(page.locator(".hit").first).to_be_visible()
    assert "P2" not in {hit["patient"] for hit in hits(page)}


def test_a_lassoed_region(open_page: Open) -> None:
    page = open_page("slides/S1")
    opened(page)
    page.get_by_role("button", name="Lasso a region to search for (L)").click()
    drag_slide(page, (300, 300), (900, 300), (900, 900), (300, 900), (300, 310))
    expect(page.locator(".query")).to_contain_text("Patches like this region")
    expect(page.locator(".query")).to_contain_text(re.compile(r"[4-9] patches"))
    expect(page.locator(".hit")).to_have_count(20)
    view = viewer(page)
    page.locator(".hit").first.click()
    opened(page, 1)
    assert viewer(page)["x"] != view["x"]  # the region came to the middle
    left, _ = to_screen(page, 600, 600)
    assert left == pytest.approx(pane(page)["x"] + pane(page)["width"] / 2, abs=12)


def test_similar_slides(open_page: Open) -> None:
    page = open_page("slides/S1")
    opened(page)
    page.get_by_role("tab", name="Slide", exact=True).click()
    page.get_by_role("button", name="Find similar slides").click()
    expect(page.locator(".query")).to_contain_text("Slides like this one")
    expect(page.locator(".hit")).to_have_count(3)  # of the other patients
    page.locator(".hit").first.click()
    opened(page, 1)
    assert micron_scale(page, 0) == pytest.approx(micron_scale(page, 1), rel=1e-3)


def test_a_click_beside_the_tissue_says_where_patches_are(open_page: Open, watched: Watched) -> None:
    watched.provoked.add(400)
    page = open_page("slides/S1")
    opened(page)
    click_slide(page, 1990, 1400)
    expect(page.locator(".similar .error-box")).to_contain_text("No patch holds level-0 pixel")
    expect(page.locator(".similar .error-box p")).to_contain_text("The nearest patch holds")


def test_the_keyboard_alone_is_enough(open_page: Open) -> None:
    page = open_page("slides/S1?x=600&y=300&zoom=1")
    opened(page)
    page.keyboard.press("s")
    expect(page.locator(".query")).to_contain_text("at 512, 256 px")
    expect(page.locator(".hit").first).to_be_visible()
    page.keyboard.press("n")
    opened(page, 1)
    page.keyboard.press("x")
    expect(page.get_by_label("Leave out this patient")).not_to_be_checked()


def test_the_address_without_a_hit_has_none_beside(open_page: Open) -> None:
    page = open_page("slides/S1?vs=S3&vx=0&vy=0&x=256&y=256&w=256&h=256")
    expect(page.locator(".pane")).to_have_count(2)
    opened(page, 1)
    page.evaluate("() => { location.hash = '#/slides/S1?cx=512&cy=512&zoom=0.5'; }")
    expect(page.locator(".pane")).to_have_count(1)
    page.wait_for_function("() => location.hash.includes('cx=512')")
    assert "x=256" not in page.url.replace("cx=", "")


def test_the_embedding_of_most_dimensions_is_taken_first(
    open_page: Open, serve: Serve, tmp_path: Path
) -> None:
    """Colour alone, the baseline, stands first in the alphabet and finds what has the same stain."""
    path = write_slide(tmp_path / "T1.tif", tissue(1024, 768, seed=3, glass=0.2), mpp=0.5)
    lake = open_lake(tmp_path / "lake")
    for encoder in ("colour-histogram", "stain-texture"):
        lake.ingest(str(path), encoder=encoder, sync_index=False, workers=0)
    page = open_page("slides/T1", at=serve(lake))
    page.get_by_role("tab", name="Similar").click()
    expect(page.get_by_label("Embedding")).to_have_value(re.compile("/stain-texture"))
    page.get_by_label("Embedding").select_option(index=0)
    page.reload()
    expect(page.get_by_label("Embedding")).to_have_value(
        re.compile("/colour-histogram")
    )  # chosen by the person
