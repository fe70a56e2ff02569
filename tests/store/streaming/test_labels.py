"""Labels from any table: what is read, and what is refused, by name."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import ManifestError, UnknownSlideError, UsageError
from slidelake.store import FeatureStore
from slidelake.store.streaming import Classification, Labels, Regression, Survival
from slidelake.store.streaming.targets import Target


def table(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_the_stores_own_metadata(cohort: FeatureStore) -> None:
    labels = Labels.read(cohort, Classification("grade"))
    assert labels.classes == ("high", "low")
    assert labels.ids == ("S0", "S1", "S2", "S3", "S4", "S5", "S6")
    assert labels.unlabelled == ("S7",)
    assert labels.missing(["S6", "S7", "S8"]) == ("S7", "S8")
    assert labels.targets(["S0", "S1"]).tolist() == [1, 0]
    target = labels.target_of("S1")
    assert (target.shape, target.dtype) == ((), np.int64)
    assert labels.group_of("S0") == 1
    assert "s0" in labels
    assert "S7" not in labels
    assert len(labels) == 7
    assert "7 slides" in repr(labels)
    with pytest.raises(UnknownSlideError, match="S7: this slide has no label"):
        labels.target_of("S7")


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_files_and_frames(tmp_path: Path, cohort: FeatureStore, kind: str) -> None:
    frame = table(slide_id=["S0", " S1", "s2"], label=["007", "10", ""])
    source: Any = frame
    if kind == "csv":
        source = tmp_path / "labels.csv"
        frame.to_csv(source, index=False, encoding="utf-8-sig")
    elif kind == "parquet":
        source = tmp_path / "labels.parquet"
        frame.to_parquet(source)
    labels = Labels.read(source, Classification("label"), store=cohort)
    assert labels.classes == ("007", "10")
    assert labels.ids == ("S0", "S1")
    assert labels.unlabelled == ("S2",)


def test_classes_are_sorted_or_as_given() -> None:
    frame = table(
        slide=["a", "b", "c"], label=[10, 9, None], word=["None", "x", "NA"], yes=[True, False, True]
    )
    assert Labels.read(frame, Classification("label")).classes == ("9", "10")
    given = Labels.read(frame, Classification("label", classes=[10, 9, 8]))
    assert given.classes == ("10", "9", "8")
    assert given.targets(["a", "b"]).tolist() == [0, 1]
    assert Labels.read(frame, Classification("word")).unlabelled == ("a", "c")
    assert Labels.read(frame, Classification("word", ["None", "x"])).unlabelled == ("c",)
    assert Labels.read(frame, Classification("yes")).classes == ("False", "True")
    with pytest.raises(ManifestError, match=r"other than 9: a \(10\)"):
        Labels.read(frame, Classification("label", ["9"]))
    for wrong in ("9", [], ["9", "9 "], [""]):
        with pytest.raises(UsageError, match="cannot be"):
            Classification("label", wrong)


def test_numbers() -> None:
    frame = table(slide_id=["a", "b", "c"], age=[61, 40, None], score=["0.5", "1e3", "2"])
    labels = Labels.read(frame, Regression(["age", "score"]))
    assert labels.ids == ("a", "b")
    assert labels.unlabelled == ("c",)
    assert labels.targets(["b", "a"]).tolist() == [[40, 1000], [61, 0.5]]
    assert labels.target_of("a").dtype == np.float32
    assert labels.classes == ()
    one = Labels.read(frame, Regression("score"))
    assert one.target_of("c").shape == (1,)
    many = Labels.read(table(slide_id=[f"S{n}" for n in range(40)], v=range(40)), Regression("v"))
    assert [many.group_of(f"S{n}") for n in (0, 11, 22, 39)] == [0, 1, 2, 3]
    assert set(many.groups(2).values()) == {0, 1}
    with pytest.raises(UsageError, match="only survival"):
        one.fit(["a"])


def survival() -> pd.DataFrame:
    return table(
        slide_id=[f"S{n}" for n in range(12)],
        months=[float(n) for n in range(12)],
        died=[1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1, None],
    )


def test_survival() -> None:
    labels = Labels.read(survival(), Survival("months", "died"))
    assert labels.target_of("S3").tolist() == [3, 1]
    assert labels.target_of("S3").dtype == np.float32
    assert labels.unlabelled == ("S11",)
    assert labels.group_of("S1") < labels.group_of("S9") < labels.group_of("S0")
    spelled = table(slide_id=["a", "b"], t=[1, 2], e=["True", "false"])
    assert Labels.read(spelled, Survival("t", "e")).targets(["a", "b"])[:, 1].tolist() == [1, 0]


def test_intervals_come_from_the_part_that_is_trained_on_and_from_events_only() -> None:
    labels = Labels.read(survival(), Survival("months", "died", bins=3))
    with pytest.raises(UsageError, match=r"labels\.fit"):
        labels.target_of("S3")
    # S5 is censored, S11 has no label, S99 is not there: none of them counts.
    fitted = labels.fit(["S0", "S2", "S3", "S4", "S5", "S11", "S99"])
    assert isinstance(fitted.target, Survival)
    np.testing.assert_allclose(fitted.target.cuts or (), np.quantile([0, 2, 3, 4], [1 / 3, 2 / 3]))
    assert fitted.targets(["S0", "S2", "S3", "S10"]).tolist() == [[0, 1, 0], [2, 1, 1], [3, 1, 2], [10, 1, 2]]
    assert fitted.fit(["S0", "S2", "S3", "S4"]).target == fitted.target
    given = Labels.read(survival(), Survival("months", "died", cuts=[4, 8]))
    assert given.targets(["S3", "S4", "S9"])[:, 2].tolist() == [0, 1, 2]
    with pytest.raises(UsageError, match="no event"):
        labels.fit(["S1", "S5"])
    with pytest.raises(UsageError, match="1 times of events do not make 3"):
        labels.fit(["S2"])
    for bins, cuts in ((1, None), (3, [1.0]), (None, []), (None, [2.0, 1.0]), (None, [float("nan")])):
        with pytest.raises(UsageError):
            Survival("months", "died", bins=bins, cuts=cuts)


def test_by_patient(cohort: FeatureStore) -> None:
    slides = table(slide_id=["S0", "S1", "S2", "S4"], label=["a", "a", "b", None])
    labels = Labels.read(slides, Classification("label"), by="patient", store=cohort)
    assert labels.ids == ("P0", "P1")
    assert labels.unlabelled == ("P2",)
    patients = table(case_id=["P0", "p1"], label=["a", "b"])
    assert Labels.read(patients, Classification("label"), by="patient", store=cohort).ids == ("P0", "P1")
    assert Labels.read(patients, Classification("label"), by="patient").ids == ("P0", "p1")
    of_slides = Labels.read(patients, Classification("label"), store=cohort)
    assert of_slides.ids == ("S0", "S1", "S2", "S3")
    assert of_slides.targets(of_slides.ids).tolist() == [0, 0, 1, 1]
    gaps = table(patient_id=["P1", "p1", "P1"], label=[None, "a", "a"])
    assert Labels.read(gaps, Classification("label"), by="patient").unlabelled == ()


def test_patients_that_differ_only_in_case_are_one(own_cohort: FeatureStore) -> None:
    own_cohort.metadata.merge(table(slide_id=["S1"], patient_id=["p0"]))
    frame = table(patient_id=["P0"], label=["a"])
    assert Labels.read(frame, Classification("label"), store=own_cohort).ids == ("S0", "S1")
    with pytest.raises(ManifestError, match="contradict each other for P0"):
        Labels.read(own_cohort, Classification("grade"), by="patient")


@pytest.mark.parametrize(
    ("target", "columns"),
    [
        (Classification("label"), {"label": ["a", "b"]}),
        (Regression("label"), {"label": [1.0, 1.5]}),
        (Survival("t", "label"), {"t": [3, 3], "label": [0, 1]}),
    ],
)
def test_slides_of_a_patient_that_contradict_each_other(target: Target, columns: dict[str, Any]) -> None:
    frame = table(slide_id=["S0", "S1"], patient_id=["P0", "p0"], **columns)
    assert len(Labels.read(frame, target)) == 2
    with pytest.raises(ManifestError, match=r"label: the rows of one patient contradict each other for P0\."):
        Labels.read(frame, target, by="patient")


def test_labels_that_name_no_slide(cohort: FeatureStore) -> None:
    frame = table(slide_id=["S0", "SO1", *"qrstuv"], label="a")
    with pytest.raises(
        UnknownSlideError, match=r"7 labels name no slide of .*: SO1 \(Did you mean"
    ) as caught:
        Labels.read(frame, Classification("label"), store=cohort)
    assert "t and 2 more" in str(caught.value)
    labels = Labels.read(frame, Classification("label"), store=cohort, unknown="ignore")
    assert labels.ids == ("S0",)
    assert labels.unknown == ("SO1", *"qrstuv")
    with pytest.raises(UnknownSlideError, match="a label names no patient"):
        Labels.read(table(patient_id=["S0"], v=[1]), Regression("v"), "patient", cohort)


SURVIVAL = Survival("t", "e")


@pytest.mark.parametrize(
    ("target", "columns", "message"),
    [
        (Classification("lable"), {"slide_id": ["a"], "label": [1]}, "no column lable .*Did you mean label"),
        (Classification("label"), {"name": ["a"], "label": [1]}, "no column of ids .*name, label"),
        (Classification("label"), {"case_id": ["a"], "label": [1]}, "no column slide_id, and nothing tells"),
        (Regression("v"), {"slide_id": ["a", "A"], "v": [1, 1]}, "slide_id twice .*: A"),
        (Regression("v"), {"slide_id": ["a", None], "v": [1, 1]}, "no slide_id in line 3"),
        (Regression("v"), {"slide_id": ["a", "b"], "v": [1, np.inf]}, r"v is no finite number for b \(inf\)"),
        (Regression("v"), {"slide_id": ["a", "b"], "v": ["1", "old"]}, r"no finite number for b \(old\)"),
        (Regression("v"), {"slide_id": ["a"], "v": [1e39]}, "too large for float32 for a"),
        (SURVIVAL, {"slide_id": ["a", "b"], "t": [1, -1], "e": [1, 1]}, r"t is negative for b \(-1\)"),
        (SURVIVAL, {"slide_id": ["a", "b"], "t": [1, 1], "e": [1, 2]}, r"e is neither 0 nor 1 for b \(2\)"),
        (
            SURVIVAL,
            {"slide_id": ["a", "b"], "t": [1, 1], "e": [1, "dead"]},
            r"no finite number for b \(dead\)",
        ),
    ],
)
def test_tables_that_are_refused(target: Target, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        Labels.read(table(**columns), target)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"slide_id,label\nS0,a,b\n", "cannot be read"),
        (b"slide_id,label,label\nS0,a,b\n", "columns of one name: label"),
        (None, "there is no table of labels"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: bytes | None, message: str) -> None:
    path = tmp_path / "labels.csv"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ManifestError, match=message):
        Labels.read(path, Classification("label"))


def test_other_words_are_refused() -> None:
    with pytest.raises(UsageError, match="by 'site'"):
        Labels.read(table(slide_id=["a"], label=["x"]), Classification("label"), by="site")  # type: ignore[arg-type]
    for names in ([], ["v", "v"]):
        with pytest.raises(UsageError, match="cannot be a target"):
            Regression(names)


def test_labels_travel_to_another_process() -> None:
    labels = Labels.read(survival(), Survival("months", "died", bins=2)).fit(["S0", "S2", "S4", "S8"])
    back = pickle.loads(pickle.dumps(labels))
    assert back.ids == labels.ids
    np.testing.assert_array_equal(back.targets(back.ids), labels.targets(labels.ids))
    with pytest.raises(ValueError, match="read-only"):
        labels._values[0] = 5
    labels.target_of("S0")[0] = 5
    assert labels.target_of("S0")[0] == 0


def test_no_label_at_all() -> None:
    labels = Labels.read(table(slide_id=["a"], label=[None]), Classification("label"))
    assert (labels.ids, labels.classes, labels.unlabelled) == ((), (), ("a",))
    assert labels.groups() == {}
