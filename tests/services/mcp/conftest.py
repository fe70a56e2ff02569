"""A lake of three small slides of two patients, with index and slide embeddings."""

import pandas as pd
import pytest

import slidelake
from slidelake.services.lake import Lake
from tests.ingest.slides import tissue_slide


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("mcp")
    (folder / "slides").mkdir()
    for seed, name in enumerate(("one", "two", "three")):
        tissue_slide(folder / "slides" / f"{name}.tif", seed=seed, size=1024)
    manifest = pd.DataFrame(
        {
            "uri": [str(folder / "slides" / f"{name}.tif") for name in ("one", "two", "three")],
            "patient_id": ["A", "A", "B"],
            "site": ["lung", "lung", "skin"],
        }
    )
    manifest.to_csv(folder / "manifest.csv", index=False)
    made = slidelake.open(folder / "lake")
    made.ingest(manifest=folder / "manifest.csv", sync_index=False)
    made.embed()
    made.index.sync()
    return made
