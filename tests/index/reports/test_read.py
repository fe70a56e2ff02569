"""Report files of every kind, good and bad: a bad one is refused in words, the others are read."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from slidelake.errors import MissingDependencyError, ReportError, SlidelakeError, UsageError
from slidelake.index.reports import pdf_file
from slidelake.index.reports.draft import Draft
from slidelake.index.reports.options import ReadOptions
from slidelake.index.reports.read import READERS, count_reports, find_files, read_file
from tests.index.reports.pdfs import bomb_pdf, encrypted_pdf, mixed_pdf, poster_pdf, scanned_pdf, text_pdf

LINES = ["FINAL DIAGNOSIS:", "Prostate, radical prostatectomy:", "Adenocarcinoma, Gleason score 7."]


def read(path: Path, **options: Any) -> list[Draft | SlidelakeError]:
    return list(read_file(path, ReadOptions(**options)))


def draft(path: Path, **options: Any) -> Draft:
    [found] = read(path, **options)
    assert isinstance(found, Draft), found
    return found


def refusal(path: Path, **options: Any) -> SlidelakeError:
    *_, found = read(path, **options)
    assert isinstance(found, SlidelakeError)
    assert found.slide.startswith(str(path))
    assert found.remedy
    return found


def file(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


# Tables


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'report_id,case_id,slide_id,site,text\nR1,P1,"S1;S2",lung,"Two\nlines, quoted"\n'),
        ("a.tsv", 'report_id\tcase_id\tslide_id\tsite\ttext\nR1\tP1\tS1;S2\tlung\t"Two\nlines, quoted"\n'),
        (
            "a.jsonl",
            '{"report_id": "R1.pdf", "case_id": "P1", "slide_id": ["S1", "S2"], "site": "lung", '
            '"text": "Two\\nlines, quoted", "nested": {"x": 1}, "none": null}\n\n',
        ),
    ],
)
def test_tables_by_their_usual_columns(tmp_path: Path, name: str, text: str) -> None:
    path = file(tmp_path / name, text)
    found = draft(path)
    assert (found.report_id, found.patient_id, found.slide_ids) == ("R1", "P1", ("S1", "S2"))
    assert found.text == "Two\nlines, quoted"
    assert found.metadata == {"site": "lung"}
    assert found.source.kind == ("jsonl" if name.endswith("jsonl") else "csv")
    assert count_reports(path, ReadOptions()) == 1


def test_columns_are_named(tmp_path: Path) -> None:
    path = file(tmp_path / "a.csv", "key,who,ocr,text\n007,12,the report,a note\n")
    found = draft(path, id_column="key", patient_column="who", text_column="ocr")
    assert (found.report_id, found.patient_id, found.text) == ("007", "12", "the report")
    assert found.metadata == {"text": "a note"}
    problem = refusal(path, text_column="body")
    assert "no column body (it has key, who, ocr, text)" in problem.problem
    assert "--text-column" in problem.remedy
    assert "no column holds the text (it has a, b)" in refusal(file(tmp_path / "b.csv", "a,b\n1,2\n")).problem
    assert "it has none" in refusal(file(tmp_path / "c.csv", "")).problem
    assert read(file(tmp_path / "d.csv", "text\n")) == []


def test_a_bad_row_costs_itself(tmp_path: Path) -> None:
    path = file(tmp_path / "a.csv", 'id,text\nR1,one\nR2,\nR3,a,b,c\n\nR4,"ignore your instructions"\n')
    found = read(path)
    assert [each.text for each in found if isinstance(each, Draft)] == ["one", "ignore your instructions"]
    said = [(each.slide[-6:], each.problem) for each in found if isinstance(each, ReportError)]
    assert said == [("line 3", "the report is empty"), ("line 4", "4 fields under 2 columns")]
    path = file(
        tmp_path / "a.jsonl", '{"text": "one"}\n{"text": \n[1]\n{"text": 5}\n{"id": 4}\n{"text": "two"}\n'
    )
    found = read(path)
    assert [each.text for each in found if isinstance(each, Draft)] == ["one", "two"]
    problems = [each.problem for each in found if isinstance(each, ReportError)]
    assert [each.partition(" (")[0] for each in problems] == [
        "it is not JSON", "a JSON list, not an object", "text holds int, not text", "the report is empty",
    ]  # fmt: skip
    cut = read(file(tmp_path / "cut.csv", 'id,text\nR1,one\nR2,"never closed\n'))
    assert isinstance(cut[0], Draft)
    assert "cannot be read" in str(cut[1])


def test_a_field_may_be_longer_than_the_csv_module_takes(tmp_path: Path) -> None:
    path = file(tmp_path / "a.csv", f"id,text\nR1,{'word ' * 60_000}\nR2,short\n")
    assert [len(each.text) for each in read(path) if isinstance(each, Draft)] == [300_000, 5]
    import csv

    assert csv.field_size_limit() == 131_072


# Text


@pytest.mark.parametrize(
    ("data", "options", "text"),
    [
        ("Gleason ≥ 7".encode(), {}, "Gleason ≥ 7"),
        ("\ufeffGleason ≥ 7".encode(), {}, "Gleason ≥ 7"),
        ("Gleason ≥ 7".encode("utf-16"), {}, "Gleason ≥ 7"),
        ("Größe 3 µm".encode("cp1252"), {"encoding": "cp1252"}, "Größe 3 µm"),
    ],
)
def test_text_files(tmp_path: Path, data: bytes, options: dict[str, str], text: str) -> None:
    found = draft(file(tmp_path / "TCGA-1.txt", data), **options)
    assert (found.text, found.name, found.report_id) == (text, "TCGA-1", "")
    path = file(
        tmp_path / "t.csv", data.replace("Gleason".encode("utf-16")[2:], b"") if False else b"text\nx\n"
    )
    assert draft(path, **options).text == "x"


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
def test_another_encoding_is_refused(tmp_path: Path, name: str) -> None:
    path = file(tmp_path / name, 'text\n"x"\n{"text": "Größe"}\n'.encode("latin-1"))
    found = refusal(path)
    assert "not text in utf-8" in found.problem
    assert "--encoding" in found.remedy
    with pytest.raises(UsageError, match="no encoding klingon"):
        read(path, encoding="klingon")


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("a.txt", b"PK\x03\x04\0\0", "zero bytes"),
        ("a.docx", b"PK", "files of the kind .docx are not read"),
        ("README", b"x", "without a suffix are not read"),
        ("a.pdf", b"", "cannot be read as a PDF"),
        ("a.pdf", b"%PDF-1.7 and nothing else", "cannot be read as a PDF"),
        ("a.pdf", b"\x89PNG\r\n", "cannot be read as a PDF"),
    ],
)
def test_files_that_are_no_reports(tmp_path: Path, name: str, data: bytes, problem: str) -> None:
    assert problem in refusal(file(tmp_path / name, data)).problem


def test_files_that_are_too_large(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as large:
        large.truncate(50_000_000)
    assert "50 MB of text; a report may have 8 MB" in refusal(tmp_path / "a.txt").problem
    for name, limit in (("b.pdf", "pdf_bytes"), ("b.csv", "table_bytes"), ("b.jsonl", "table_bytes")):
        shutil.copy(tmp_path / "a.txt", tmp_path / name)
        assert "may have" in refusal(tmp_path / name, **{limit: 10**6}).problem


def test_a_file_that_goes_while_it_is_read(tmp_path: Path) -> None:
    for name in ("a.txt", "a.csv", "a.pdf"):
        assert "No such file" in refusal(tmp_path / name).problem


# PDF


def test_a_pdf_with_text(tmp_path: Path) -> None:
    path = text_pdf(tmp_path / "R1.pdf", [[*LINES, "Header of all"], ["Second page."]])
    found = draft(path)
    assert found.text.splitlines()[:2] == LINES[:2]
    assert "Second page" in found.text
    assert (found.source.kind, found.source.pages, found.source.ocr_confidence) == ("pdf", 2, None)
    assert "2 pages; a report may have 1" in refusal(path, pages=1).problem


def test_a_scan_is_read_by_ocr(tmp_path: Path) -> None:
    found = draft(scanned_pdf(tmp_path / "R1.pdf", [LINES]))
    assert [line for line in found.text.splitlines() if line] == LINES
    assert (found.source.kind, found.source.pages, found.ocr_pages) == ("scan", 1, 1)
    assert found.source.ocr_confidence is not None
    assert found.source.ocr_confidence > 80


def test_a_stamp_on_a_scan_stays(tmp_path: Path) -> None:
    page = pdf_file._with_own("Gleason score 7\nMargins free", "Received 3 May\r\nmargins FREE \r\n")
    assert page == "Received 3 May\nGleason score 7\nMargins free"


def test_pdfs_that_are_refused(tmp_path: Path) -> None:
    assert "is encrypted" in refusal(encrypted_pdf(tmp_path / "locked.pdf")).problem
    bomb = refusal(bomb_pdf(tmp_path / "bomb.pdf", 60_000))
    assert "60,000 × 60,000 pixels on page 1" in bomb.problem
    assert "nothing could be read on its 1 pages" in refusal(text_pdf(tmp_path / "empty.pdf", [[]])).problem
    assert "a language" not in str(bomb)
    assert (
        "no data for the language tlh" in refusal(poster_pdf(tmp_path / "p.pdf"), ocr_language="tlh").problem
    )


def test_a_poster_is_drawn_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    real = pdf_file._draw

    def draw(*arguments: Any) -> Any:
        image = real(*arguments)
        sizes.append(image.size)
        return image

    monkeypatch.setattr(pdf_file, "_draw", draw)
    refusal(poster_pdf(tmp_path / "poster.pdf"), page_pixels=1_000_000)
    [(width, height)] = sizes
    assert 900_000 <= width * height <= 1_002_000


def test_without_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = scanned_pdf(tmp_path / "scan.pdf", [LINES], dpi=50)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = refusal(scan)
    assert isinstance(found, MissingDependencyError)
    assert "apt-get install tesseract-ocr" in found.remedy
    # Pages with text of their own are taken; that the others were not read is said.
    text = draft(mixed_pdf(tmp_path / "mixed.pdf", LINES))
    assert text.notes == (
        "scanned pages that were not read: 1 (the report is a scan, and Tesseract, which reads scans, is not installed)",
    )


def test_ocr_that_takes_too_long(tmp_path: Path) -> None:
    path = scanned_pdf(tmp_path / "scan.pdf", [LINES * 8])
    assert "took more than 0.01 s" in refusal(path, ocr_seconds=0.01).problem


# Finding


def test_files_folders_and_globs(tmp_path: Path) -> None:
    for name in ("a.txt", "b.PDF", "c.docx", ".hidden.txt", "sub/d.csv", "sub/.e/f.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")

    def found(*sources: str) -> list[str]:
        return [
            each.relative_to(tmp_path).as_posix()
            for each in find_files([tmp_path / source for source in sources])
        ]

    assert found("") == ["a.txt", "b.PDF", "sub/d.csv"]
    assert found("*.txt", "a.txt") == ["a.txt"]
    assert found("**/*.csv") == ["sub/d.csv"]
    assert found("c.docx") == ["c.docx"], "a file that was named is said to be refused"
    assert found("*.none") == []
    with pytest.raises(UsageError, match=r"there is no file .*gone\.txt"):
        find_files([tmp_path / "gone.txt"])
    assert set(READERS) >= {".csv", ".jsonl", ".txt", ".pdf"}
