"""The table of slides follows the commits, and reads only what changed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slidelake.errors import StoreNotWritableError, UnknownSpaceError
from slidelake.store import FeatureStore, Objects
from slidelake.store.testing import ENCODER_ID, GRID_ID, add_slide


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore.open(tmp_path / "store", create=True)


def test_columns(store: FeatureStore) -> None:
    add_slide(store, "S2", patient_id="P2")
    add_slide(store, "S1", rows=20)
    add_slide(store, "S1", rows=20, encoder_id="other.00000000")
    frame = store.catalog()
    assert frame.columns.tolist() == [
        "slide_id", "patient_id", "uri", "mpp", "width", "height", "spaces", "space_patches", "n_patches",
    ]  # fmt: skip
    one, two = frame.to_dict("records")
    assert one == {
        "slide_id": "S1",
        "patient_id": "S1",
        "uri": "file:///slides/S1.svs",
        "mpp": 0.5,
        "width": 4096,
        "height": 3072,
        "spaces": [f"{GRID_ID}/other.00000000", f"{GRID_ID}/{ENCODER_ID}"],
        "space_patches": [20, 20],
        "n_patches": 20,
    }
    assert (two["slide_id"], two["patient_id"], two["n_patches"]) == ("S2", "P2", 300)


def test_metadata_joins(store: FeatureStore) -> None:
    add_slide(store, "S1", patient_id="P1")
    add_slide(store, "S2")
    store.metadata.merge(
        pd.DataFrame(
            {"slide_id": ["S1", "S2", "S9"], "patient_id": [None, "Q", "R"], "age": [3, 4, 5], "mpp": 9}
        )
    )
    frame = store.catalog()
    assert frame.slide_id.tolist() == ["S1", "S2"]
    assert frame.patient_id.tolist() == ["P1", "Q"]
    assert frame.age.tolist() == [3, 4]
    assert frame.mpp.tolist() == [0.5, 0.5]


def test_only_what_changed_is_read_again(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        add_slide(store, f"S{n}", rows=5)
    before = store.catalog()
    read: list[str] = []
    real = Objects.read
    monkeypatch.setattr(Objects, "read", lambda self, key: (read.append(key), real(self, key))[1])
    pd.testing.assert_frame_equal(store.catalog(), before)
    assert not [key for key in read if key.startswith("commits")]
    add_slide(store, "S2", rows=5, encoder_id="more.00000000")
    store.close_epoch("S3")
    read.clear()
    after = store.catalog()
    assert {key.split("/")[2] for key in read if key.startswith("commits")} == {"S2"}
    assert after.slide_id.tolist() == ["S0", "S1", "S2"]
    assert len(after.spaces[2]) == 2


@pytest.mark.parametrize("damage", [b"", b"not parquet"])
def test_a_damaged_catalog_is_made_again(store: FeatureStore, damage: bytes) -> None:
    add_slide(store, "S1")
    before = store.catalog()
    store.objects.replace("catalog/slides.parquet", damage)
    pd.testing.assert_frame_equal(store.catalog(), before)
    store.objects.delete_tree("catalog")
    pd.testing.assert_frame_equal(store.catalog(), before)


def test_a_reader_without_the_right_to_write(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_slide(store, "S1")

    def refuse(self: Objects, key: str, data: bytes) -> None:
        raise StoreNotWritableError("no")

    monkeypatch.setattr(Objects, "replace", refuse)
    assert store.catalog().slide_id.tolist() == ["S1"]


def test_spaces(store: FeatureStore) -> None:
    with pytest.raises(UnknownSpaceError, match="no features"):
        store.resolve_space("uni")
    add_slide(store, "S1", encoder_id="uni.11111111")
    assert store.resolve_space() == store.resolve_space("uni") == f"{GRID_ID}/uni.11111111"
    add_slide(store, "S2", encoder_id="uni.11111111")
    add_slide(store, "S2", encoder_id="uni.22222222")
    store.put_grid(
        "S2", "512px-level0", coords=np.zeros((1, 2), int), columns={}, attributes={}, provenance={}
    )
    with store.bag_writer("S2", "512px-level0", "conch.33333333", dim=2) as writer:
        writer.write(np.ones((1, 2), np.float32))
        writer.commit({})
    assert store.spaces() == {
        f"{GRID_ID}/uni.11111111": 2,
        f"{GRID_ID}/uni.22222222": 1,
        "512px-level0/conch.33333333": 1,
    }
    for name in ("conch", "512px-level0/conch", "512px@level0/conch", "conch.33333333"):
        assert store.resolve_space(name) == "512px-level0/conch.33333333"
    assert store.resolve_space("256px@0.5mpp/uni.22222222") == f"{GRID_ID}/uni.22222222"
    with pytest.raises(UnknownSpaceError, match=r"uni fits several.*11111111, .*22222222\."):
        store.resolve_space("uni")
    with pytest.raises(UnknownSpaceError, match="several spaces"):
        store.resolve_space()
    with pytest.raises(UnknownSpaceError, match=r"no space unj.*conch"):
        store.resolve_space("unj")
    with pytest.raises(UnknownSpaceError, match="S1: there is no space conch"):
        store.bag("S1", "conch")
    assert store.bag("S1").space == f"{GRID_ID}/uni.11111111"
