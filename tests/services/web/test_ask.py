"""Questions: answers whose [n] lead to the passage, and what is said where there is no answer."""

import pytest
from playwright.sync_api import expect

from tests.services.web.acts import click_slide, opened
from tests.services.web.conftest import Open


def test_an_answer_leads_to_its_sources(open_page: Open) -> None:
    page = open_page("ask")
    page.get_by_label("Question").fill("Which patient had squamous cell carcinoma of the larynx?")
    page.get_by_role("button", name="Ask", exact=True).click()
    answer = page.locator(".answer-text")
    expect(answer).to_contain_text("quamous cell carcinoma", timeout=60_000)
    expect(page.locator(".citations")).to_contain_text("R-P1")
    answer.get_by_role("link", name="Source 1").first.click()
    expect(page.locator(".report-page")).to_contain_text("laryngectomy specimen")
    expect(page.locator("mark.passage").first).to_contain_text("Squamous cell carcinoma")
    # Whoever looked at a source finds the question and its answer again.
    page.go_back()
    expect(page.get_by_label("Question")).to_have_value(
        "Which patient had squamous cell carcinoma of the larynx?"
    )
    expect(page.locator(".answer-text")).to_contain_text("quamous cell carcinoma")
    expect(page.locator(".answer")).to_contain_text("no language model wrote it")
    page.goto(page.url.replace("#/ask", "#/slides/S1"))
    page.get_by_role("tab", name="Ask").click()
    expect(page.get_by_label("Question")).to_have_value("")  # of another place


def test_a_question_about_the_searched_place(open_page: Open) -> None:
    page = open_page("slides/S1")
    opened(page)
    click_slide(page, 600, 300)
    expect(page.locator(".hit").first).to_be_visible()
    page.get_by_role("tab", name="Ask").click()
    page.get_by_label("Leave out this patient's own report").check()
    page.get_by_label("Question").fill("What did patients with tissue like this have?")
    with page.expect_request("**/api/ask") as asked:
        page.get_by_label("Question").press("Enter")
    body = asked.value.post_data_json
    assert (body["slide"], body["exclude_own_report"]) == ("S1", True)
    assert (body["x"], body["y"]) == (pytest.approx(600, abs=2), pytest.approx(300, abs=2))
    expect(page.locator(".answer-text")).to_be_visible(timeout=60_000)
    expect(page.locator(".answer")).not_to_contain_text("R-P1")  # left out


def test_what_the_archive_does_not_know(open_page: Open) -> None:
    page = open_page("ask")
    page.get_by_label("Question").fill("What is the capital of Peru?")
    page.get_by_label("Question").press("Enter")
    expect(page.locator(".answer-text.abstained")).to_be_visible(timeout=60_000)
    expect(page.locator(".answer")).not_to_contain_text("Written by")
    expect(page.locator(".citations")).to_have_count(0)


def test_a_hostile_report_stays_text_in_an_answer(open_page: Open) -> None:
    page = open_page("ask")
    page.get_by_label("Question").fill(
        "Which patient had adenocarcinoma of the lung with lymphovascular invasion?"
    )
    page.get_by_label("Question").press("Enter")
    expect(page.locator(".citations")).to_contain_text("R-P2", timeout=60_000)
    assert page.evaluate("() => window.hacked") is None
    assert page.locator(".answer img").count() == 0
