"""Labels of patches: a table of places becomes rows of bags."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import ManifestError, UnknownSlideError, UnknownSpaceError, UsageError
from slidelake.store import FeatureStore
from slidelake.store.streaming import PatchLabels
from slidelake.store.testing import ENCODER_ID, GRID_ID


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_corners(cohort: FeatureStore, tmp_path: Path) -> None:
    """Row n of each slide is at (n % 16, n // 16) · 256."""
    path = tmp_path / "patches.csv"
    path.write_text("slide,x,y,label\nS1,512,256,tumour\ns0,256,0,normal\nS1,0.0,0,normal\nS0,0,0,\n")
    labels = PatchLabels.read(path, cohort)
    assert labels.space == f"{GRID_ID}/{ENCODER_ID}"
    assert labels.slide_ids == ("S0", "S1")
    assert labels.classes == ("normal", "tumour")
    assert labels.slides.tolist() == [0, 1, 1]
    assert labels.rows.tolist() == [1, 0, 18]
    assert labels.targets.tolist() == [0, 0, 1]
    assert labels.left_out == {"without a label": 1}
    assert labels.counts() == {"normal": 2, "tumour": 1}
    assert [each.tolist() for each in labels.of("s1")] == [[0, 18], [0, 1]]
    assert len(labels.of("S5")[0]) == 0
    assert "3 patches of 2 slides" in repr(labels)


def test_points_inside(cohort: FeatureStore) -> None:
    frame = table(slide_id="S0", x=[0, 255, 256, 300.7, 511, 767, 300], y=[255, 256, 0, 511.9, 300, 511, 512],
                  label="a")  # fmt: skip
    with pytest.raises(ManifestError, match=r"S0: no patch holds line 8 \(300, 512\)"):
        PatchLabels.read(frame, cohort, match="inside")
    labels = PatchLabels.read(frame.assign(x=frame.x), cohort, unknown="ignore", match="inside")
    assert labels.rows.tolist() == [0, 1, 16, 17, 18]
    assert labels.left_out == {"outside every patch": 1, "said twice": 1}
    with pytest.raises(ManifestError, match="no patch has its corner at line 2"):
        PatchLabels.read(frame, cohort)


def test_overlapping_and_fractional_patches(own_cohort: FeatureStore) -> None:
    corners = np.floor(np.arange(30) * 100.3 + 0.5).astype(int)
    coords = np.stack([corners, np.zeros(30, int)], axis=1)
    footprint = {"footprint_level0": [200.6, 200.6]}
    own_cohort.put_grid("S0", "fine", coords=coords, columns={}, attributes=footprint, provenance={})
    with own_cohort.bag_writer("S0", "fine", ENCODER_ID, dim=2) as writer:
        writer.write(np.ones((30, 2), np.float16))
        writer.commit({})
    labels = PatchLabels.read(
        table(slide_id="S0", x=corners[2:] + 100, y=3, label="a"),
        own_cohort,
        "fine/" + ENCODER_ID,
        match="inside",
    )
    assert labels.rows.tolist() == list(range(2, 30))
    end = PatchLabels.read(
        table(slide_id="S0", x=corners[-1] + 200, y=[200, 201], label="a"),
        own_cohort, "fine/" + ENCODER_ID, "ignore", match="inside",
    )  # fmt: skip
    assert end.rows.tolist() == [29]


def test_patches_that_could_not_be_read_have_no_label(own_cohort: FeatureStore) -> None:
    with own_cohort.bag_writer("S0", GRID_ID, "other.00000000", dim=2) as writer:
        writer.write(np.ones((20, 2), np.float16), np.arange(20) != 1)
        writer.commit({})
    frame = table(slide_id="S0", x=[0, 256], y=0, label="a")
    labels = PatchLabels.read(frame, own_cohort, "other")
    assert labels.rows.tolist() == [0]
    assert labels.left_out == {"patches that could not be read": 1}
    with pytest.raises(UnknownSlideError, match=r"name no slide of .* in .*other.00000000: 'S1'"):
        PatchLabels.read(table(slide_id="S1", x=[0], y=0, label="a"), own_cohort, "other")
    with pytest.raises(UnknownSpaceError, match="several spaces"):
        PatchLabels.read(frame, own_cohort)


def test_every_patch_of_many(cohort: FeatureStore) -> None:
    rows = np.tile(np.arange(20), 8)
    frame = table(slide_id=np.repeat([f"S{n}" for n in range(8)], 20), x=rows % 16 * 256, y=rows // 16 * 256,
                  label=rows % 3)  # fmt: skip
    labels = PatchLabels.read(frame.sample(frac=1, random_state=0), cohort, classes=[2, 1, 0])
    assert labels.rows.tolist() == rows.tolist()
    assert labels.targets.tolist() == (2 - rows % 3).tolist()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [0], "label": ["a"]}, "no column y"),
        ({"x": ["left"], "y": [0], "label": ["a"]}, r"x is no finite number for line 2 \(left\)"),
        ({"x": [None], "y": [0], "label": ["a"]}, "no x or y in line 2"),
        (
            {"x": [1], "y": [0], "label": ["a"]},
            r"S0: no patch has its corner at line 2 \(1, 0\)",
        ),
        ({"x": [0.5], "y": [0], "label": ["a"]}, "no patch has its corner"),
        ({"x": [2.0**40], "y": [0], "label": ["a"]}, "no patch has its corner"),
        ({"x": [-256], "y": [0], "label": ["a"]}, "no patch has its corner"),
        ({"x": [256, 256], "y": [0, 0], "label": ["a", "b"]}, "S0: patches have two labels .*: rows 1"),
    ],
)
def test_tables_that_are_refused(cohort: FeatureStore, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        PatchLabels.read(table(slide_id="S0", **columns), cohort)


def test_what_cannot_be_is_refused_or_counted(cohort: FeatureStore, own_cohort: FeatureStore) -> None:
    frame = table(slide_id=["S0", "S77"], x=0, y=0, label="a")
    with pytest.raises(UnknownSlideError, match=r"'S77'.*Did you mean S7"):
        PatchLabels.read(frame, cohort)
    assert PatchLabels.read(frame, cohort, unknown="ignore").left_out == {"no such slide": 1}
    nothing = PatchLabels.read(frame.iloc[1:], cohort, unknown="ignore")
    assert (len(nothing), nothing.slide_ids, nothing.rows.dtype) == (0, (), np.int64)
    with pytest.raises(UsageError, match="match='near'"):
        PatchLabels.read(frame, cohort, match="near")  # type: ignore[arg-type]
    own_cohort.put_grid("S0", "bare", coords=np.zeros((1, 2), int), columns={}, attributes={}, provenance={})
    with own_cohort.bag_writer("S0", "bare", ENCODER_ID, dim=2) as writer:
        writer.write(np.ones((1, 2), np.float16))
        writer.commit({})
    with pytest.raises(UsageError, match="S0: the grid does not say how large"):
        PatchLabels.read(frame.iloc[:1], own_cohort, "bare/" + ENCODER_ID, match="inside")
