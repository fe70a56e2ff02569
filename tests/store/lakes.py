"""Small stores for tests, made once and copied: a commit costs some ten fsyncs, a copy none."""

import shutil
from pathlib import Path

import fsspec
import pandas as pd

from slidelake.store import FeatureStore
from slidelake.store.testing import add_slide

__all__ = ["copy_of", "make_cohort"]


def make_cohort(folder: Path, *, slides: int = 3, rows: int = 20) -> Path:
    """Slides S0, S1, … of patients P0, P1, …; the metadata knows the site of S0, S1 and of S9, which is not in."""
    store = FeatureStore.open(folder, create=True)
    for n in range(slides):
        add_slide(store, f"S{n}", rows=rows, seed=n, patient_id=f"P{n}")
    store.metadata.merge(pd.DataFrame({"slide_id": ["S0", "S1", "S9"], "site": ["lung", "skin", "liver"]}))
    return folder


def copy_of(folder: Path, where: Path, scheme: str) -> FeatureStore:
    """A copy of a local store, in a folder (`local`) or in memory (`memory`), under a name of its own."""
    if scheme == "local":
        shutil.copytree(folder, where)
        return FeatureStore.open(where)
    url = "memory://" + "-".join(where.parts[-2:])
    fs, root = fsspec.core.url_to_fs(url)
    for path in folder.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"{root}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return FeatureStore.open(url)
