"""Reports: beside the slide, found by words, a passage highlighted; what they hold is text and nothing else."""

from playwright.sync_api import expect

from tests.services.web.acts import opened
from tests.services.web.archive import HOSTILE, REPORTS
from tests.services.web.conftest import Open, Watched


def test_the_patients_reports_beside_the_slide(open_page: Open) -> None:
    page = open_page("slides/S1")
    opened(page)
    page.get_by_role("tab", name="Reports").click()
    report = page.locator(".reports .report-text")
    expect(report).to_contain_text("Squamous cell carcinoma of the larynx")
    expect(report.get_by_role("heading").first).to_contain_text("DIAGNOSIS")
    page.get_by_role("link", name="Open on a page of its own").click()
    expect(page.locator(".report-page")).to_contain_text("laryngectomy specimen")
    page = open_page("slides/S4")
    opened(page)
    page.get_by_role("tab", name="Reports").click()
    expect(page.locator(".reports")).to_contain_text("No report of patient P3 is in this lake.")


def test_words_find_a_passage_and_the_passage_is_shown(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("/")
    page.keyboard.type("keratinizing carcinoma of the larynx")
    page.keyboard.press("Enter")
    hit = page.locator(".passage-hit").first
    expect(hit).to_contain_text("Squamous cell carcinoma")
    expect(hit).to_contain_text("patient P1")
    shown = hit.locator("p").first.inner_text()
    hit.locator("a.passage-head").click()
    passage = page.locator("mark.passage").first
    expect(passage).to_be_in_viewport()
    marked = " ".join(page.locator("mark.passage").all_inner_texts())
    assert marked.split() == shown.split()
    # An embedding of pictures alone says that it knows no words.
    page.go_back()
    expect(page.get_by_role("button", name="Search patches")).to_be_visible()


def test_an_embedding_without_words_says_so(open_page: Open, watched: Watched) -> None:
    watched.provoked.add(400)
    page = open_page("search?text=gland")
    page.get_by_role("button", name="Search patches").click()
    expect(page.locator(".search-patches .error-box p")).to_contain_text("encoder of images and text")


def test_a_hostile_report_is_text(open_page: Open) -> None:
    text = REPORTS["P2"]
    page = open_page("reports/R-P2")
    expect(page.locator(".report-text")).to_contain_text(HOSTILE)
    assert text.split()[-1] in page.locator(".report-text").inner_text()
    assert page.evaluate("() => window.hacked") is None


def test_an_unknown_report(open_page: Open, watched: Watched) -> None:
    watched.provoked.add(404)
    page = open_page("reports/nothing")
    expect(page.locator(".error-box")).to_contain_text("nothing")
