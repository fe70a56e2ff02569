"""Annotations: drawn, named, saved, read again, exported and imported; two people at once; bad files."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from slidelake.services.lake import Lake
from tests.services.web.acts import click_slide, drag_slide, opened
from tests.services.web.conftest import Open, Watched

SQUARE = [[[100, 100], [400, 100], [400, 300], [100, 300], [100, 100]]]


def rows(page: Page):
    return page.get_by_role("list", name="Annotations").get_by_role("listitem")


def annotate(open_page: Open, slide: str) -> Page:
    page = open_page(f"slides/{slide}")
    opened(page)
    page.get_by_role("tab", name="Annotate").click()
    return page


def test_draw_name_save_and_read_again(open_page: Open, web_lake: Lake) -> None:
    page = annotate(open_page, "S2")
    expect(page.get_by_text("No annotation yet.")).to_be_visible()
    page.get_by_role("button", name="Rectangle").click()
    drag_slide(page, (200, 200), (500, 420))
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Name").fill("front <b>")
    page.get_by_label("Class").fill("Tumor")
    page.get_by_role("button", name="Polygon").click()
    for x, y in ((600, 600), (900, 620), (760, 900)):
        click_slide(page, x, y)
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(2)
    page.locator(".openseadragon-canvas").first.focus()
    page.keyboard.press("f")
    drag_slide(page, (200, 800), (400, 800), (400, 1000), (210, 1000))
    expect(rows(page)).to_have_count(3)
    rows(page).nth(2).get_by_role("button", name="Delete this annotation").click()
    expect(page.get_by_text("2 annotations, not saved yet")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("2 annotations, saved")).to_be_visible()

    first, second = web_lake.store.annotations.read("S2", "default").to_geojson()["features"]
    assert first["properties"]["name"] == "front <b>"
    assert first["properties"]["classification"]["name"] == "Tumor"
    xs, ys = zip(*first["geometry"]["coordinates"][0], strict=True)
    assert (min(xs), min(ys), max(xs), max(ys)) == pytest.approx((200, 200, 500, 420), abs=4)
    assert len(second["geometry"]["coordinates"][0]) == 4  # a triangle, closed
    again = annotate(open_page, "S2")
    expect(rows(again)).to_have_count(2)
    expect(again.get_by_label("Name").first).to_have_value("front <b>")


def test_export_and_import(open_page: Open, tmp_path: Path) -> None:
    page = annotate(open_page, "S3")
    file = tmp_path / "in.geojson"
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": SQUARE},
        "properties": {
            "objectType": "annotation",
            "name": "from QuPath",
            "classification": {"name": "Stroma"},
        },
    }
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    page.get_by_label("GeoJSON file to import").set_input_files(file)
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_label("Name")).to_have_value("from QuPath")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    assert download.value.suggested_filename == "S3.geojson"
    written = json.loads(Path(download.value.path()).read_text())
    assert written == {"type": "FeatureCollection", "features": [feature]}

    for text, problem in (
        ("no json", "the file is not JSON"),
        ('{"type": "Topology"}', "no GeoJSON FeatureCollection"),
        ('[{"type": "Feature", "geometry": {"type": "Point", "coordinates": ["a", 1]}}]', "no numbers"),
    ):
        file.write_text(text)
        page.get_by_label("GeoJSON file to import").set_input_files(file)
        expect(page.locator(".annotations .error-box")).to_contain_text(problem)
        expect(rows(page)).to_have_count(1)
    # What was not saved is still there after another slide was looked at.
    page.goto(f"{page.url.split('#')[0]}#/slides/S1")
    opened(page)
    page.goto(f"{page.url.split('#')[0]}#/slides/S3")
    opened(page)
    expect(page.get_by_text("1 annotation, not saved yet")).to_be_visible()


def test_two_people_do_not_overwrite_each_other(open_page: Open, web_lake: Lake, watched: Watched) -> None:
    watched.provoked |= {409, 412, 428}
    mine, theirs = annotate(open_page, "S4"), annotate(open_page, "S4")
    for page, left in ((mine, 200), (theirs, 500)):
        page.get_by_role("button", name="Rectangle").click()
        drag_slide(page, (left, 200), (left + 150, 420))
        page.get_by_label("Name").fill(f"at {left}")
    theirs.get_by_role("button", name="Save").click()
    expect(theirs.get_by_text("1 annotation, saved")).to_be_visible()
    mine.get_by_role("button", name="Save").click()
    expect(mine.locator(".annotations .error-box p")).not_to_be_empty()
    mine.get_by_role("button", name="Load theirs").click()
    expect(mine.get_by_label("Name")).to_have_value("at 500")
    [kept] = web_lake.store.annotations.read("S4", "default").to_geojson()["features"]
    assert kept["properties"]["name"] == "at 500"


def test_an_annotation_is_searched_for(open_page: Open) -> None:
    page = annotate(open_page, "S1")
    page.get_by_role("button", name="Rectangle").click()
    drag_slide(page, (300, 300), (900, 900))
    page.get_by_role("button", name="Search for this region").click()
    expect(page.locator(".query")).to_contain_text("Patches like this region")
    expect(page.locator(".hit").first).to_be_visible()
