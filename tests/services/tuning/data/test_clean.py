"""Cleaning of image–text pairs: each rule, bad files, resuming, evidence that resolves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from slidelake.errors import UsageError
from slidelake.services.tuning.data import DataRequest, check_splits, read_rows
from slidelake.services.tuning.data.clean import CleaningOptions
from slidelake.services.tuning.data.cleaned_data import make_clean_data, source_resolvers, unresolved
from slidelake.services.tuning.data.image_checks import ImageDuplicates, open_image, stained_share
from slidelake.services.tuning.data.pairs import read_pairs
from tests.services.tuning.data.lakes import bytes_of
from tests.services.tuning.data.pictures import grey, save, stained
from tests.shared_data import shared

TEXT = (
    "Tumour cells with large hyperchromatic nuclei and prominent nucleoli form irregular glands in"
    " a desmoplastic stroma"
    " with lymphocytes, plasma cells and areas of necrosis at the edge of the section."
)
OTHER = (
    "Normal colonic mucosa with straight crypts, many goblet cells and a lamina propria that holds few lymphocytes and"
    " eosinophils; there is neither atypia nor inflammation in this biopsy."
)
TALK = (
    "Thank you all for watching today, and please remember to subscribe, like and share this"
    " channel with your friends."
)


def lines(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A pair for each rule, and two good ones; pictures in tmp_path/pictures."""
    folder = tmp_path / "pictures"
    save(folder / "good.png", stained(1))
    save(folder / "also.png", stained(2))
    save(folder / "grey.png", grey(3))
    save(folder / "tiny.png", stained(4, side=16))
    Image.fromarray(stained(1)).resize((96, 96)).save(folder / "again.jpg", quality=80)
    whole = save(folder / "whole.png", stained(5)).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    save(tmp_path / "secret.png", stained(6))
    spare = iter(f"{OTHER} The slide was reviewed for case number {n} by the same person." for n in range(20))
    return lines(
        tmp_path / "pairs.jsonl",
        [
            {"id": "good", "caption": TEXT, "image": "good.png", "patient_id": "p1", "licence": "CC0"},
            {"id": "good", "caption": OTHER, "image": "also.png"},
            {"id": "empty", "caption": " [0.1, 0.2, 0.3, 0.4] "},
            {"id": "number", "caption": 7},
            {"id": "long", "caption": "necrosis " * 10_000},
            {"id": "short", "caption": "Glands with necrosis and atypical tumour cells."},
            {"id": "talk", "caption": TALK},
            {"id": "mouse", "caption": TEXT.replace("Tumour cells", "In a mouse, tumour cells")},
            {"id": "same", "caption": TEXT.upper()},
            {"id": "near", "caption": TEXT.replace("irregular ", "")},
            {"id": "up", "caption": next(spare), "image": "../secret.png"},
            {"id": "root", "caption": next(spare), "image": "/etc/passwd"},
            {"id": "missing", "caption": next(spare), "image": "nowhere.png"},
            {"id": "cut", "caption": next(spare), "image": "cut.png"},
            {"id": "tiny", "caption": next(spare), "image": "tiny.png"},
            {"id": "grey", "caption": next(spare), "image": "grey.png"},
            {"id": "copy", "caption": OTHER, "image": "again.jpg"},
            {"id": "kept", "caption": OTHER, "image": "also.png", "patient_id": "p2"},
            {"id": "wrong", "question": "Which tumour?", "answer": "lymphoma", "choices": ["fat", "bone"]},
        ],
    )


def test_each_rule_drops_its_pair_and_what_is_left_resolves(pairs: Path, tmp_path: Path):
    out = tmp_path / "out"
    options = CleaningOptions(images=tmp_path / "pictures")
    counts = make_clean_data([pairs], DataRequest(out, licence="theirs"), options)
    assert counts["dropped"] == {
        "clean": {
            "answer-not-among-choices": 1,
            "duplicate-id": 1,
            "exact-duplicate-text": 1,
            "image-missing": 1,
            "image-path-refused": 2,
            "image-too-small": 1,
            "image-unreadable": 1,
            "near-duplicate-image": 1,
            "near-duplicate-text": 1,
            "no-text": 2,
            "not-human": 1,
            "not-pathology-image": 1,
            "not-pathology-text": 1,
            "short-caption": 1,
            "too-long": 1,
        }
    }
    rows = list(read_rows(out))
    assert {row.made_by["step"] for row in rows} == {"clean"}
    by_patient = {row.patient_id: row for row in rows}
    assert by_patient["p1"].licence == "CC0"
    assert by_patient["p1"].answer == TEXT
    assert all(len(row.image_files) == 1 and (out / row.image_files[0]).is_file() for row in rows)
    assert not any(
        b"secret" in body or b"passwd" in body for name, body in bytes_of(out).items() if "rows" in name
    )
    check_splits(rows)
    resolvers = source_resolvers(out, [pairs])
    assert unresolved(out, resolvers) == []
    # The source is corrected, a picture exchanged: both are found.
    pairs.write_text(pairs.read_text().replace("prominent nucleoli form", "small nucleoli form"))
    save(out / by_patient["p2"].image_files[0], grey(9))
    problems = unresolved(out, source_resolvers(out, [pairs]))
    assert sorted(each.partition(": ")[2] for each in problems) == [
        "its image has changed",
        "its record has another text by now",
    ]


