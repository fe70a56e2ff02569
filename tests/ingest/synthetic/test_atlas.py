"""What `synthesise` writes beside the slides, and that it depends on its arguments alone."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from slidelake.errors import UsageError
from slidelake.ingest.synthetic import CLASS_NAMES, CLASSES, SynthReport, synthesise


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SynthReport:
    return synthesise(tmp_path_factory.mktemp("small"), slides=3, seed=5, size=(2560, 2048), patients=2)


def test_thread_count_changes_no_byte_of_any_file(tmp_path: Path) -> None:
    for threads in (1, 3):
        synthesise(tmp_path / str(threads), slides=2, seed=3, size=1300, needle={"fat": 0.1}, threads=threads)
    one = files(tmp_path / "1")
    assert one == files(tmp_path / "3")
    assert len(one) == 2 * 3 + 4
    assert not [name for name in one if name.endswith(".part")]


def test_slide_is_the_same_in_a_larger_atlas_and_another_with_another_seed(tmp_path: Path) -> None:
    for name, slides, seed in (("one", 1, 8), ("two", 2, 8), ("other", 1, 9)):
        synthesise(tmp_path / name, slides=slides, seed=seed, size=1024)
    one, two, other = (files(tmp_path / name) for name in ("one", "two", "other"))
    assert one["synth8-p01-s01.svs"] == two["synth8-p01-s01.svs"]
    assert two["synth8-p01-s01.svs"] != two["synth8-p01-s02.svs"]
    assert one["synth8-p01-s01.svs"] != other["synth9-p01-s01.svs"]


def test_manifest_names_slides_patients_and_their_metadata(small: SynthReport) -> None:
    manifest = rows(small.manifest)
    assert [row["uri"] for row in manifest] == [path.name for path in small.slides]
    assert [row["slide_id"] for row in manifest] == [path.stem for path in small.slides]
    assert [row["patient_id"] for row in manifest] == ["synth5-p01", "synth5-p01", "synth5-p02"]
    assert small.patients == 2
    for column in ("site", "stage", "age"):  # facts of the patient
        assert manifest[0][column] == manifest[1][column] != ""
    assert len({row["stain_batch"] for row in manifest}) == 3
    assert list(manifest[0])[:3] == ["uri", "slide_id", "patient_id"]


@pytest.mark.parametrize(("slides", "patients"), [(1, 1), (2, 1), (5, 3)])
def test_two_slides_a_patient_unless_said_otherwise(tmp_path: Path, slides: int, patients: int) -> None:
    report = synthesise(tmp_path, slides=slides, size=1024)
    assert report.patients == patients == len({row["patient_id"] for row in rows(report.manifest)})


def test_labels_are_the_cells_that_one_tissue_covers(small: SynthReport) -> None:
    legend = json.loads((small.folder / "truth" / "classes.json").read_text())
    names = [entry["name"] for entry in legend["classes"]]
    step = 256 // legend["downsample"]
    expected = []
    for path in small.slides:
        truth = np.asarray(Image.open(small.folder / "truth" / f"{path.stem}.png"))
        assert truth.shape == (2048 // 8, 2560 // 8)
        for row in range(truth.shape[0] // step):
            for column in range(truth.shape[1] // step):
                cell = truth[row * step : (row + 1) * step, column * step : (column + 1) * step]
                counts = np.bincount(cell.ravel(), minlength=len(names))
                best = int(counts.argmax())
                if best and counts[best] >= 0.85 * cell.size:
                    share = f"{counts[best] / cell.size:.4f}"
                    expected.append([path.stem, str(column * 256), str(row * 256), names[best], share])
    labels = rows(small.labels)
    assert list(labels[0])[:4] == ["slide", "x", "y", "class"]
    assert [[r["slide"], r["x"], r["y"], r["class"], r["share"]] for r in labels] == expected
    assert {r["artefact"] for r in labels} <= {"", "pen", "blur"}
    counted = {name: sum(r["class"] == name for r in labels) for name in CLASS_NAMES}
    assert small.patches == counted
    assert len(labels) > 20


def test_class_map_is_indexed_with_the_legends_colours(small: SynthReport) -> None:
    image = Image.open(small.folder / "truth" / f"{small.slides[0].stem}.png")
    palette = image.getpalette()
    assert image.mode == "P"
    assert palette is not None
    legend = json.loads((small.folder / "truth" / "classes.json").read_text())["classes"]
    assert [entry["name"] for entry in legend] == ["background", *CLASS_NAMES]
    for entry in legend:
        assert palette[3 * entry["index"] : 3 * entry["index"] + 3] == entry["colour"]


def test_geojson_draws_the_class_map(small: SynthReport) -> None:
    for path in small.slides:
        truth = np.asarray(Image.open(small.folder / "truth" / f"{path.stem}.png"))
        content: dict[str, Any] = json.loads((small.folder / "truth" / f"{path.stem}.geojson").read_text())
        assert content["type"] == "FeatureCollection"
        assert len(content["features"]) > 4
        drawn = np.zeros_like(truth)
        for feature in content["features"]:
            properties, rings = feature["properties"], feature["geometry"]["coordinates"]
            index = CLASS_NAMES.index(properties["classification"]["name"])
            assert properties["classification"]["color"] == list(CLASSES[index].colour)
            assert properties["objectType"] == "annotation"
            assert feature["geometry"]["type"] == "Polygon"
            for ring in rings:
                assert ring[0] == ring[-1]
                assert len(ring) >= 4
                assert all(0 <= x <= 2560 and 0 <= y <= 2048 for x, y in ring)
            mask = np.zeros_like(truth)
            points = [np.array(ring, np.int32) // 8 for ring in rings]
            cv2.fillPoly(mask, points[:1], 1)
            for hole in points[1:]:
                cv2.fillPoly(mask, [hole], 0)
                cv2.polylines(mask, [hole], True, 1)  # the ring runs through pixels of the polygon
            drawn[mask == 1] = index + 1
        assert (drawn == truth).mean() > 0.99


def test_progress_is_told_of_every_slide(tmp_path: Path) -> None:
    events: list[tuple[str, dict[str, object]]] = []
    report = synthesise(
        tmp_path, slides=2, size=1024, progress=lambda event, **fields: events.append((event, fields))
    )
    assert events == [
        ("start", {"total": 2}),
        *[("slide", {"slide_id": path.stem}) for path in report.slides],
        ("end", {}),
    ]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"slides": 0}, "slides = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"size": 300}, "300 x 300"),
        ({"size": (2048, 1_000_000)}, "1000000"),
        ({"slides": 2, "patients": 3}, "3 patients for 2 slides"),
        ({"patients": 0}, "0 patients"),
        ({"needle": {"bone": 0.01}}, "'bone'.*Choose from glands"),
        ({"needle": {"fat": 0.0}}, "needle share 0.0 of fat"),
        ({"needle": {"fat": 0.5}}, "needle share 0.5 of fat"),
        ({"needle": dict.fromkeys(CLASS_NAMES, 0.01)}, "nearly every class"),
    ],
)
def test_wrong_requests_say_what_is_wrong_and_leave_nothing(
    tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        synthesise(tmp_path / "out", **wrong)
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot hold the slides"):
        synthesise(tmp_path / "file" / "out", slides=1, size=1024)


def test_without_the_encoder_the_extra_is_named() -> None:
    code = "import sys; sys.modules['imagecodecs'] = None\nfrom slidelake.ingest.synthetic import synthesise"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=_environment())
    assert done.returncode != 0
    assert "MissingDependencyError" in done.stderr
    assert "slidelake[synth]" in done.stderr


def test_importing_the_package_does_not_import_numba() -> None:
    code = "import sys, slidelake.ingest.synthetic as s\nassert s.__all__\n"
    code += "assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
