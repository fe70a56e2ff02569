"""CLAM's files into the store: two formats of features, levels, and a file that tells almost nothing."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from slidelake.store import FeatureStore, verify
from slidelake.store.interop import ImportOptions, SlideFacts, import_features
from tests.store.interop import peers


def take(store: FeatureStore, path: Path, **options: Any) -> Any:
    return import_features(
        store, path, format="clam", options=ImportOptions(**{"encoder": "resnet50_trunc", **options})
    )


def only(report: Any) -> Any:
    [outcome] = report.outcomes
    return outcome


@pytest.mark.parametrize("kept", ["h5", "pt", "both"])
def test_level_0_needs_no_mpp(store: FeatureStore, tmp_path: Path, kept: str) -> None:
    data = peers.features(70)
    peers.clam(tmp_path / "clam", "S1", data, h5=kept != "pt", pt=kept != "h5")
    assert only(take(store, tmp_path / "clam")).space.startswith("256px-level0-tclam1/resnet50_trunc.")
    bag = store.bag("S1")
    assert bag.features.tobytes() == data.tobytes()
    np.testing.assert_array_equal(bag.coords, peers.lattice(70, 256))
    facts = store.grid("S1", "256px-level0-tclam1").attributes
    assert facts["footprint_level0"] == [256, 256]
    assert facts["native"] is True
    assert "effective_mpp" not in facts
    assert verify(store, deep=True).ok


def test_level_1_asks_for_mpp(store: FeatureStore, tmp_path: Path) -> None:
    peers.clam(tmp_path, "S1", peers.features(), level=1, downsample=4.0001)
    refused = only(take(store, tmp_path))
    assert refused.reason == "mpp-missing"
    assert "--mpp" in refused.remedy
    assert "--slides" in refused.remedy
    assert only(take(store, tmp_path, mpp=0.2525)).space.startswith("256px-1mpp-tclam1/")
    facts = store.grid("S1", "256px-1mpp-tclam1").attributes
    assert facts["footprint_level0"] == [256 * 4.0001] * 2
    assert facts["effective_mpp"] == pytest.approx([1.01, 1.01], abs=1e-3)


def test_slides_tell_mpp_and_size(store: FeatureStore, tmp_path: Path) -> None:
    peers.clam(tmp_path, "S1", peers.features(), level=1, downsample=2.0)
    peers.clam(tmp_path, "S2", peers.features(), level=1, downsample=2.0)
    known = {"S1": SlideFacts((0.25, 0.26), "properties", (40_000, 30_000), {"source_uri": "/slides/S1.svs"})}
    report = take(store, tmp_path, slide_of=known.get)
    assert [(each.slide_id, each.state) for each in report.outcomes] == [("S1", "made"), ("S2", "refused")]
    bag = store.bag("S1")
    assert bag.provenance["source_uri"] == "/slides/S1.svs"
    assert (bag.provenance["mpp_x"], bag.provenance["mpp_y"]) == (0.25, 0.26)
    assert bag.attributes["effective_mpp"] == [0.5, 0.52]
    assert bag.attributes["slide_size"] == [40_000, 30_000]


def test_coordinates_beyond_the_slide_are_of_another_unit(store: FeatureStore, tmp_path: Path) -> None:
    peers.clam(tmp_path, "S1", peers.features())
    refused = only(take(store, tmp_path, slide_of={"S1": SlideFacts(size=(900, 900))}.get))
    assert "reach from [0, 0] to [1280, 1024]" in refused.message


def test_shrunk_patches_and_stride(store: FeatureStore, tmp_path: Path) -> None:
    peers.clam(tmp_path, "S1", peers.features(), custom_downsample=2, step=128)
    take(store, tmp_path, mpp=0.25)
    facts = store.grid("S1", "128px-0.5mpp-s64-tclam1").attributes
    assert facts["footprint_level0"] == [256, 256]
    assert facts["stride_level0"] == [128, 128]


def test_without_files_of_patches(store: FeatureStore, tmp_path: Path) -> None:
    peers.clam(tmp_path / "clam", "S1", peers.features(), patches=False)
    refused = only(take(store, tmp_path / "clam"))
    assert refused.reason == "fact-missing"
    assert "--patches" in refused.remedy
    assert "--patch-size" in refused.remedy
    given = take(store, tmp_path / "clam", patch_size=256, patch_size_level0=512.0, mpp=0.25)
    assert only(given).space.startswith("256px-0.5mpp-s128-tclam1/")
    peers.clam(tmp_path / "elsewhere", "S2", peers.features(), h5=False)
    peers.clam(tmp_path / "clam", "S2", peers.features(), patches=False, h5=False, pt=True)
    assert "--patches" in take(store, tmp_path / "clam").outcomes[-1].remedy
    made = take(store, tmp_path / "clam", patches=tmp_path / "elsewhere" / "patches")
    assert made.outcomes[-1].state == "made"


def test_old_files_of_patches_hold_pixels(store: FeatureStore, tmp_path: Path) -> None:
    peers.clam(tmp_path, "S1", peers.features(3), patches=False)
    with h5py.File(tmp_path / "patches" / "S1.h5", "w") as file:
        pixels = file.create_dataset("imgs", data=np.zeros((3, 256, 256, 3), np.uint8))
        pixels.attrs.update({"patch_level": 0, "wsi_name": "S1", "downsample": (1.0, 1.0)})
        file["coords"] = peers.lattice(3, 256).astype(np.int32)
    assert only(take(store, tmp_path)).space.startswith("256px-level0-tclam1/")


def test_without_an_encoder(store: FeatureStore, tmp_path: Path) -> None:
    peers.clam(tmp_path, "S1", peers.features())
    refused = only(take(store, tmp_path, encoder=None))
    assert (refused.reason, refused.remedy) == ("fact-missing", "Pass --encoder NAME.")


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")  # deprecated, and still out there
def test_tensors_that_are_no_bag(store: FeatureStore, tmp_path: Path) -> None:
    folder = tmp_path / "pt_files"
    folder.mkdir()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / "script.pt")
    torch.save(torch.ones(7), folder / "vector.pt")
    torch.save({"features": torch.ones(3, 4)}, folder / "dict.pt")
    torch.save(torch.ones(3, 4, dtype=torch.bfloat16), folder / "brain.pt")
    torch.save(torch.ones(3, 4, dtype=torch.float64), folder / "double.pt")
    torch.save(torch.ones(1).expand(1 << 20, 1 << 20), folder / "claims.pt")
    torch.save(_Program(), folder / "program.pt")
    (folder / "torn.pt").write_bytes((folder / "double.pt").read_bytes()[:-200])
    said = {each.slide_id: each for each in take(store, tmp_path).outcomes}
    assert {each.state for each in said.values()} == {"refused"}
    for name, words in {
        "script": "TorchScript", "vector": "one vector of 7", "dict": "a dict", "brain": "bfloat16",
        "claims": "more than it holds", "program": "weights_only", "torn": "weights_only",
    }.items():  # fmt: skip
        assert words in said[name].message, name
    assert store.slide_ids() == []
    peers.clam(tmp_path, "double", peers.features(3), h5=False)
    assert "--dtype float32" in take(store, tmp_path / "pt_files" / "double.pt").outcomes[0].remedy
    assert only(take(store, tmp_path / "pt_files" / "double.pt", dtype="float32")).state == "made"
    assert store.bag("double").features.dtype == np.float32


class _Program:
    """A pickle that would act when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return _act, ("acted",)


def _act(name: str) -> str:
    raise AssertionError("a pickle was run")
