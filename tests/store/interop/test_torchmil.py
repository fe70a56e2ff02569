"""Our TRIDENT export, read by torchmil's own dataset of TRIDENT's folders."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from slidelake.store import FeatureStore
from slidelake.store.interop import export_features
from tests.store.interop import peers
from tests.store.interop.test_export import put


@pytest.mark.filterwarnings("ignore")  # torchmil's and tensordict's own affairs
def test_torchmil_reads_it(store: FeatureStore, tmp_path: Path) -> None:
    from torchmil.datasets import TridentWSIDataset

    data = {f"S{i}": peers.features(300 + i, dtype="float32", seed=i) for i in range(3)}
    for slide, features in data.items():
        put(store, slide, features, side=512.0, mpp=0.25)
    export_features(store, tmp_path / "job", format="trident")
    labels = tmp_path / "labels.csv"
    pd.DataFrame({"slide": [f"{slide}.svs" for slide in data], "label": [0, 1, 0]}).to_csv(
        labels, index=False
    )
    dataset = TridentWSIDataset(
        base_path=f"{tmp_path}/job/20x_256px_0px_overlap/",  # joined as text: it must end with a slash
        labels_path=str(labels),
        feature_extractor="uni_v1",
        bag_keys=["X", "Y", "adj", "coords"],
        # It divides level-0 coordinates by this: the footprint, not the 256 px that the encoder saw.
        patch_size=512,
        wsi_name_col="slide",
        wsi_label_col="label",
    )
    assert dataset.bag_names == ["S0", "S1", "S2"]
    for i, (slide, features) in enumerate(data.items()):
        bag = dataset[i]
        np.testing.assert_array_equal(bag["X"].numpy(), features)
        cells = peers.lattice(len(features), 1)
        np.testing.assert_array_equal(bag["coords"].numpy(), cells)
        assert bag["Y"].item() == [0, 1, 0][i], slide
        neighbours = bag["adj"].to_dense()[7].count_nonzero()
        assert neighbours == 8  # those round it: cells are one apart
