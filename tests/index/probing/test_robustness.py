"""The robustness index: worked out again the slow way, what it tells of encoders, and what it refuses."""

import json

import numpy as np
import pytest

from slidelake.errors import UsageError
from slidelake.index.probing import Labelled, robustness_index
from tests.index.probing.rows import labelled


def archive(by_class: float, by_centre: float, *, seed: int = 0, slides: int = 12, rows: int = 8) -> Labelled:
    """Slides of two classes from two centres, each row moved by its class and by its centre."""
    rng = np.random.default_rng(seed)
    ways = rng.normal(size=(4, 10))
    features, labels, centres, names = [], [], [], []
    for slide in range(slides):
        kind, centre = slide % 2, slide // 2 % 2
        for _ in range(rows):
            features.append(by_class * ways[kind] + by_centre * ways[2 + centre] + rng.normal(size=10))
            labels.append(f"class {kind}")
            centres.append(f"centre {centre}")
            names.append(f"S{slide}")
    return labelled(np.array(features), labels, groups=names, slides=names, centres=centres)


def slowly(rows: Labelled, k: int) -> tuple[int, int]:
    unit = rows.features / np.linalg.norm(rows.features, axis=1, keepdims=True)
    same = other = 0
    for at in range(len(rows)):
        elsewhere = np.flatnonzero(rows.slides != rows.slides[at])
        for near in elsewhere[np.argsort(-(unit[elsewhere] @ unit[at]))][:k]:
            alike, here = rows.labels[near] == rows.labels[at], rows.centres[near] == rows.centres[at]
            same += alike and not here
            other += here and not alike
    return same, other


def test_it_is_the_ratio_of_its_two_kinds() -> None:
    rows = archive(1.0, 0.7)
    found = robustness_index(rows, k=9, draws=300)
    same, other = slowly(rows, 9)
    assert found.index == pytest.approx(same / other)
    assert found.neighbours["same class, other centre"] == same
    assert sum(found.neighbours.values()) == 9 * len(rows)
    assert found.share.mean == pytest.approx(same / (same + other))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.index < found.high
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.to_frame()["centre"].tolist() == ["all", "centre 0", "centre 1"]


def test_tissue_against_hospital() -> None:
    knows_tissue, knows_hospital = (robustness_index(archive(*by), k=20) for by in ((1.0, 0.2), (0.2, 2.0)))
    assert knows_tissue.index is not None
    assert knows_hospital.index is not None
    assert knows_tissue.index > 3 > 1 / 3 > knows_hospital.index
    blind = robustness_index(archive(0.0, 0.0, slides=24), k=20)
    assert blind.chance == pytest.approx(12 / 12)
    assert blind.index == pytest.approx(1.0, abs=0.25)


def test_blind_neighbours_of_centres_that_are_not_balanced() -> None:
    rows = archive(0.0, 0.0, slides=40)
    keep = (rows.labels == "class 0") | (rows.centres == "centre 0") | (rows.slides == "S3")
    uneven = labelled(
        rows.features[keep],
        rows.labels[keep].tolist(),
        groups=rows.groups[keep].tolist(),
        slides=rows.slides[keep].tolist(),
        centres=rows.centres[keep].tolist(),
    )
    found = robustness_index(uneven, k=20)
    assert found.index == pytest.approx(found.chance, rel=0.15)


def test_no_confusion_at_all_is_beyond_any_number() -> None:
    found = robustness_index(archive(60.0, 0.0), k=5)
    assert found.index is None
    assert found.share.mean == 1


def test_unknown_centres_and_small_k_are_told() -> None:
    rows = archive(1.0, 1.0, slides=4, rows=3)
    centres = rows.centres.copy()
    centres[:1] = ""
    found = robustness_index(
        labelled(rows.features, rows.labels.tolist(), slides=rows.slides.tolist(), centres=centres.tolist())
    )
    assert found.k == 8
    assert found.rows == 11
    assert any("1 rows of no known centre" in note for note in found.notes)
    assert any("k is 8" in note for note in found.notes)


def test_what_is_refused() -> None:
    rows = archive(1.0, 1.0)

    def changed(**facts: list[str]) -> Labelled:
        given = {
            "labels": rows.labels.tolist(),
            "slides": rows.slides.tolist(),
            "centres": rows.centres.tolist(),
        } | facts
        return labelled(rows.features, given["labels"], slides=given["slides"], centres=given["centres"])

    with pytest.raises(UsageError, match="one centre, 'here'"):
        robustness_index(changed(centres=["here"] * len(rows)))
    with pytest.raises(UsageError, match="no centre"):
        robustness_index(changed(centres=[""] * len(rows)))
    with pytest.raises(UsageError, match="one class"):
        robustness_index(changed(labels=["x"] * len(rows)))
    with pytest.raises(UsageError, match="coincide"):
        robustness_index(changed(centres=rows.labels.tolist()))
    with pytest.raises(UsageError, match="k=0"):
        robustness_index(rows, k=0)
