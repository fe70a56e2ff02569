"""A cohort as one lazy array: its rows, where they come from, what is read for it, and what is refused."""

import pickle
import shutil
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray

from slidelake.errors import DamagedStoreError, FilterError, UnknownSlideError, UnknownSpaceError, UsageError
from slidelake.store import Bag, FeatureStore, Grid, cohort
from slidelake.store.array_reader import ArrayReader
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide
from tests.store.views.conftest import DIM, SPACE, all_rows


@pytest.mark.parametrize("block_rows", [None, 7, 270, 100_000])
def test_the_rows_of_all_bags(store: FeatureStore, block_rows: int | None) -> None:
    found = cohort(store, block_rows=block_rows)
    assert len(found) == 270 + 17 + 1 + 900
    assert found.shape == found.features.shape == (1188, DIM)
    assert found.features.dtype == np.float16
    assert sum(found.features.chunks[0]) == 1188
    assert max(found.features.chunks[0]) <= (block_rows or 10**9)
    features = found.features.compute()
    assert features.dtype == np.float16
    np.testing.assert_array_equal(features, all_rows(store))


def test_where_each_row_comes_from(store: FeatureStore) -> None:
    found = cohort(store, block_rows=50)
    numbers = {what: found.numbers(what).compute() for what in ("row", "slide", "patient")}
    coords, tissue = dask.compute(found.coords, found.column("tissue"))
    features = found.features.compute()
    rng = np.random.default_rng(0)
    for n in rng.integers(0, len(found), 60):
        slide_id = found.slides.slide_id[numbers["slide"][n]]
        bag, row = store.bag(slide_id), numbers["row"][n]
        np.testing.assert_array_equal(features[n], bag.features[row])
        np.testing.assert_array_equal(coords[n], bag.coords[row])
        assert tissue[n] == store.grid(slide_id, GRID_ID).columns["tissue"][row]
        assert found.patients[numbers["patient"][n]] == f"P{int(slide_id[1]) % 3}"
        assert found.slide_of(np.array([n]))[0] == numbers["slide"][n]


def test_the_table_of_slides(store: FeatureStore) -> None:
    found = cohort(store)
    assert found.slides.slide_id.tolist() == ["S0", "S1", "S2", "S3", "S4"]
    assert found.slides.patches.tolist() == [300, 0, 17, 1, 900]
    assert found.slides.rows.tolist() == [270, 0, 17, 1, 900]
    assert found.slides.first_row.tolist() == [0, 270, 270, 287, 288]
    assert found.patients == ["P0", "P1", "P2"]
    np.testing.assert_array_equal(found.features[found.rows_of("S2")].compute(), store.bag("S2").features)
    assert found.rows_of("S1") == slice(270, 270)
    assert repr(found) == f"Cohort({SPACE}: 5 slides, 1,188 rows of 16 float16)"


