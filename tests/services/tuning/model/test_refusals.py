"""What cannot be tuned is refused before the first step, with what to do about it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidelake.errors import NotFiniteError, UsageError, WeightsError
from slidelake.services.tuning.data import PatchPlace, TuningRow
from slidelake.services.tuning.model import tune
from slidelake.services.tuning.model.features import shuffled_slides
from slidelake.store import FeatureStore
from tests.services.tuning.model.cohort import (
    DIM,
    SPACE,
    add_slide,
    config,
    make_lake,
    make_rows,
    row,
    write_rows,
)


def refused(store: FeatureStore, tmp_path: Path, rows: list[TuningRow], says: str, **settings: Any) -> None:
    out = tmp_path / "run"
    with pytest.raises(UsageError, match=says):
        tune(store, config(write_rows(tmp_path / "rows.jsonl", rows), out, **settings))
    assert not (out / "config.json").exists()


def test_rows_that_leak_or_are_in_no_part(lake: FeatureStore, tmp_path: Path) -> None:
    rows = make_rows()
    moved = [*rows[1:], replace(rows[0], split="test")]
    refused(lake, tmp_path, moved, r"1 patients are in more than one part: P00 \(test, train\)")
    renamed = [*rows, row(0, "vqa", "Why?", "x", split="test", slide_id="S00")]
    renamed[-1] = replace(renamed[-1], patient_id="somebody")
    refused(lake, tmp_path, renamed, r"1 slides are in more than one part: S00")
    refused(lake, tmp_path, [*rows[1:], replace(rows[0], split="")], "1 rows are in no part")
    refused(lake, tmp_path, [each for each in rows if each.split != "train"], "no row is in the part train")
    refused(lake, tmp_path, [*rows, rows[0]], "1 ids more than once")


def test_the_lake_knows_better_whose_slide_it_is(tmp_path: Path) -> None:
    store = make_lake(tmp_path / "lake", patients=8)
    features = np.random.default_rng(0).normal(size=(9, DIM))
    add_slide(store, "S07b", "P00", features)
    rows = [*make_rows(8)]
    rows.append(replace(row(7, "vqa", "Why?", "x"), slide_id="S07b"))
    refused(store, tmp_path, rows, "by the lake 1 patients are in more than one part: P00")


def test_slides_that_the_lake_lacks(lake: FeatureStore, tmp_path: Path) -> None:
    rows = [*make_rows(), row(16, "vqa", "Why?", "x")]
    refused(lake, tmp_path, rows, r"1 rows are about slides that have no bag in .*: S16.*--ignore-unknown")
    told: dict[str, Any] = {}

    def look(event: str, **fields: Any) -> None:
        told.update({event: fields})
        if event == "prepared":
            raise InterruptedError

    file = write_rows(tmp_path / "rows.jsonl", rows)
    with pytest.raises(InterruptedError):
        tune(lake, config(file, tmp_path / "run", ignore_unknown=True), progress=look)
    assert told["prepared"]["left_out"] == {f"slide has no bag in {SPACE}": 1}
    elsewhere = [replace(each, slide_id=f"X{each.slide_id}", images=()) for each in make_rows()]
    refused(lake, tmp_path / "run", elsewhere, "no row of the part train has features", ignore_unknown=True)


def test_other_spaces_and_patches(lake: FeatureStore, tmp_path: Path) -> None:
    rows = make_rows()
    other = [replace(rows[0], space="512px-1mpp/other.12345678"), *rows[1:]]
    refused(lake, tmp_path, other, "features of 2 spaces")
    refused(lake, tmp_path, other, "are about features of 512px-1mpp/other.12345678, not of", space=SPACE)
    off = replace(rows[3], images=(PatchPlace("S00", 13, 0, 256, 256),))
    refused(
        lake,
        tmp_path,
        [*rows[:3], off, *rows[4:]],
        r"S00: row .* a patch at \(13, 0\) that the bag does not have",
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"context": 4096}, "context is 4096, and the language model has 128 places"),
        ({"context": 16, "tokens": 16}, "features take 16 tokens of a context of 16"),
        ({"context": 16, "tokens": 10}, "no row of the part train fits into a context of 16 tokens"),
        ({"targets": ("c_attn", "q_proj")}, "LlamaForCausalLM has no modules named c_attn for .*down_proj"),
        ({"projector": "clam"}, "no projector 'clam'.*attention, mean, regions, resampler"),
        ({"model": "/nowhere"}, "no folder /nowhere with a language model"),
        ({"device": "tpu9"}, "'tpu9' is not a device"),
    ],
)  # fmt: skip
def test_settings(
    lake: FeatureStore, llama: Path, tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    refused(lake, tmp_path, make_rows(), says, **{"model": str(llama)} | settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"context": 7}, "context is 7. Give a number from 16 up"),
        ({"features": "none"}, "features is 'none'. Use one of: lake, zeros, shuffled"),
        ({"tune_lr": 0.0}, "tune_lr is 0"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"align_epochs": 0, "tune_epochs": 0}, "both phases have 0 epochs"),
        ({"targets": ()}, "targets is empty.*q_proj"),
        ({"batch": 0}, "batch is 0"),
        ({"clip": float("nan")}, "clip is nan"),
    ],
)
def test_numbers_that_cannot_be(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        config(tmp_path / "rows.jsonl", tmp_path / "run", **settings)


def test_files_that_hold_something_else(lake: FeatureStore, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    for text, says in (
        ("", "holds no rows"),
        ("{}\n", "line 1: not a row of tuning data"),
        ("no json\n", "line 1:"),
        (json.dumps(make_rows()[0].to_dict() | {"evidence": []}), "line 1: .* has no evidence"),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=says):
            tune(lake, config(file, tmp_path / "run"))
    with pytest.raises(UsageError, match="cannot be read"):
        tune(lake, config(tmp_path / "none.jsonl", tmp_path / "run"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    write_rows(file, make_rows())
    with pytest.raises(WeightsError, match="no causal language model with its tokenizer"):
        tune(lake, config(file, tmp_path / "run", model=str(tmp_path / "model")))


def test_a_loss_that_is_no_number(lake: FeatureStore, rows: Path, llama: Path, tmp_path: Path) -> None:
    """A rate that is far too high: the step is named, and what to lower."""
    settings = {"align_lr": 1e30, "clip": 0.0, "warmup": 0.0, "align_epochs": 40}
    with pytest.raises(
        NotFiniteError, match=r"not finite in phase align, step .* of epoch .*\(S\d\d\).*Lower --align-lr"
    ):
        tune(lake, config(rows, tmp_path / "run", model=str(llama), **settings))


def test_features_exchanged_between_patients() -> None:
    slides = [(f"S{n}", f"P{n // 2}") for n in range(10)]
    found = shuffled_slides(slides, 0)
    patient = dict(slides)
    assert sorted(found) == sorted(found.values()) == sorted(patient)
    assert all(patient[one] != patient[other] for one, other in found.items())
    assert found == shuffled_slides(reversed(slides), 0) != shuffled_slides(slides, 1)
    with pytest.raises(UsageError, match="more than half of the slides"):
        shuffled_slides([("a", "P"), ("b", "P"), ("c", "Q")], 0)
