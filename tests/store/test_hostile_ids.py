"""Ids and links that would lead out of the store: refused by every method, and nothing outside is touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidelake.errors import StoreNotWritableError, UsageError
from slidelake.store import FeatureStore, Objects
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide

HOSTILE = (
    "..", ".", "../S1", "a/../../b", "/etc", "a/b", "a\\b", "", ".hidden", "a\0b", "a~b", "~root", "nul", "S1/", "S 1",
    "Ｓ1", "-\n", "x" * 81,
)  # fmt: skip

BYTES = np.zeros((2, 3, 3), np.uint8)
COORDS = np.zeros((2, 2), np.int32)

#: Every way to name a slide.
BY_SLIDE: dict[str, Callable[[FeatureStore, str], Any]] = {
    "state": lambda store, bad: store.state(bad),
    "commit": lambda store, bad: store.commit(bad, "overview"),
    "overview": lambda store, bad: store.overview(bad),
    "grid": lambda store, bad: store.grid(bad, GRID_ID),
    "bag": lambda store, bad: store.bag(bad),
    "pooled": lambda store, bad: store.pooled(bad, None, "mean"),
    "put_overview": lambda store, bad: store.put_overview(
        bad, thumbnail=BYTES, tissue_mask=BYTES[:, :, 0], attributes={}, provenance={}
    ),
    "put_grid": lambda store, bad: store.put_grid(
        bad, GRID_ID, coords=COORDS, columns={}, attributes={}, provenance={}
    ),
    "bag_writer": lambda store, bad: store.bag_writer(bad, GRID_ID, ENCODER_ID, dim=2, coords=COORDS),
    "bag_writer of the next epoch": lambda store, bad: store.bag_writer(
        bad, GRID_ID, ENCODER_ID, dim=2, coords=COORDS, replaces=1
    ),
    "put_pooled": lambda store, bad: store.put_pooled(
        bad, f"{GRID_ID}/{ENCODER_ID}", "mean.00000000", embedding=np.ones((1, 2)), provenance={}
    ),
    "close_epoch": lambda store, bad: store.close_epoch(bad),
}

#: Every way to name something else.
BY_OTHER: dict[str, Callable[[FeatureStore, str], Any]] = {
    "commit of a grid": lambda store, bad: store.commit("S1", "grid", bad),
    "commit of an encoder": lambda store, bad: store.commit("S1", "bag", GRID_ID, bad),
    "grid": lambda store, bad: store.grid("S1", bad),
    "bag": lambda store, bad: store.bag("S1", f"{GRID_ID}/{bad}"),
    "bag on a grid": lambda store, bad: store.bag("S1", f"{bad}/{ENCODER_ID}"),
    "pooled": lambda store, bad: store.pooled("S1", None, bad),
    "put_grid": lambda store, bad: store.put_grid(
        "S1", bad, coords=COORDS, columns={}, attributes={}, provenance={}
    ),
    "put_grid, column": lambda store, bad: store.put_grid(
        "S1", "new", coords=COORDS, columns={bad: np.zeros(2, np.uint8)}, attributes={}, provenance={}
    ),
    "bag_writer, grid": lambda store, bad: store.bag_writer("S1", bad, ENCODER_ID, dim=2, coords=COORDS),
    "bag_writer, encoder": lambda store, bad: store.bag_writer("S1", GRID_ID, bad, dim=2),
    "put_pooled, space": lambda store, bad: store.put_pooled(
        "S1", f"{bad}/{bad}", "mean.00000000", embedding=np.ones((1, 2)), provenance={}
    ),
    "put_pooled, aggregator": lambda store, bad: store.put_pooled(
        "S1", f"{GRID_ID}/{ENCODER_ID}", bad, embedding=np.ones((1, 2)), provenance={}
    ),
    "put_run": lambda store, bad: store.put_run(bad, {}),
    "quarantine.put": lambda store, bad: store.quarantine.put(bad, {}),
    "quarantine.clear": lambda store, bad: store.quarantine.clear(bad),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    store = FeatureStore.open(tmp_path_factory.mktemp("outside") / "store", create=True)
    add_slide(store, "S1")
    return store


def _everything(store: FeatureStore) -> list[Path]:
    return sorted(Path(store.url).parent.rglob("*"))


@pytest.mark.parametrize("method", BY_SLIDE)
def test_slide_ids(store: FeatureStore, method: str) -> None:
    before = _everything(store)
    for bad in HOSTILE:
        with pytest.raises(UsageError):
            BY_SLIDE[method](store, bad)
    assert _everything(store) == before


@pytest.mark.parametrize("method", BY_OTHER)
def test_other_ids(store: FeatureStore, method: str) -> None:
    before = _everything(store)
    for bad in HOSTILE:
        with pytest.raises(UsageError):
            BY_OTHER[method](store, bad)
    assert _everything(store) == before


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    folder = tmp_path / "precious"
    (folder / "overview" / "attempt").mkdir(parents=True)
    (folder / "overview" / "attempt" / "zarr.json").write_text("{}")
    return folder


def test_deleting_does_not_follow_links(tmp_path: Path, precious: Path) -> None:
    objects = Objects(tmp_path / "store")
    (tmp_path / "store/slides").mkdir(parents=True)
    (tmp_path / "store/slides/S1").symlink_to(precious, target_is_directory=True)
    for action in (
        lambda: objects.delete_tree("slides/S1/overview/attempt"),
        lambda: objects.delete_tree("slides/S1/overview"),
        lambda: objects.delete("slides/S1/overview/attempt/zarr.json"),
    ):
        with pytest.raises(StoreNotWritableError, match=r"slides/S1 is a link.*real folder"):
            action()
    assert (precious / "overview/attempt/zarr.json").exists()
    # The link itself is the store's, what it leads to is not.
    objects.delete_tree("slides/S1")
    assert not (tmp_path / "store/slides/S1").is_symlink()
    assert (precious / "overview/attempt/zarr.json").exists()


def test_a_tree_with_links_in_it_is_deleted_without_what_they_lead_to(tmp_path: Path, precious: Path) -> None:
    objects = Objects(tmp_path / "store")
    objects.put_if_absent("slides/S1/file", b"x")
    (tmp_path / "store/slides/S1/inside").symlink_to(precious, target_is_directory=True)
    objects.delete_tree("slides/S1")
    assert not (tmp_path / "store/slides/S1").exists()
    assert (precious / "overview/attempt/zarr.json").exists()


def test_a_store_behind_a_link_is_a_store(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk", target_is_directory=True)
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1")
    with store.bag_writer("S1", GRID_ID, "x.00000000", dim=2) as writer:
        attempt = writer.attempt
    assert not (tmp_path / "disk" / attempt).exists()
    assert store.slide_ids() == ["S1"]


def test_a_writer_whose_slide_became_a_link_takes_nothing(tmp_path: Path, precious: Path) -> None:
    store = FeatureStore.open(tmp_path / "store", create=True)
    add_slide(store, "S1")
    writer = store.bag_writer("S1", GRID_ID, "x.00000000", dim=2)
    slide = tmp_path / "store/slides/S1"
    slide.rename(tmp_path / "moved")
    slide.symlink_to(precious, target_is_directory=True)
    theirs = precious / Path(writer.attempt).relative_to("slides/S1")
    theirs.mkdir(parents=True)
    writer.abandon()
    assert theirs.exists()
