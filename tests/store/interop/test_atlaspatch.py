"""AtlasPatch's files into the store: several encoders in one file."""

from pathlib import Path

import numpy as np

from slidelake.store import FeatureStore, verify
from slidelake.store.interop import guess_format, import_features
from tests.store.interop import peers


def test_each_encoder_is_a_bag(store: FeatureStore, tmp_path: Path) -> None:
    data = {"uni_v2": peers.features(seed=1), "plip": peers.features(dim=5, seed=2)}
    peers.atlaspatch(tmp_path / "patches" / "S1.h5", data)
    (tmp_path / "patches" / "S2.h5").write_bytes(b"no HDF5 file")
    report = import_features(store, tmp_path, format="atlaspatch")
    assert report.counts == {"made": 2, "refused": 1}
    assert guess_format(tmp_path) == "atlaspatch"
    for encoder, features in data.items():
        bag = store.bag("S1", encoder)
        assert bag.space.startswith("256px-0.5mpp-tatlaspatch1/")
        assert bag.features.tobytes() == features.tobytes()
        np.testing.assert_array_equal(bag.coords, peers.lattice())
        assert bag.attributes["footprint_level0"] == [512, 512]
        assert bag.provenance["imported_from"]["told"]["read"] == [512, 512, 0]
    assert import_features(store, tmp_path, format="atlaspatch").counts == {"already": 2, "refused": 1}
    assert verify(store, deep=True).ok
