"""A cohort or a bag as AnnData: in memory, or written to .h5ad in bounded memory.

Layout: X features; obs one row a patch (slide, patient, x, y, row, the grid's columns, the slides' metadata);
obsm["spatial"] level-0 px, where squidpy and scanpy look for it; uns["slidelake"] where it all comes from.
"""

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake._version import __version__
from slidelake.errors import MissingDependencyError, UsageError
from slidelake.store.bag import Bag
from slidelake.store.info import read_info
from slidelake.store.views.blocks import slim
from slidelake.store.views.cohort import Cohort
from slidelake.store.views.selection import good_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["to_anndata", "write_anndata"]

# Bytes of a row of obs: its name, numbers, codes, and what pandas and AnnData copy of them meanwhile.
_OBS_BYTES = 400
# Some of what is free must stay so.
_SHARE = 0.8


def to_anndata(source: Cohort | Bag, *, dtype: str | None = None, memory: int | None = None) -> Any:
    """An `anndata.AnnData` in memory, of the valid (and chosen) rows; X in the bags' dtype, or `dtype`.

    Raises UsageError where it would not fit into `memory` bytes (default: 0.8 of what is free), and
    MissingDependencyError without anndata.
    """
    cohort = _cohort_of(source)
    x: Any = cohort.features
    x = x if dtype is None else x.astype(dtype)
    _check(
        len(cohort) * (cohort.dim * x.dtype.itemsize + _OBS_BYTES),
        memory,
        "Write it with write_anndata, or choose fewer rows with slides=, where= or quality=.",
    )
    return _anndata(cohort, x.compute(), source)


def write_anndata(
    source: Cohort | Bag,
    path: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    memory: int | None = None,
) -> Path:
    """Writes .h5ad and returns its path; features go through memory block by block, obs (about 400 bytes a row)
    is made whole. The file appears when it is complete. Raises as `to_anndata`."""
    cohort = _cohort_of(source)
    _check(
        len(cohort) * _OBS_BYTES,
        memory,
        "Choose fewer rows with slides=, where= or quality=, and write several files.",
    )
    x: Any = cohort.features
    x = x if dtype is None else x.astype(dtype)
    data = _anndata(cohort, x, source)
    path = Path(path)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        data.write_h5ad(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def _cohort_of(source: Cohort | Bag) -> Cohort:
    if isinstance(source, Cohort):
        return source
    import pandas as pd

    from slidelake.store.feature_store import FeatureStore

    info = read_info(source.objects)
    if info is None:
        raise UsageError("the bag's store is gone", remedy="Open it again.", slide=source.slide_id)
    told = source.provenance
    frame = pd.DataFrame(
        {
            "slide_id": [source.slide_id],
            "patient_id": [told.get("patient_id") or source.slide_id],
            "mpp": [told.get("mpp_x")],
        }
    )
    kept = good_rows(source.objects, source.commit, None, {})
    store = FeatureStore(source.objects, info)
    return Cohort(store, source.space, frame, [(slim(source.commit), None, kept)], {}, None)


def _check(need: int, memory: int | None, remedy: str) -> None:
    import psutil

    limit = memory if memory is not None else int(psutil.virtual_memory().available * _SHARE)
    if need > limit:
        raise UsageError(
            f"this would take about {need / 2**30:.3g} GiB of memory, and {limit / 2**30:.3g} GiB can be had",
            remedy=remedy,
        )


def _anndata(cohort: Cohort, x: Any, source: Cohort | Bag) -> Any:
    try:
        import anndata
    except ImportError as exc:
        raise MissingDependencyError(
            "anndata is not installed", remedy="Install it with `pip install 'slidelake[anndata]'`."
        ) from exc
    import pandas as pd

    coords, obs = _obs(cohort)
    told: dict[str, Any] = {
        "space": cohort.space,
        "store": cohort.store.url,
        "store_id": cohort.store.info.store_id,
        "quality": json.dumps(cohort.quality),
        "commits": np.array([bag.key for bag in cohort.bags], dtype=object),
        "slidelake_version": __version__,
    }
    if isinstance(source, Bag):
        told["provenance"] = json.dumps(source.provenance)
    var = pd.DataFrame(index=pd.Index([str(n) for n in range(cohort.dim)], dtype=object))
    return anndata.AnnData(X=x, obs=obs, var=var, obsm={"spatial": coords}, uns={"slidelake": told})


def _obs(cohort: Cohort) -> tuple[NDArray[np.int32], "pd.DataFrame"]:
    import dask.base
    import pandas as pd

    names = cohort.column_names
    compute: Any = dask.base.compute
    coords, row, *columns = compute(cohort.coords, cohort.numbers("row"), *map(cohort.column, names))
    slides = cohort.slides
    of_slide = np.repeat(np.arange(len(slides), dtype=np.int32), slides["rows"])
    patient = pd.Index(cohort.patients).get_indexer(slides["patient_id"]).astype(np.int32)
    series: dict[str, Any] = {
        "slide": pd.Categorical.from_codes(of_slide, pd.Index(slides["slide_id"], dtype=object)),
        "patient": pd.Categorical.from_codes(patient[of_slide], pd.Index(cohort.patients, dtype=object)),
        "x": coords[:, 0],
        "y": coords[:, 1],
        "row": row,
        **dict(zip(names, columns, strict=True)),
    }
    for name, values in slides.items():
        if str(name) not in _NOT_METADATA and str(name) not in series:
            series[str(name)] = _repeated(values, of_slide)
    # As plain objects: AnnData cannot write pandas' Arrow strings yet.
    names_of_rows = (
        slides["slide_id"].astype(object).to_numpy()[of_slide] + ":" + row.astype(str).astype(object)
    )
    index = pd.Index(names_of_rows, dtype=object)
    return coords, pd.DataFrame(series, index=index)


#: Columns of the table of slides that say nothing of a patch, or where its file lay.
_NOT_METADATA = {
    "slide_id", "patient_id", "uri", "spaces", "space_patches", "n_patches", "patches", "rows", "first_row",
}  # fmt: skip


def _repeated(values: "pd.Series[Any]", of_slide: NDArray[np.int32]) -> Any:
    """A slide's value for each of its rows: numbers as they are, all else as categories."""
    import pandas as pd
    import pandas.api.types as types

    if types.is_numeric_dtype(values) and not types.is_bool_dtype(values):
        plain = values.astype("float64") if values.isna().any() else values.astype(values.dtype.name.lower())
        return plain.to_numpy()[of_slide]
    codes, categories = pd.factorize(values.astype("str").where(values.notna()))
    return pd.Categorical.from_codes(codes.astype(np.int32)[of_slide], pd.Index(categories, dtype=object))
