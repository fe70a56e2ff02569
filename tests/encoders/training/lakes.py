"""A small cohort that can be learnt: each target leaves its trace in one column of the features."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slidelake.encoders.training import TrainConfig, make_config
from slidelake.store import FeatureStore
from slidelake.store.testing import ENCODER_ID, GRID_ID

DIM = 8
GRADES = ("low", "mid", "high")
FINGERPRINT = {"name": "test-encoder", "weights": "none"}


def add_slide(store: FeatureStore, slide: str, patient: str, features: np.ndarray[Any, Any]) -> None:
    """Commits a grid and a bag of features (N, D)."""
    rows = len(features)
    told = {"source_uri": f"file:///{slide}.svs", "patient_id": patient, "encoder": FINGERPRINT}
    coords = np.stack([np.arange(rows) % 16, np.arange(rows) // 16], axis=1) * 256
    attributes = {"slide_size": [8192, 8192], "footprint_level0": [256.0, 256.0]}
    store.put_grid(slide, GRID_ID, coords=coords, columns={}, attributes=attributes, provenance=told)
    with store.bag_writer(slide, GRID_ID, ENCODER_ID, dim=features.shape[1]) as writer:
        writer.write(features.astype(np.float16))
        writer.commit(told)


def make_lake(path: Path, patients: int = 18, seed: int = 0) -> FeatureStore:
    """Patients P00, P01, …: every third has two slides. Column 0 to 2: the grade; 3: age; 4: how soon the event."""
    store = FeatureStore.open(path, create=True)
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        grade, age, risk = patient % 3, rng.uniform(30, 80), rng.normal()
        time = round(float(rng.exponential(10 * np.exp(-1.5 * risk))) + 0.1, 1)
        follow_up = round(float(rng.uniform(5, 60)), 1)
        for slide in range(1 + (patient % 3 == 0)):
            features = rng.normal(size=(int(rng.integers(6, 14)), DIM))
            features[:, grade] += 3
            features[:, 3] += (age - 55) / 5
            features[:, 4] += 3 * risk
            name = f"S{patient:02d}{'ab'[slide]}"
            add_slide(store, name, f"P{patient:02d}", features)
            rows.append(
                {
                    "slide_id": name,
                    "grade": GRADES[grade],
                    "marker": "neg" if grade == 0 else "pos",
                    "age": age,
                    "months": min(time, follow_up),
                    "died": int(time <= follow_up),
                }
            )
    store.metadata.merge(pd.DataFrame(rows))
    return store


def config(out: Path, **settings: Any) -> TrainConfig:
    """Settings under which a small cohort is learnt in a second."""
    usual = {
        "labels": "grade", "encoder": "mean", "bags_per_batch": 4, "epochs": 6, "lr": 0.05, "bootstrap": 0,
        "tensorboard": "off", "device": "cpu", "pictures": False,
    }  # fmt: skip
    return make_config(usual, {"out": str(out)}, settings)
