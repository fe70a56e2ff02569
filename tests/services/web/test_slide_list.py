"""The list of slides: pictures, search, filters, pages; and what it says when there is nothing."""

from pathlib import Path

from playwright.sync_api import expect

from slidelake.services.lake import Lake
from slidelake.services.lake import open as open_lake
from tests.services.web.archive import COHORT, HOSTILE
from tests.services.web.conftest import Open, Serve


def test_all_slides_are_listed_with_thumbnails(open_page: Open) -> None:
    page = open_page()
    cards = page.get_by_role("list", name="Slides").get_by_role("listitem")
    expect(cards).to_have_count(len(COHORT))
    expect(page.locator(".list-status")).to_have_text("5 slides")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.slide-card img')].every((i) => i.naturalWidth > 0)"
    )
    assert page.locator(".slide-card img").count() == len(COHORT)
    expect(cards.nth(0)).to_contain_text("patient P1")
    expect(cards.nth(0)).to_contain_text("site larynx")
    expect(page.locator(".slide-card", has_text="S5")).to_contain_text("slide file not reachable")


def test_what_a_lake_holds_is_text_never_markup(open_page: Open) -> None:
    page = open_page()
    expect(page.locator(".slide-card", has_text="S4")).to_contain_text(HOSTILE)
    expect(page.locator(".slide-card", has_text="S5")).to_contain_text(f"patient {HOSTILE}")
    expect(page.locator(".filters")).to_contain_text(HOSTILE)
    page.goto(f"{page.url.split('#')[0]}#/slides/S4")
    expect(page.locator(".facts")).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None


def test_search_filters_and_their_address(open_page: Open) -> None:
    page = open_page()
    cards = page.locator(".slide-card")
    page.get_by_label("Find a slide").fill("P1")
    expect(cards).to_have_count(2)
    page.get_by_role("checkbox", name="lung").check()
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("S2")
    page.reload()  # the address holds both
    expect(cards).to_have_count(1)
    expect(page.get_by_role("checkbox", name="lung")).to_be_checked()
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("Find a slide").fill("")
    expect(cards).to_have_count(5)
    page.get_by_label("age from").fill("60")
    page.get_by_label("age from").press("Tab")
    expect(cards).to_have_count(2)
    page.get_by_label("Find a slide").fill("nobody")
    expect(page.get_by_text("No slide matches.").first).to_be_visible()


def test_pages(open_page: Open) -> None:
    page = open_page("slides?limit=2")
    expect(page.get_by_text("1–2 of 5 slides").first).to_be_visible()
    expect(page.get_by_role("button", name="Previous page")).to_be_disabled()
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text("3–4 of 5 slides").first).to_be_visible()
    page.get_by_role("button", name="Next page").click()
    expect(page.locator(".slide-card")).to_have_count(1)
    expect(page.get_by_text("Page 3 of 3")).to_be_visible()
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    page.go_back()
    expect(page.get_by_text("Page 2 of 3")).to_be_visible()


def test_an_empty_lake_says_what_to_do(open_page: Open, serve: Serve, tmp_path: Path) -> None:
    page = open_page(at=serve(open_lake(tmp_path / "empty")))
    expect(page.get_by_text("This lake has no slides yet.")).to_be_visible()
    expect(page.get_by_text("slidelake ingest")).to_be_visible()


def test_works_below_a_prefix(open_page: Open, serve: Serve, web_lake: Lake) -> None:
    at = serve(web_lake, prefix="/some/lake")
    page = open_page(at=at)
    page.locator(".slide-card a").first.click()
    expect(page.locator(".scale-bar-power")).to_contain_text("×")
    page.wait_for_function(
        "() => OpenSeadragon.getViewer(document.querySelector('.pane-view')).world.getItemAt(0)?.getFullyLoaded()"
    )
    page.keyboard.press("s")
    expect(page.locator(".hit").first).to_be_visible()
    page.wait_for_function("() => [...document.querySelectorAll('.hit img')].some((i) => i.naturalWidth > 0)")
    assert page.url.startswith(f"{at}#/slides/S1")