def test_building_reads_commits_and_no_array(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = ArrayReader.__init__

    def watch(self: ArrayReader, objects: object, folder: str, *rest: object) -> None:
        read.append(folder)
        real(self, objects, folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ArrayReader, "__init__", watch)
    monkeypatch.setattr(Bag, "group", property(lambda self: pytest.fail("a group was opened")))
    monkeypatch.setattr(Grid, "group", property(lambda self: pytest.fail("a group was opened")))
    found = cohort(store)
    _ = found.features, found.coords, found.to_xarray()
    # S0 alone has rows that are not valid: its commit says so, by the checksum.
    assert [each.split("/")[1] for each in read] == ["S0"]
    assert read[0].endswith("/valid")
    read.clear()
    cohort(store, quality={"tissue": (100, None)})
    assert sorted(each.rpartition("/")[2] for each in read) == ["tissue"] * 5 + ["valid"]


def test_quality(store: FeatureStore) -> None:
    found = cohort(store, quality={"tissue": (128, None), "blur": (None, 200)}, block_rows=64)
    parts, rows = [], []
    for slide_id in found.slides.slide_id:
        bag, columns = store.bag(slide_id), store.grid(slide_id, GRID_ID).columns
        keep = (bag.valid != 0) & (columns["tissue"] >= 128) & (columns["blur"] <= 200)
        parts.append(bag.features[keep])
        rows.append(np.flatnonzero(keep))
    assert found.slides.rows.tolist() == [len(part) for part in parts]
    np.testing.assert_array_equal(found.features.compute(), np.concatenate(parts))
    np.testing.assert_array_equal(found.numbers("row").compute(), np.concatenate(rows))
    assert found.column("tissue").compute().min() >= 128
    assert max(found.features.chunks[0]) <= 64


def test_choosing_slides(store: FeatureStore) -> None:
    assert cohort(store, slides=["S4", "S2"]).slides.slide_id.tolist() == ["S4", "S2"]
    np.testing.assert_array_equal(
        cohort(store, slides=["S4", "S2"]).features.compute(), all_rows(store, "S4", "S2")
    )
    for where, ids in (
        ({"site": "larynx"}, ["S0", "S4"]),
        ({"site": ["larynx", "lung"], "age": {50, 60}}, ["S2", "S4"]),
        ({"patient_id": "P1"}, ["S1", "S4"]),
        (lambda frame: frame["age"].fillna(0) >= 50, ["S2", "S4"]),
    ):
        assert cohort(store, where=where).slides.slide_id.tolist() == ids


def test_one_slide_without_rows(store: FeatureStore) -> None:
    found = cohort(store, slides=["S1"])
    assert len(found) == 0
    assert found.features.compute().shape == (0, DIM)
    assert found.to_xarray().sizes["patch"] == 0
    assert found.sample(10)[1].shape == (0, DIM)


def test_what_is_refused(store: FeatureStore) -> None:
    with pytest.raises(UnknownSlideError, match=r"S44.*Did you mean S4"):
        cohort(store, slides=["S0", "S44"])
    with pytest.raises(UsageError, match="one string"):
        cohort(store, slides="S0")
    with pytest.raises(UsageError, match="S0 is asked for twice"):
        cohort(store, slides=["S0", "S0"])
    with pytest.raises(UnknownSpaceError, match="no space nothing"):
        cohort(store, "nothing")
    with pytest.raises(FilterError, match=r"no column stage.*site"):
        cohort(store, where={"stage": "I"})
    with pytest.raises(FilterError, match="no slide fits"):
        cohort(store, where={"site": "skin"})
    with pytest.raises(FilterError, match="yes or no"):
        cohort(store, where=lambda frame: frame["age"])
    with pytest.raises(FilterError, match=r"S0: the grid has no column pen.*blur, tissue"):
        cohort(store, quality={"pen": (None, 10)})
    for ends in ((5, 4), (0, 256), (-1, 5), (0.5, 3), 7, "ab", (1, 2, 3)):
        with pytest.raises(FilterError, match="no range"):
            cohort(store, quality={"tissue": ends})  # type: ignore[dict-item]
    with pytest.raises(UsageError, match="block_rows"):
        cohort(store, block_rows=0)
    with pytest.raises(UsageError, match="no column pen"):
        cohort(store).column("pen")
    with pytest.raises(UsageError, match="not in the cohort"):
        cohort(store, slides=["S0"]).rows_of("S2")


def test_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(UnknownSpaceError, match="no features"):
        cohort(FeatureStore.open(tmp_path / "store", create=True))


@pytest.fixture
def copied(shared_folder: Path, tmp_path: Path) -> FeatureStore:
    shutil.copytree(shared_folder, tmp_path / "store")
    return FeatureStore.open(tmp_path / "store")


def test_bags_of_several_dimensions_and_dtypes(copied: FeatureStore) -> None:
    """Imported bags may be of any dtype; of another dimension they are not of one space."""
    wide = np.linspace(0, 1, 17 * DIM, dtype=np.float32).reshape(17, DIM)
    with copied.bag_writer("S2", GRID_ID, ENCODER_ID, dim=DIM, dtype="float32") as writer:
        writer.write(wide)
        writer.commit({})
    found = cohort(copied, slides=["S0", "S2"])
    assert found.dtype == found.features.dtype == np.float32
    features = found.features.compute()
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[found.rows_of("S2")], wide)
    with copied.bag_writer("S3", GRID_ID, ENCODER_ID, dim=5) as writer:
        writer.write(np.ones((1, 5), np.float32))
        writer.commit({})
    with pytest.raises(UsageError, match=r"S3 has 5, S0 has 16"):
        cohort(copied)