def test_a_second_run_goes_on_where_the_first_was_killed(pairs: Path, tmp_path: Path):
    options = CleaningOptions(images=tmp_path / "pictures")
    first, second = DataRequest(tmp_path / "a", seed=3), DataRequest(tmp_path / "b", seed=3)
    make_clean_data([pairs], first, options, corrupted=2)
    make_clean_data([pairs], second, options, corrupted=2)
    # Killed after the pairs were looked at, in the midst of the rules.
    for name in ("rows.jsonl", "llava.json", "counts.json"):
        (second.out / name).unlink()
    for shard in (second.out / "steps" / "clean").iterdir():
        shard.unlink()
    make_clean_data([pairs], second, options, corrupted=2)
    assert bytes_of(first.out) == bytes_of(second.out)
    assert {row.task for row in read_rows(first.out)} == {"caption", "revise"}
    with pytest.raises(UsageError, match="other arguments"):
        make_clean_data([pairs], first, CleaningOptions(), corrupted=2)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.json", "{}", "holds no list"),
        ("a.json", "[1]", "record 1 .* is a int"),
        ("a.json", "[", "not valid JSON"),
        ("a.jsonl", "", "has no record"),
        ("a.jsonl", '{"caption": "x"}\n{"capt', "line 2"),
        ("a.jsonl", '{"image": "x.png"}', "no known field of text"),
        ("a.txt", "", r"no \.json"),
        ("a.csv", "caption\n\xff", "not UTF-8"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, body: str, message: str):
    path = tmp_path / name
    path.write_bytes(body.encode("latin-1"))
    with pytest.raises(UsageError, match=message):
        list(read_pairs(path))


def test_the_shapes_are_read(tmp_path: Path):
    slide = "TCGA-AA-0001-01Z-00-DX1.F0"
    pathgen = {"wsi_id": slide, "position": ["10", "20"], "caption": "c"}
    [pair] = read_pairs(lines(tmp_path / "p.jsonl", [pathgen]))
    assert (pair.patient_id, pair.position, pair.record) == ("TCGA-AA-0001", (10, 20), f"{slide}@10,20")
    quilt = {"question_id": 3, "image": "video_roi_x.jpg", "text": "c"}
    [pair] = read_pairs(lines(tmp_path / "q.jsonl", [quilt]))
    assert (pair.patient_id, pair.record, pair.image) == ("video", "3", "video_roi_x.jpg")
    vqa = {"img_id": "i", "labelf": {"pvqa": [{"no": 0.2, "yes": 1}]}, "sentf": {"pvqa": ["Is it?", "What?"]}}
    first, second = read_pairs(lines(tmp_path / "v.jsonl", [vqa]))
    assert (first.question, first.text, second.text) == ("Is it?", "yes", "")
    wsi = {"Id": "TCGA-B", "Question": "Which?", "Choice": ["a ", "a", 3], "Answer": "a"}
    [pair] = read_pairs(lines(tmp_path / "w.jsonl", [wsi]))
    assert (pair.patient_id, pair.choices) == ("TCGA-B", ("a",))


def test_pictures_are_told_by_stain_and_by_hash(tmp_path: Path):
    assert stained_share(stained(0)) > 0.9
    assert stained_share(grey(0)) == 0
    seen = ImageDuplicates()
    assert seen.find("a", stained(1), "1") is None
    assert seen.find("b", stained(2), "2") is None
    import numpy as np

    larger = np.asarray(Image.fromarray(stained(1)).resize((150, 150)))
    assert seen.find("c", larger, "3") == "a"
    (tmp_path / "link").symlink_to("/etc")
    assert open_image(tmp_path, "link/passwd").refused == "image-path-refused"
    assert open_image(tmp_path, "a\x00b").refused == "image-path-refused"


SHARED_PAIRS = [path for path in shared("reports/*captions*") if path.suffix == ".json"]


@pytest.mark.parametrize("path", SHARED_PAIRS, ids=lambda path: path.name)
def test_shared_captions_of_pathgen_are_kept_but_for_a_radiograph(path: Path, tmp_path: Path):
    chosen = [each for each in json.loads(path.read_text()) if "X-ray" in each["caption"]][:1]
    chosen += json.loads(path.read_text())[:60]
    source = tmp_path / path.name
    source.write_text(json.dumps(chosen))
    counts = make_clean_data([source], DataRequest(tmp_path / "out"), CleaningOptions())
    assert counts["dropped"]["clean"] == {"not-pathology-text": 1}
    assert counts["rows"] == 60
