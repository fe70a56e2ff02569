"""`slidelake stats`: its numbers, its picture, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from slidelake.services.cli.app import app
from slidelake.services.statistics_plot import Picture, draw
from slidelake.store import FeatureStore, Statistics, cohort
from slidelake.store.testing import add_slide


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stats") / "lake"
    store = FeatureStore.open(folder, create=True)
    for n in range(3):
        add_slide(store, f"S{n}", rows=50 + n, seed=n, patient_id=f"P{n % 2}")
    return folder


def run(folder: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    done = CliRunner().invoke(app, ["stats", "--store", str(folder), "--json", *arguments])
    return done.exit_code, json.loads(done.stdout)


def test_numbers(folder: Path, tmp_path: Path) -> None:
    code, told = run(folder, "--pca", "3", "--kmeans", "4", "--save", str(tmp_path / "s.npz"))
    assert (code, told["ok"], told["exit_code"]) == (0, True, 0)
    found = cohort(FeatureStore.open(folder)).statistics()
    assert (told["patches"], told["slides"], told["patients"], told["dim"]) == (153, 3, 2, 8)
    assert told["variance"] == pytest.approx(np.trace(found.covariance))
    assert told["explained_variance"] == pytest.approx(found.pca(3).explained_variance.tolist())
    assert sum(told["kmeans"]["counts"]) == 153  # type: ignore[index]
    np.testing.assert_array_equal(Statistics.load(tmp_path / "s.npz").covariance, found.covariance)


def test_quality_and_weight(folder: Path) -> None:
    code, told = run(folder, "--quality", "tissue=128:", "--quality", "blur=:200", "--weight", "slide")
    chosen = cohort(FeatureStore.open(folder), quality={"tissue": (128, None), "blur": (None, 200)})
    assert (code, told["patches"], told["left_out"]) == (0, len(chosen), 153 - len(chosen))
    assert told["mean_length"] == pytest.approx(np.linalg.norm(chosen.statistics("slide").mean))


@pytest.mark.parametrize("kmeans", ["0", "3"])
def test_a_picture(folder: Path, tmp_path: Path, kmeans: str) -> None:
    code, told = run(folder, "--kmeans", kmeans, "--plot", str(tmp_path / "in" / "p.png"))
    assert (code, told["plot"]) == (0, str(tmp_path / "in" / "p.png"))
    with Image.open(tmp_path / "in" / "p.png") as picture:
        assert picture.size == (1280, 560)
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0, 114, 178), (230, 159, 0), (0, 158, 115)} <= colours


def test_for_people(folder: Path) -> None:
    done = CliRunner().invoke(app, ["stats", "--store", str(folder), "--kmeans", "2"])
    assert done.exit_code == 0
    assert "153 patches of 3 slides" in " ".join(done.stdout.split())
    assert "2 clusters" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--plot", "picture.jpg"], "is no .png"),
        (["--quality", "tissue"], "--quality tissue"),
        (["--quality", "tissue=a:b"], "--quality tissue=a:b"),
        (["--quality", "tissue=9:", "--quality", "tissue=:99"], "names tissue twice"),
        (["--quality", "pen=1:2"], "no column pen"),
        (["--pca", "9"], "--pca 9"),
        (["--kmeans", "500"], "500 clusters"),
        (["--weight", "x"], "weight"),
        (["--space", "none"], "no space none"),
    ],
)
def test_what_is_refused(folder: Path, arguments: list[str], problem: str) -> None:
    code, told = run(folder, *arguments)
    assert code == 2
    assert problem in told["error"]["problem"]  # type: ignore[index]


@pytest.mark.parametrize("groups", [1, 11, 500])
def test_any_number_of_groups_and_points(tmp_path: Path, groups: int) -> None:
    points = (
        np.zeros((groups * 2, 2)) if groups == 1 else np.random.default_rng(0).normal(size=(groups * 2, 2))
    )
    names = [f"a-slide-with-quite-a-long-name-{n}" for n in range(groups)]
    of = np.arange(groups * 2) % groups
    picture = Picture("title", "space", np.array([1.0]), points, of, names, "slide")
    with Image.open(draw(picture, tmp_path / "p.png")) as drawn:
        assert len(drawn.convert("RGB").getcolors(1 << 20)) > 10


def test_export_as_anndata(folder: Path, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    path = tmp_path / "in" / "lake.h5ad"
    arguments = [
        "export",
        str(path),
        "--format",
        "anndata",
        "--slide",
        "S1",
        "--store",
        str(folder),
        "--json",
    ]
    done = CliRunner().invoke(app, arguments)
    told = json.loads(done.stdout)
    assert (done.exit_code, told["slides"], told["patches"]) == (0, 1, 51)
    assert anndata.read_h5ad(path).shape == (51, 8)
    again = CliRunner().invoke(app, arguments)
    assert (again.exit_code, "is there already" in again.stdout) == (2, True)
    assert CliRunner().invoke(app, [*arguments, "--overwrite"]).exit_code == 0
    arguments[1] = str(tmp_path / "folder")
    assert CliRunner().invoke(app, arguments).exit_code == 2
