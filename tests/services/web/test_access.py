"""Who may use the page, and how: tokens, keyboard, screen readers, light and dark, a server that went away."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from slidelake.services.api.tokens import Tokens, new_token
from slidelake.services.lake import Lake
from tests.services.web.acts import drag_slide, opened
from tests.services.web.conftest import Open, Serve, Watched


@pytest.fixture(scope="module")
def guarded(web_lake: Lake, serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A server that wants a token, and one that may read."""
    file = tmp_path_factory.mktemp("tokens") / "tokens"
    word = new_token("reader", "read", file)
    return serve(web_lake, tokens=Tokens.of(file=file)), word


def test_a_token_is_asked_for(open_page: Open, guarded: tuple[str, str], watched: Watched) -> None:
    at, word = guarded
    watched.provoked.add(401)
    page = open_page("slides/S1", at=at)
    dialog = page.get_by_role("dialog", name="A token is needed")
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.locator(".error-box")).to_contain_text("not one of this server's")
    dialog.get_by_label("Token").fill(word)
    dialog.get_by_role("button", name="Sign in").click()
    opened(page)
    assert word not in page.evaluate(
        "() => JSON.stringify([document.cookie, {...localStorage}, location.href])"
    )
    # Such a token may not write: the page says so before anything is lost.
    page.get_by_role("tab", name="Annotate").click()
    page.get_by_role("button", name="Rectangle").click()
    drag_slide(page, (300, 300), (700, 700))
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    expect(page.locator(".annotations .note")).to_contain_text("may read, not write")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("dialog", name="A token is needed")).to_be_visible()


def test_keys_are_listed_and_landmarks_named(open_page: Open) -> None:
    page = open_page("slides/S1")
    opened(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("search for the patch in the middle")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_have_count(0)
    for role, name in (
        ("banner", None),
        ("main", None),
        ("search", None),
        ("navigation", "Views"),
        ("complementary", "Panels of this slide"),
    ):
        expect(page.get_by_role(role, **({"name": name} if name else {}))).to_have_count(1)  # type: ignore[arg-type]
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], input, select, textarea")]
          .filter((e) => e.checkVisibility() && !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.title))
          .map((e) => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
    # Tabs by arrow keys, and a focus that can be seen.
    page.get_by_role("tab", name="Slide", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Similar")).to_be_focused()
    expect(page.get_by_role("tab", name="Similar")).to_have_attribute("aria-selected", "true")
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Search in reports and patches")).to_be_focused()
    page.keyboard.type("g")  # typing is not a shortcut
    expect(page.get_by_role("searchbox", name="Search in reports and patches")).to_have_value("g")
    expect(page.get_by_role("button", name="Grid of patches (G)")).to_have_attribute("aria-pressed", "false")


def test_light_dark_and_what_the_system_says(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    expect(page.locator(".slide-card").first).to_be_visible()

    def brightness() -> int:
        colour: str = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour[4:-1].split(",")) // 3

    assert brightness() < 60
    page.get_by_role("button", name="Change between light and dark").click()
    assert brightness() > 200
    page.reload()  # the choice is remembered
    expect(page.locator(".slide-card").first).to_be_visible()
    assert brightness() > 200
    page.keyboard.press("t")
    assert brightness() < 60


def test_a_server_that_went_away_is_said(open_page: Open, watched: Watched) -> None:
    watched.provoked.add("ERR_INTERNET_DISCONNECTED")
    page = open_page("slides/S1")
    opened(page)
    page.context.set_offline(True)
    page.keyboard.press("s")
    expect(page.locator(".similar .error-box")).to_contain_text("The server cannot be reached")
    expect(page.locator(".similar .error-box")).to_contain_text("slidelake serve")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".hit").first).to_be_visible()


def test_a_lake_without_an_index_says_what_to_do(
    open_page: Open, serve: Serve, tmp_path: Path, watched: Watched
) -> None:
    from slidelake.services.lake import open as open_lake
    from tests.ingest.slides import tissue_slide

    watched.provoked |= {409, 400}
    slide = tissue_slide(tmp_path / "A.tif", levels=(4,))
    lake = open_lake(tmp_path / "lake")
    lake.ingest(str(slide), sync_index=False, workers=0)
    page = open_page("slides/A?x=384&y=384&zoom=1", at=serve(lake))
    opened(page)
    page.keyboard.press("s")
    page.get_by_role("tab", name="Similar").click()
    expect(page.locator(".similar .error-box").last).to_contain_text("index sync")
