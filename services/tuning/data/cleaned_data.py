"""The data set of cleaned pairs: the steps of `clean.py`, put together, with all evidence looked up at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slidelake.errors import UsageError
from slidelake.services.tuning.data.assemble import Assembly, assemble
from slidelake.services.tuning.data.clean import CleaningOptions, clean, number_of_batches
from slidelake.services.tuning.data.pairs import pair_resolver
from slidelake.services.tuning.data.pipeline import Item, Made
from slidelake.services.tuning.data.request import DataRequest
from slidelake.services.tuning.data.revise import reviser_rows
from slidelake.services.tuning.data.row import TuningRow
from slidelake.services.tuning.data.verify import Resolver
from slidelake.services.tuning.data.write import read_rows
from slidelake.services.tuning.data.zero_shot import image_resolver

__all__ = ["make_clean_data", "source_resolvers", "unresolved"]

_ABOUT = (
    "Image–text pairs of other collections, cleaned: what is not of pathology, not of people, short, or"
    " a repeat is left"
    " out. Texts are the sources' own; whether what they say is right was not looked at."
)


def make_clean_data(
    sources: Sequence[Path],
    request: DataRequest,
    options: CleaningOptions,
    *,
    corrupted: int = 0,
    progress: Callable[..., None] | None = None,
) -> dict[str, Any]:
    """Writes the data set into `request.out`; returns what counts.json says. `corrupted` rows for a reviser are made
    from each caption. Raises UsageError for sources that cannot be read, or two of one name."""
    if request.writer is not None:
        raise UsageError("cleaning needs no generator", remedy="Leave out --generator.")
    names = [path.name for path in sources]
    if len(set(names)) < len(names):
        raise UsageError("two sources have one name", remedy="Rename one: rows name the file they are from.")
    missing = [str(path) for path in sources if not path.is_file()]
    if missing or not sources:
        raise UsageError(
            f"there is no file {', '.join(missing)}" if missing else "no file was named",
            remedy="Give .json, .jsonl or .csv files.",
        )
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sources}
    run = request.run("clean", {**options.to_dict(), "sources": digests, "corrupted": corrupted})
    if progress is not None:
        progress("start", total=number_of_batches(sources, options))
    with run.held():
        steps = list(
            clean(
                run, sources, replace(options, licence=options.licence or request.licence), progress=progress
            )
        )
        if corrupted:
            rows = [
                replace(row, split=request.split.of(row.patient_id)) for row in map(TuningRow.read, steps[-1])
            ]
            every = [*rows, *reviser_rows(rows, seed=request.seed, each=corrupted)]
            steps.append(
                run.step(
                    "reviser",
                    (Item(row.id, row.id, replace(row, split="")) for row in every),
                    lambda row: Made([row.to_dict()]),
                    depends=steps[-1].inputs,
                    shard=256,
                )
            )
        plan = Assembly(
            split=request.split, rows_per_picture=request.rows_per_picture, lance=request.lance, about=_ABOUT
        )
        return assemble(run, tuple(steps), plan)


def source_resolvers(folder: Path, sources: Sequence[Path], shape: str | None = None) -> dict[str, Resolver]:
    """Look up evidence of the kinds caption (in the sources) and image (in the data set's folder)."""
    return {"caption": pair_resolver(sources, shape), "image": image_resolver(folder)}


def unresolved(folder: Path, resolvers: Mapping[str, Resolver]) -> list[str]:
    """What is wrong with the evidence of a data set's rows that these resolvers know, a line a row."""
    return [f"{row.id}: {wrong}" for row in read_rows(folder) if (wrong := _first(row, resolvers))]


def _first(row: TuningRow, resolvers: Mapping[str, Resolver]) -> str:
    said: Iterable[str] = (resolvers[each.kind](each) for each in row.evidence if each.kind in resolvers)
    return next(filter(None, said), "")
