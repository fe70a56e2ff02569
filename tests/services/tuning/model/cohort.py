"""A small lake whose slides can be told apart by their features, and rows about them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slidelake.services.tuning.data import Evidence, PatchPlace, TuningRow, Turn, row_id
from slidelake.services.tuning.model import TuneConfig
from slidelake.store import FeatureStore
from slidelake.store.testing import ENCODER_ID, GRID_ID

DIM = 12
SPACE = f"{GRID_ID}/{ENCODER_ID}"
TISSUES = ("tumour", "stroma", "necrosis", "fat")
FINGERPRINT = {"name": "test-encoder", "weights": "none"}
PARTS = ("train",) * 6 + ("val", "test")


def add_slide(
    store: FeatureStore, slide: str, patient: str, features: np.ndarray[Any, Any], encoder: Any = FINGERPRINT
) -> None:
    """Commits a grid and a bag of features (N, DIM)."""
    told = {"source_uri": f"file:///{slide}.svs", "patient_id": patient, "encoder": encoder}
    coords = np.stack([np.arange(len(features)) % 8, np.arange(len(features)) // 8], axis=1) * 256
    attributes = {"slide_size": [8192, 8192], "footprint_level0": [256.0, 256.0]}
    store.put_grid(slide, GRID_ID, coords=coords, columns={}, attributes=attributes, provenance=told)
    with store.bag_writer(slide, GRID_ID, ENCODER_ID, dim=features.shape[1]) as writer:
        writer.write(features.astype(np.float16))
        writer.commit(told)


def make_lake(path: Path, patients: int = 16, encoder: Any = FINGERPRINT) -> FeatureStore:
    """Patient n has slide Snn of one tissue: the rows of its features lie to one side in one column."""
    store = FeatureStore.open(path, create=True)
    rng = np.random.default_rng(0)
    for patient in range(patients):
        features = rng.normal(size=(int(rng.integers(8, 20)), DIM))
        features[:, _tissue(patient)] += 3
        add_slide(store, f"S{patient:02d}", f"P{patient:02d}", features, encoder)
    return store


def _tissue(patient: int) -> int:
    # Both patients of the part test, 7 and 15, have another one.
    return (patient + patient // 8) % 4


def row(patient: int, task: str, question: str, answer: str, **given: Any) -> TuningRow:
    """A row about a patient's slide."""
    slide = f"S{patient:02d}"
    usual: dict[str, Any] = {"slide_id": slide, "space": SPACE, "split": PARTS[patient % 8]}
    return TuningRow(
        row_id(task, slide, question),
        task,
        f"P{patient:02d}",
        (Turn("user", question), Turn("assistant", answer)),
        (Evidence("slide", slide),),
        **usual | given,
    )


def make_rows(patients: int = 16) -> list[TuningRow]:
    """A caption, a closed and an open question a patient, and a question about two patches."""
    rows = []
    for patient in range(patients):
        tissue = TISSUES[_tissue(patient)]
        others = tuple(sorted(TISSUES))
        patches = tuple(PatchPlace(f"S{patient:02d}", 256 * x, 0, 256, 256) for x in (1, 3))
        rows += [
            row(patient, "slide-caption", "<image>\nDescribe the slide.", f"A slide of {tissue}."),
            row(patient, "vqa", "<image>\nWhich tissue?", tissue, kind="closed", choices=others),
            row(patient, "vqa", "What is seen?", f"mostly {tissue} here"),
            row(patient, "patch-vqa", "<image>\nWhat do these patches show?", tissue, images=patches),
        ]
    return rows


def write_rows(path: Path, rows: Sequence[TuningRow]) -> Path:
    """rows.jsonl."""
    path.write_text("".join(json.dumps(each.to_dict()) + "\n" for each in rows), encoding="utf-8")
    return path


def config(rows: Path, out: Path, **settings: Any) -> TuneConfig:
    """Settings under which a phase takes a second."""
    usual: dict[str, Any] = {
        "tokens": 2, "options": {"hidden": 8}, "rank": 4, "batch": 4, "tune_epochs": 1, "answer_tokens": 4,
        "device": "cpu", "pictures": False, "log_every": 2, "align_lr": 3e-3, "tune_lr": 3e-3,
    }  # fmt: skip
    return TuneConfig(rows=str(rows), out=str(out), **usual | settings)
