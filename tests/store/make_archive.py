"""Makes the archived store of format version 1, which test_archive.py opens for ever. Run once per format.

python tests/store/make_archive.py tests/store/archives/v1
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from slidelake.store import FeatureStore, fingerprint_id, quarantine_key

GRID_ID = "256px-0.5mpp"
ENCODER_ID = fingerprint_id("stain-texture", {"name": "stain-texture", "dim": 4})
COORDS = np.array([[0, 0], [512, 0], [1024, 0], [0, 512], [512, 512]])
FEATURES = np.arange(20, dtype=np.float32).reshape(5, 4) / 8 - 1
VALID = np.array([1, 1, 0, 1, 1], np.uint8)


def make(folder: Path) -> None:
    """Two slides: S1 whole, with a pooled embedding; S2 made, deleted, and made again without patches."""
    store = FeatureStore.open(folder, create=True)
    for slide_id, coords in (("S1", COORDS), ("S2", COORDS), ("S2", COORDS[:0])):
        told = {"source_uri": f"file:///slides/{slide_id}.svs", "patient_id": f"P-{slide_id}", "mpp_x": 0.25}
        facts = {"slide_size": [2048, 1024]}
        store.put_overview(
            slide_id,
            thumbnail=np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
            tissue_mask=np.eye(2, dtype=np.uint8),
            attributes=facts,
            provenance=told,
        )
        rows = len(coords)
        columns = {"tissue": np.full(rows, 255, np.uint8), "blur": np.arange(rows, dtype=np.uint8)}
        store.put_grid(slide_id, GRID_ID, coords=coords, columns=columns, attributes=facts, provenance=told)
        with store.bag_writer(slide_id, GRID_ID, ENCODER_ID, dim=4, attributes=facts) as writer:
            writer.write(FEATURES[:rows], VALID[:rows])
            writer.commit(told)
        if slide_id == "S2" and rows:
            store.close_epoch("S2")
    store.put_pooled(
        "S1",
        f"{GRID_ID}/{ENCODER_ID}",
        "abmil.00000000",
        embedding=np.array([[1.0, 2.0]]),
        scores=np.array([[0.0, 1.0, -np.inf, 2.0, 3.0]]),
        lse=np.array([3.5]),
        provenance={},
    )
    store.metadata.merge(pd.DataFrame({"slide_id": ["S1", "S2"], "site": ["lung", "skin"], "age": [61, 47]}))
    store.quarantine.put(quarantine_key("file:///slides/S3.svs", {}), {"reason": "mpp-missing"})
    store.put_run("run-1", {"counts": {"made": 2}})


if __name__ == "__main__":
    make(Path(sys.argv[1]))
