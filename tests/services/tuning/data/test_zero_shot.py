"""Labelled patches become multiple choice; labels of patches of the lake."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from slidelake.errors import UsageError
from slidelake.services.tuning.data import DataRequest, read_rows
from slidelake.services.tuning.data.cleaned_data import unresolved
from slidelake.services.tuning.data.patch_labels import LabelledPatches, Neighbours, read_labels
from slidelake.services.tuning.data.patch_measures import measure_patch
from slidelake.services.tuning.data.zero_shot import (
    ZeroShotOptions,
    image_resolver,
    labelled_images,
    make_zero_shot_data,
)
from tests.services.tuning.data.pictures import grey, save, stained
from tests.shared_data import shared


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    folder = tmp_path / "patches"
    for number, name in enumerate(["01_TUMOUR", "02_STROMA", "03_FAT"]):
        for patient in range(8):
            save(folder / name / f"{patient}_x{number}.png", stained(10 * number + patient))
    return folder


def test_every_patch_is_asked_about_once_and_patients_stay_together(patches: Path, tmp_path: Path):
    save(patches / "01_TUMOUR" / "7_again.png", stained(0))
    save(patches / "03_FAT" / "7_other.png", stained(1))
    (patches / "03_FAT" / "6_cut.png").write_bytes((patches / "03_FAT" / "6_x2.png").read_bytes()[:200])
    save(patches / "03_FAT" / "6_tiny.png", grey(1, side=8))
    out = tmp_path / "out"
    options = ZeroShotOptions(names={"03_FAT": "adipose tissue"}, patient_pattern=r"^(\d+)_")
    counts = make_zero_shot_data(patches, DataRequest(out, licence="MIT"), options)
    assert counts["dropped"]["items"] == {
        "duplicate-image": 1,
        "image-too-small": 1,
        "image-unreadable": 1,
        "same-image-other-class": 1,
    }
    rows = list(read_rows(out))
    assert len(rows) == 24
    assert Counter(row.answer.partition(". ")[2] for row in rows) == {
        "tumour": 8,
        "stroma": 8,
        "adipose tissue": 8,
    }
    splits: dict[str, set[str]] = {}
    for row in rows:
        assert sorted(row.choices) == ["adipose tissue", "stroma", "tumour"]
        assert row.answer in row.question
        assert row.licence == "MIT"
        splits.setdefault(row.patient_id, set()).add(row.split)
    assert len(splits) == 8
    assert all(len(parts) == 1 for parts in splits.values())
    assert unresolved(out, {"image": image_resolver(out)}) == []
    (out / rows[0].image_files[0]).unlink()
    assert unresolved(out, {"image": image_resolver(out)}) == [
        f"{rows[0].id}: its image is not in the data set"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": {"x": "y"}}, "there is no class x"),
        ({"names": {"01_TUMOUR": "stroma"}}, "both called 'stroma'"),
        ({"patient_pattern": r"^(z)"}, "finds no patient"),
        ({"patient_pattern": "("}, "no regular expression"),
        ({"patient_pattern": "a"}, "has 0 groups"),
        ({"letters": 1}, "1 choices"),
    ],
)
def test_requests_that_cannot_be_are_refused(patches: Path, options: dict[str, object], message: str):
    with pytest.raises(UsageError, match=message):
        labelled_images(patches, ZeroShotOptions(**options))  # type: ignore[arg-type]


def test_one_class_and_no_images_are_refused(tmp_path: Path):
    save(tmp_path / "one" / "A" / "x.png", stained(0))
    with pytest.raises(UsageError, match="one class"):
        labelled_images(tmp_path / "one", ZeroShotOptions())
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no labelled image"):
        labelled_images(tmp_path / "none", ZeroShotOptions())
    with pytest.raises(UsageError, match="there is no folder"):
        labelled_images(tmp_path / "nowhere", ZeroShotOptions())


def test_a_table_of_labels_cannot_name_a_file_elsewhere(patches: Path, tmp_path: Path):
    save(tmp_path / "secret.png", stained(99))
    table = tmp_path / "labels.csv"
    table.write_text("image,class\n01_TUMOUR/0_x0.png,tumour\n../secret.png,fat\n02_STROMA/1_x1.png,stroma\n")
    counts = make_zero_shot_data(patches, DataRequest(tmp_path / "out"), ZeroShotOptions(labels=table))
    assert counts["rows"] == 2
    assert counts["dropped"]["items"] == {"image-path-refused": 1}
    table.write_text("image,kind\nx,y\n")
    with pytest.raises(UsageError, match="lacks the column class"):
        labelled_images(patches, ZeroShotOptions(labels=table))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("slide,x,y\na,1,2\n", "lacks the column class"),
        ("slide,x,y,class\na,1,2,fat\n", "has 1 class"),
        ("slide,x,y,class\na,1,2,fat\na,1,2,bone\n", "is fat and bone"),
        ("slide,x,y,class\na,one,2,fat\n", "line 2 .* has no place"),
    ],
)
def test_tables_of_labels_are_checked(tmp_path: Path, body: str, message: str):
    path = tmp_path / "labels.csv"
    path.write_text(body)
    with pytest.raises(UsageError, match=message):
        read_labels(path)


def test_neighbours_speak_only_where_most_agree_and_never_for_their_own_patient():
    random = np.random.default_rng(0)
    centres = {"fat": random.standard_normal(16), "bone": random.standard_normal(16)}
    names = ["fat"] * 12 + ["bone"] * 12
    rows = np.stack([centres[name] + 0.05 * random.standard_normal(16) for name in names]).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    places = [("s", n, 0) for n in range(24)]
    known = LabelledPatches(rows, places, np.array(names, object), np.array(["p"] * 24, object))
    vote = Neighbours(known).vote(centres["bone"], "q")
    assert vote is not None
    assert vote[0] == "bone"
    assert len(vote[1]) == 3
    assert Neighbours(known).vote(centres["bone"], "p") is None
    mixed = LabelledPatches(rows, places, np.array(["fat", "bone"] * 12, object), known.patients)
    assert Neighbours(mixed).vote(centres["bone"], "q") is None


def test_measures_tell_sparse_from_dense_and_say_nothing_of_the_between():
    assert measure_patch(stained(1, 128, nuclei=0.04)).cellularity == "sparsely cellular"
    assert measure_patch(stained(1, 128, nuclei=0.45)).cellularity == "densely cellular"
    assert measure_patch(stained(1, 128, nuclei=0.26)).cellularity == ""
    empty = measure_patch(np.full((64, 64, 3), 240, np.uint8))
    assert empty.cellularity == ""
    assert [what for what, _ in empty.sentences] == ["space"]


SHARED_IDC = [path.parent.parent for path in shared("patches/idc/IDC_positive/*")[:1]]


@pytest.mark.parametrize("folder", SHARED_IDC, ids=lambda path: path.name)
def test_shared_patches_give_one_item_each_by_patient(folder: Path, tmp_path: Path):
    options = ZeroShotOptions(patient_pattern=r"^(\d+)_")
    counts = make_zero_shot_data(folder, DataRequest(tmp_path / "out"), options)
    assert counts["rows"] == 480
    assert sum(counts["patients"].values()) == 24
    answers = Counter(
        json.loads(line)["turns"][-1]["text"][0]
        for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()
    )
    assert 180 < answers["A"] < 300
