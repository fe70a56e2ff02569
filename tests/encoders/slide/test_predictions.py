"""Logits in the words of their task."""

import csv
import math

import numpy as np
import pytest

from slidelake.encoders.slide import Prediction, predict, write_predictions
from slidelake.errors import WeightsError


def test_classes_have_probabilities():
    task = {"kind": "classification", "column": "label", "classes": ["a", "b", "c"]}
    values, label = predict([0.0, math.log(3), 0.0], task)
    assert values == pytest.approx({"a": 0.2, "b": 0.6, "c": 0.2})
    assert label == "b"
    # Logits of any size: nothing overflows.
    assert predict([-1e30, 1e30, 0], task)[0] == {"a": 0, "b": 1, "c": 0}


def test_one_logit_for_two_classes():
    task = {"kind": "classification", "classes": ["no", "yes"]}
    assert predict([math.log(4)], task) == (pytest.approx({"no": 0.2, "yes": 0.8}), "yes")
    assert predict([-1e9], task) == ({"no": 1.0, "yes": 0.0}, "no")


def test_numbers_in_their_own_units():
    task = {"kind": "regression", "columns": ["age", "score"]}
    assert predict([1.5, -2.0], task) == ({"age": 1.5, "score": -2.0}, "")
    scaled = task | {"mean": [50.0, 0.0], "std": [10.0, 2.0]}
    assert predict([1.5, -2.0], scaled) == ({"age": 65.0, "score": -4.0}, "")


def test_risks():
    assert predict([0.7], {"kind": "survival", "loss": "cox"}) == (pytest.approx({"risk": 0.7}), "")
    hazards = np.array([0.5, 0.2])
    values, _ = predict(
        np.log(hazards / (1 - hazards)), {"kind": "survival", "loss": "discrete", "cuts": [3.0]}
    )
    assert values == pytest.approx({"risk": -0.9, "survival_1": 0.5, "survival_2": 0.4})


def test_tasks_that_the_logits_do_not_fit():
    with pytest.raises(WeightsError, match=r"2 values for 3 names \(a, b, c\)"):
        predict([1.0, 2.0], {"kind": "classification", "classes": ["a", "b", "c"]})
    with pytest.raises(WeightsError, match="task is 'segmentation'"):
        predict([1.0], {"kind": "segmentation"})


def test_the_table_reads_back(tmp_path):
    rows = [Prediction("S,1", {"a": 0.1, "b": 0.9}, "b"), Prediction("S2", {"a": 1 / 3, "b": 2 / 3}, "b")]
    path = write_predictions(tmp_path / "new" / "p.csv", rows)
    with path.open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["slide_id", "predicted", "p_a", "p_b"]
    assert [row["slide_id"] for row in read] == ["S,1", "S2"]
    assert float(read[1]["p_a"]) == 1 / 3
    plain = write_predictions(tmp_path / "risk.csv", [Prediction("S1", {"risk": -1.5})])
    assert plain.read_text(encoding="utf-8").split() == ["slide_id,risk", "S1,-1.5"]