def test_a_slide_that_lacks_the_space(copied: FeatureStore) -> None:
    add_slide(copied, "S9", rows=3, encoder_id="other.00000000")
    assert cohort(copied, "test-encoder").slides.slide_id.tolist() == ["S0", "S1", "S2", "S3", "S4"]
    with pytest.raises(UnknownSlideError, match=r"S9: the store has no bag in 256px-0\.5mpp"):
        cohort(copied, "test-encoder", slides=["S0", "S9"])


def test_a_snapshot(copied: FeatureStore) -> None:
    before = cohort(copied).features.compute()
    copied.snapshots.create("v1")
    add_slide(copied, "S2", rows=17, dim=DIM, seed=77)
    copied.close_epoch("S3")
    assert len(cohort(copied)) == len(before) - 1
    pinned = cohort(copied, snapshot="v1", slides=["S0", "S2", "S4"])
    np.testing.assert_array_equal(pinned.features.compute(), np.delete(before, 287, axis=0))
    np.testing.assert_array_equal(cohort(copied.at("v1"), slides=["S2"]).features, before[270:287])
    assert pinned.column("tissue").compute().shape == (1187,)


def test_damage_in_the_middle_of_a_computation_names_the_slide(copied: FeatureStore) -> None:
    found = cohort(copied, block_rows=100)
    shard = Path(copied.bag("S4").path) / "features" / "c" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:1000])
    for compute in (found.features.compute, found.statistics, lambda: found.kmeans(2)):
        with pytest.raises(DamagedStoreError, match="S4") as caught:
            compute()
        assert caught.value.slide == "S4"
    shutil.rmtree(copied.bag("S2").path)
    with pytest.raises(DamagedStoreError, match="S2"):
        cohort(copied, slides=["S2"]).features.compute()


def test_to_xarray(store: FeatureStore) -> None:
    found = cohort(store)
    dataset = found.to_xarray()
    assert dict(dataset.sizes) == {"patch": 1188, "feature": DIM, "slides": 5, "patients": 3}
    assert set(dataset.coords) == {
        "slide", "patient", "row", "x", "y", "tissue", "blur", "slide_id", "patient_id",
    }  # fmt: skip
    assert all(
        dataset[name].chunks is not None for name in ("features", "slide", "patient", "row", "x", "tissue")
    )
    assert dataset.features.dtype == np.float16
    means = dataset.features.astype("float64").groupby(dataset.slide.compute()).mean()
    assert dataset.slide_id.values[means.slide.values].tolist() == ["S0", "S2", "S3", "S4"]
    np.testing.assert_allclose(means[1], store.bag("S2").features.astype(float).mean(axis=0), rtol=1e-12)


def test_a_bag_to_xarray(store: FeatureStore) -> None:
    bag = store.bag("S0")
    dataset = bag.to_xarray()
    assert dict(dataset.sizes) == {"patch": 300, "feature": DIM}
    assert dataset.features.chunks is not None
    np.testing.assert_array_equal(dataset.features, bag.features)
    np.testing.assert_array_equal(dataset.x, bag.coords[:, 0])
    np.testing.assert_array_equal(dataset.valid, bag.valid)
    assert dataset.attrs["slide_id"] == "S0"
    assert (dataset.attrs["patient_id"], dataset.attrs["space"]) == ("P0", SPACE)
    assert isinstance(dataset.where(dataset.valid.compute() == 1, drop=True), xarray.Dataset)


def test_processes_and_pickles(store: FeatureStore) -> None:
    found = pickle.loads(pickle.dumps(cohort(store, block_rows=400, quality={"tissue": (10, None)})))
    want = found.features.compute()
    with dask.config.set(scheduler="processes", num_workers=2):
        np.testing.assert_array_equal(found.features.compute(), want)
        np.testing.assert_allclose(found.statistics().mean, want.astype(float).mean(axis=0), rtol=1e-12)


def test_a_remote_store(tmp_path: Path) -> None:
    store = FeatureStore.open(f"memory://{tmp_path.name}/store", create=True)
    parts = [add_slide(store, f"S{n}", rows=40 + n, seed=n) for n in range(3)]
    found = cohort(store, block_rows=16)
    np.testing.assert_array_equal(found.features.compute(), np.concatenate(parts))
