"""Real files of other programs that hold no bag: each is refused by name."""

from pathlib import Path

import pytest

from slidelake.store import FeatureStore
from slidelake.store.interop import ImportOptions, import_features
from tests.shared_data import shared

WORDS = {
    "pathml_test.pt": "TorchScript archive",
    "slide2vec_test-wsi.pt": "one vector of 1,280 numbers",
    "luna_123.tiles.h5": "it has no features",
}
FILES = [path for path in shared("features/*") if path.name in WORDS]


@pytest.mark.parametrize("format", ["trident", "clam"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shared_files_that_are_no_bags(store: FeatureStore, path: Path, format: str) -> None:
    report = import_features(store, path, format=format, options=ImportOptions(encoder="x", mpp=0.5))
    [outcome] = report.outcomes
    assert outcome.state == "refused"
    assert WORDS[path.name] in outcome.message
    assert report.exit_code == 3
    assert store.slide_ids() == []
