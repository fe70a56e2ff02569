"""How many of the true nearest an approximate index finds: measured when it is made, and probes chosen by it.

Defaults of IVF indexes found .53 to .78 of the ten nearest in clustered vectors; what they find depends on the data. So
rows of the table itself are asked, the answers compared with those of a full product, and more partitions are looked
into until enough is found. What was measured stands beside the tables, `index/recall/<table>.json`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.index.blocks import inverse_norms, matrix
from slidelake.index.tables import METRIC

if TYPE_CHECKING:
    from slidelake.store import Objects

__all__ = ["REFINE", "UNMEASURED", "Recall", "kept_recall", "measure", "measure_and_keep"]

log = logging.getLogger(__name__)

#: Candidates a hit that are compared by their own vectors.
REFINE = 10
#: Probes where nothing was measured: every partition.
UNMEASURED = 1024
#: Wanted of the ten nearest; above .95, because a sample of queries says it only within about .01.
WANTED = 0.97
_PROBES = (16, 32, 64, 128, 256, 512, UNMEASURED)
_ROWS_AT_ONCE = 16_384
#: Scores closer than this are the same place in the order.
_TIE = 1e-5


@dataclass(frozen=True)
class Recall:
    """`recall` of the `k` nearest over `queries` rows of the table, looking into `probes` partitions."""

    recall: float
    probes: int
    k: int
    queries: int
    rows: int
    time: str = ""


def kept_recall(objects: Objects, table: str) -> Recall | None:
    """What was measured of a table when its approximate index was made; None where nothing was."""
    try:
        said = objects.read_json(_key(table))
        return Recall(**{name: said[name] for name in Recall.__dataclass_fields__})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def measure_and_keep(objects: Objects, table: Any) -> Recall:
    """Measure with rising probes until enough is found, and keep the result beside the table."""
    found = measure(table)
    objects.replace(_key(table.name), json.dumps(asdict(found), indent=1).encode())
    log.info("recall measured", extra={"table": table.name, "recall": found.recall, "probes": found.probes})
    return found


def measure(
    table: Any, *, queries: int = 64, k: int = 10, probes: int | None = None, seed: int = 0
) -> Recall:
    """Recall@k of a table's approximate index against a full product: with `probes`, or with as many as it takes.

    Rows of the table, drawn by `seed`, are the queries; each must find its neighbours, itself not counted.
    """
    rows = table.count_rows()
    drawn = np.sort(np.random.default_rng(seed).choice(rows, min(queries, rows), replace=False))
    asked = matrix(table.take_offsets([int(n) for n in drawn]).select(["vector"]).to_arrow()["vector"])
    vectors = asked.astype(np.float32)
    vectors *= inverse_norms(vectors)[:, None]
    least = _kth_best(table, vectors, k + 1)
    found = 0.0
    for number in (probes,) if probes is not None else _PROBES:
        found, used = _share_found(table, vectors, least, k + 1, number), number
        if found >= WANTED:
            break
    return Recall(
        round(found, 4), used, k, len(vectors), rows, datetime.now(UTC).isoformat(timespec="seconds")
    )


def _kth_best(table: Any, vectors: np.ndarray, k: int) -> np.ndarray:
    """(m,) the k-th best cosine that any row has with each of (m, D) unit vectors."""
    best = np.full((len(vectors), k), -2.0, np.float32)
    for batch in table.search().select(["vector"]).to_batches(_ROWS_AT_ONCE):
        block = matrix(batch["vector"]).astype(np.float32)
        products = vectors @ (block * inverse_norms(block)[:, None]).T
        both = np.concatenate([best, products], axis=1)
        best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
    least: np.ndarray = best.min(axis=1)
    return least


def _share_found(table: Any, vectors: np.ndarray, least: np.ndarray, k: int, probes: int) -> float:
    """Share of the true k nearest among what the index gives, the query's own row not counted."""
    search = table.search(vectors, vector_column_name="vector").distance_type(METRIC)
    search = search.nprobes(probes).refine_factor(REFINE)
    found = search.select(["vector", "_distance"]).limit(k).to_arrow()
    which = np.asarray(found["query_index"], np.intp)
    block = matrix(found["vector"]).astype(np.float32)
    scores = np.einsum("nd,nd->n", block, vectors[which]) * inverse_norms(block)
    right = np.bincount(which[scores >= least[which] - _TIE], minlength=len(vectors))
    return float(((np.minimum(right, k) - 1).clip(0) / (k - 1)).mean())


def _key(table: str) -> str:
    return f"index/recall/{table}.json"
