"""Cleaning of pairs that other people wrote: names that lead elsewhere, odd values, one picture of two patients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from slidelake.errors import UsageError
from slidelake.services.tuning.data import DataRequest, read_rows
from slidelake.services.tuning.data.clean import CleaningOptions
from slidelake.services.tuning.data.cleaned_data import make_clean_data
from slidelake.services.tuning.data.image_checks import open_image
from slidelake.services.tuning.data.pairs import read_pairs
from tests.services.tuning.data.pictures import save, stained

TEXT = (
    "Tumour cells with large hyperchromatic nuclei and prominent nucleoli form irregular glands in a desmoplastic"
    " stroma with lymphocytes, plasma cells and areas of necrosis at the edge of the section."
)


def written(path: Path, records: Any) -> Path:
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_no_file_outside_the_data_set_comes_into_its_parquet(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not for anybody")
    names = [str(secret), "../secret.txt"]
    source = written(
        tmp_path / "pairs.json",
        [
            {"question": f"Is this carcinoma, {n}?", "answer": "yes", "image": name}
            for n, name in enumerate(names)
        ],
    )
    make_clean_data([source], DataRequest(tmp_path / "out"), CleaningOptions())
    held = pq.read_table(tmp_path / "out" / "rows.parquet")["images"].to_pylist()
    assert sorted(each["path"] for row in held for each in row) == sorted(names)
    assert [each["bytes"] for row in held for each in row] == [None, None]


@pytest.mark.parametrize("looked_at", [True, False])
def test_names_that_are_no_files_are_refused(tmp_path: Path, looked_at: bool) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "loop.png").symlink_to("loop.png")
    records = [{"caption": TEXT, "image": name} for name in ("loop.png", "a" * 300 + ".png", "\ud800.png")]
    source = written(tmp_path / "pairs.json", records)
    assert open_image(pictures, "loop.png").refused == "image-path-refused"
    assert open_image(pictures, "a" * 300 + ".png").refused == "image-path-refused"
    options = CleaningOptions(images=pictures if looked_at else None)
    counts = make_clean_data([source], DataRequest(tmp_path / "out"), options)
    assert counts["rows"] == (0 if looked_at else 1)


def test_one_picture_of_two_patients_stays_with_the_first(tmp_path: Path) -> None:
    records = [
        {
            "question": f"Is this carcinoma, {n}?",
            "answer": "yes",
            "image": "a.png",
            "patient_id": f"P{n // 2}",
        }
        for n in range(40)
    ]
    source = written(tmp_path / "pairs.json", records)
    pictures = tmp_path / "pictures"
    save(pictures / "a.png", stained(1))
    for images in (None, pictures):
        out = tmp_path / f"out-{images is None}"
        counts = make_clean_data([source], DataRequest(out), CleaningOptions(images=images))
        assert counts["dropped"]["clean"] == {"image-of-another-patient": 38}
        assert {row.patient_id for row in read_rows(out)} == {"P0"}


def test_the_same_answer_at_the_same_place_of_two_files_is_no_leak(tmp_path: Path) -> None:
    sources = [
        written(
            tmp_path / f"{part}.json",
            [
                {"Id": f"{part}-{n}", "Question": f"Carcinoma {n}?", "Choice": [], "Answer": "Yes"}
                for n in range(40)
            ],
        )
        for part in ("val", "test")
    ]
    counts = make_clean_data(sources, DataRequest(tmp_path / "out"), CleaningOptions())
    assert counts["rows"] == 80


def test_odd_values_are_no_text(tmp_path: Path) -> None:
    odd = [
        {"img_id": "a", "sentf": {"x": ["Is it?"]}, "labelf": {"x": answers}}
        for answers in (3, {"k": 1}, [{"yes": "a", "no": 1}])
    ]
    assert [pair.text for pair in read_pairs(written(tmp_path / "vqa.json", odd))] == ["", "", "no"]
    place = [{"wsi_id": "TCGA-AA-1111", "position": [float("inf"), 1], "caption": TEXT}]
    assert next(iter(read_pairs(written(tmp_path / "place.json", place)))).position is None
    half = [{"caption": f"{TEXT} \ud800", "patient_id": "\udfff"}]
    assert next(iter(read_pairs(written(tmp_path / "half.json", half)))).text == f"{TEXT} ?"
    long = tmp_path / "long.jsonl"
    long.write_text(f'{{"caption": "x", "id": {"9" * 5000}}}\n')
    with pytest.raises(UsageError, match=r"line 1 .* is not valid JSON"):
        list(read_pairs(long))
