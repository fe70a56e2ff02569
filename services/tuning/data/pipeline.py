"""Runs that can be killed at any time: steps whose work is kept in shards, each whole or not there.

    OUT/run.json                       what was asked for: another request is refused
    OUT/steps/NAME/000000-DIGEST.jsonl what the step made of its first items, a line an item
    OUT/steps/NAME/done.json           the digest of all inputs, and the counts

A shard is named by the digest of the items it was made from. A run that goes on takes the shards that are there and
makes the others; where the lake has changed since (a report corrected, a patient deleted) the shards of those items
are made again, and the old ones go.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from slidelake._version import __version__
from slidelake.errors import DamagedStoreError, UsageError
from slidelake.services.tuning.data.files import json_line, new_text, refusals

try:
    import fcntl
except ImportError:  # Windows: two runs in one folder would write the same bytes
    fcntl = None  # type: ignore[assignment]

__all__ = ["Item", "Made", "Run", "Step"]

T = TypeVar("T")
_KIND = "slidelake tuning data"
_SHARD = 16


@dataclass(frozen=True)
class Item(Generic[T]):
    """What a step works on, one after the other; `digest` changes when anything does that the work depends on."""

    key: str
    digest: str
    value: T


@dataclass(frozen=True)
class Made:
    """What a step made of one item: JSON objects, and how many were dropped by which rule."""

    records: list[dict[str, Any]] = field(default_factory=list)
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A step that is done: `items` of input, `records` in `folder`, `dropped` by rule, `inputs` their digest."""

    name: str
    folder: Path
    items: int
    records: int
    dropped: Mapping[str, int]
    inputs: str
    shards: tuple[str, ...]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Its records in the order of its items, read from disk as they are asked for."""
        for shard in self.shards:
            for line in _lines(self.folder / shard):
                yield from line["records"]


class Run:
    """A run's folder, held by one process at a time.

    `arguments` (JSON values) are all that the outcome depends on. Raises UsageError for a folder that holds other
    things, or a run with other arguments unless `overwrite`; with it, what that run made goes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        command: str,
        arguments: Mapping[str, Any],
        seed: int,
        overwrite: bool = False,
        outputs: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self.seed = seed
        asked = {
            "kind": _KIND,
            "command": command,
            "arguments": dict(arguments),
            "seed": seed,
            "slidelake": __version__,
        }
        self.asked: dict[str, Any] = json.loads(json.dumps(asked, allow_nan=False))
        there = _read_run(folder)
        if there is not None and there != self.asked and not overwrite:
            raise UsageError(
                f"{folder} holds a run with other arguments: {_difference(there, self.asked)}",
                remedy="Give the same arguments to go on with it, another folder, or --overwrite.",
            )
        if there is not None and overwrite:
            with self.held():  # what another process works on is not taken from it
                _clear(folder, outputs)
        with new_text(folder / "run.json") as out:
            out.write(json.dumps(self.asked, indent=1, ensure_ascii=False, sort_keys=True) + "\n")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes out of the folder; raises UsageError where one works in it."""
        lock = self.folder / ".lock"
        with refusals(lock):
            handle = lock.open("a")
        with handle:
            if fcntl is not None:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as exc:
                    raise UsageError(
                        f"another process works in {self.folder}",
                        remedy="Wait for it, or choose another folder.",
                    ) from exc
            yield

    def step(
        self,
        name: str,
        items: Iterable[Item[T]],
        work: Callable[[T], Made],
        *,
        depends: str = "",
        shard: int = _SHARD,
        workers: int = 1,
        progress: Callable[..., None] | None = None,
    ) -> Step:
        """Does `work` on each item, in order; what an earlier run did is taken from its shards.

        `depends` is a digest of what the work uses besides its item. `workers` items are worked on at a time, for
        work that waits for an endpoint; the order of the records stays. `progress` is called as
        services/cli/progress.py says, "slide" for an item.
        """
        folder = self.folder / "steps" / name
        all_inputs = hashlib.sha256(_text(self.asked, name, depends))
        left = iter(items)
        names: list[str] = []
        counted = records = 0
        dropped: Counter[str] = Counter()
        with ThreadPoolExecutor(workers) as pool:
            while batch := list(islice(left, shard)):
                keys = [(item.key, item.digest) for item in batch]
                all_inputs.update(_text(keys))
                digest = hashlib.sha256(_text(self.asked, name, depends, keys)).hexdigest()[:16]
                names.append(f"{len(names):06d}-{digest}.jsonl")
                path = folder / names[-1]
                if not path.exists():
                    values = [item.value for item in batch]
                    every = pool.map(work, values) if workers > 1 else map(work, values)
                    with new_text(path) as out:
                        for item, made in zip(batch, every, strict=True):
                            body = {"key": item.key, "records": made.records, "dropped": dict(made.dropped)}
                            out.write(json_line(body))
                for line in _lines(path):
                    counted += 1
                    records += len(line["records"])
                    dropped.update(line["dropped"])
                    if progress is not None:
                        progress("slide")
        for stale in sorted({path.name for path in folder.glob("*.jsonl")} - set(names)):
            (folder / stale).unlink()
        done = Step(name, folder, counted, records, dict(dropped), all_inputs.hexdigest(), tuple(names))
        with new_text(folder / "done.json") as out:
            told = {"inputs": done.inputs, "items": counted, "records": records, "dropped": done.dropped}
            out.write(json.dumps(told, indent=1, sort_keys=True) + "\n")
        return done


def _text(*values: Any) -> bytes:
    return json.dumps(values, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield json.loads(line)
            except ValueError as exc:
                raise DamagedStoreError(
                    f"line {number} of {path} is damaged",
                    remedy="Delete that file and run the command again.",
                ) from exc


def _read_run(folder: Path) -> dict[str, Any] | None:
    """What the folder's run was asked for; None where there is none. Raises UsageError for a folder of other things."""
    path = folder / "run.json"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(body, dict) or body.get("kind") != _KIND:
            raise ValueError("it is another program's")
    except FileNotFoundError:
        # What a killed run left before its first file (`.run.json.…`, `.lock`) is nobody's.
        if folder.exists() and (
            not folder.is_dir() or any(not p.name.startswith(".") for p in folder.iterdir())
        ):
            raise UsageError(
                f"{folder} is there already, and no run of tune-data", remedy="Choose another folder."
            ) from None
        return None
    except ValueError as exc:
        raise UsageError(
            f"{path} is not what tune-data writes ({exc})", remedy="Choose another folder."
        ) from exc
    return body


def _clear(folder: Path, outputs: Iterable[str]) -> None:
    """Removes what a run made, and nothing else."""
    with refusals(folder):
        for name in ("steps", *outputs):
            place = folder / name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)


def _difference(there: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    before = {**there, **there.get("arguments", {})}
    now = {**asked, **asked["arguments"]}
    other = [
        f"{name} was {before.get(name)!r}, now {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        if name != "arguments" and before.get(name) != now.get(name)
    ]
    return "; ".join(other[:5])
