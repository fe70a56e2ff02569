"""Reports through the API: lists, texts, and their going with a slide."""

import pytest

from slidelake.store import Report, Section
from tests.services.api.lakes import error, fill, served

TEXT = "Diagnosis: carcinoma <b>of</b> the larynx. ✓\nMicroscopy: keratin."


@pytest.fixture(scope="module")
def lake_with_reports(tmp_path_factory):
    lake = fill(tmp_path_factory.mktemp("reports"), index=False)
    cut = TEXT.index("Microscopy")
    sections = (Section("Diagnosis", 0, cut), Section("Microscopy", cut, len(TEXT)))
    for report_id, patient, slides in (
        ("R1", "P1", ("S1",)),
        ("R2", "P1", ()),
        ("R3", "P2", ("S3",)),
        ("R4", "P9", ()),
    ):
        lake.store.reports.put(
            Report(
                report_id, patient, TEXT, slides, f"Title of {report_id}", sections, metadata={"year": 2024}
            )
        )
    return lake


@pytest.fixture(scope="module")
def reader(lake_with_reports):
    with served(lake_with_reports, fresh_for=0.05) as client:
        yield client


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["R1", "R2", "R3", "R4"]),
        ({"patient": "P1"}, ["R1", "R2"]),
        ({"patient": "nobody"}, []),
        ({"slide": "S1"}, ["R1", "R2"]),
        ({"slide": "S2"}, ["R2"]),
        ({"slide": "S3", "patient": "P1"}, []),
        ({"offset": 1, "limit": 2}, ["R2", "R3"]),
    ],
)
def test_lists(reader, asked, found):
    entries = reader.get("/api/reports", params=asked).json()
    assert [each["report_id"] for each in entries] == found


def test_an_entry_and_a_report(reader):
    (entry,) = reader.get("/api/reports?patient=P2").json()
    assert entry == {
        "report_id": "R3",
        "title": "Title of R3",
        "patient_id": "P2",
        "slide_ids": ["S3"],
        "sections": ["Diagnosis", "Microscopy"],
    }
    answer = reader.get("/api/reports/R3")
    report = answer.json()
    assert report["text"] == TEXT
    first = report["sections"][1]
    assert report["text"][first["start"] : first["end"]] == "Microscopy: keratin."
    assert report["metadata"] == {"year": 2024}
    again = reader.get("/api/reports/R3", headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert reader.get("/api/slides/S2").json()["reports"] == [{"report_id": "R2", "title": "Title of R2"}]


@pytest.mark.parametrize("name", ["R9", "r1", "..", "%2e%2e", "R1%00", "R1%2f..%2fR2", "x" * 3000])
def test_a_report_that_there_is_not(reader, name):
    answer = reader.get(f"/api/reports/{name}")
    assert answer.status_code == 404
    assert len(error(answer)["problem"]) < 400


def test_reports_of_a_slide_that_there_is_not(reader):
    assert reader.get("/api/reports?slide=S9").status_code == 404


def test_a_report_that_came_a_moment_ago_and_one_that_went(reader, lake_with_reports):
    store = lake_with_reports.store.reports
    assert reader.get("/api/reports/R5").status_code == 404
    store.put(Report("R5", "P2", "Late.", title="Late"))
    reader.app.state.context.reports.forget()
    assert reader.get("/api/reports/R5").json()["text"] == "Late."
    store.remove("R5")
    assert reader.get("/api/reports/R5").status_code == 404
