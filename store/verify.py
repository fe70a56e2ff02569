"""Looks whether the store holds what its commits say; finds damage, changes nothing."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import xxhash

from slidelake.errors import DamagedStoreError
from slidelake.store.array_reader import ArrayReader
from slidelake.store.checksums import raw
from slidelake.store.commits import Commit, read_commit
from slidelake.store.layout import SlideState, Subject
from slidelake.store.listing import readers
from slidelake.store.objects import Objects
from slidelake.store.profile import ArrayProfile
from slidelake.store.report_store import REPORTS

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = ["Problem", "VerifyReport", "problems_of", "verify"]

#: What a commit of a kind always names.
_ARRAYS = {"grid": {"coords"}, "bag": {"features", "coords", "valid"}, "pooled": {"embedding"}}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: with which slide, at which key, what, and what to do."""

    slide_id: str
    key: str
    problem: str
    remedy: str


@dataclass
class VerifyReport:
    """How much was looked at, and what was found."""

    slides: int = 0
    commits: int = 0
    deep: bool = False
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {**asdict(self), "ok": self.ok}


def verify(
    store: "FeatureStore", deep: bool = False, progress: Callable[..., None] | None = None
) -> VerifyReport:
    """Checks every live commit: its arrays are there with the committed shape, dtype and size (and, on a local
    store, a sound index), its group has the committed attributes, bags belong to the committed grid; and the
    metadata and the reports can be read.

    `deep` also reads all of them and makes their checksums again. `progress` is called as
    `progress("start", total=slides)`, `progress("slide", slide_id=…)`, `progress("end")`.
    """
    report = VerifyReport(deep=deep)
    states = {slide_id: state for slide_id, state in store.states().items() if state.keys}
    tell = progress or (lambda event, **fields: None)
    tell("start", total=len(states))
    # Small reads that wait for a disk or a server: several slides at once, told of in their order.
    with ThreadPoolExecutor(readers(store.objects)) as pool:
        for state, problems in pool.map(
            lambda each: (each, _slide(store.objects, each, deep)), states.values()
        ):
            report.problems += problems
            report.slides += 1
            report.commits += len(state.keys)
            tell("slide", slide_id=state.slide_id)
    _cohort(store, report)
    _reports(store, report)
    tell("end")
    return report


def problems_of(
    objects: Objects, commit: Commit, commits: dict[Subject, Commit], deep: bool = False
) -> list[Problem]:
    """What is wrong with one commit's data; `commits` are the slide's others, whose grid it must agree with."""
    return _Look(objects, commit, commits, deep).problems()


def _cohort(store: "FeatureStore", report: VerifyReport) -> None:
    key = store.metadata.latest_key()
    if key is None:
        return
    try:
        store.metadata.read()
    except Exception as exc:  # noqa: BLE001 - whatever Parquet's reader raises about broken bytes is the finding
        report.problems.append(
            Problem(
                "",
                key,
                f"the metadata cannot be read ({type(exc).__name__}: {exc})",
                f"Restore {store.objects.url_of(key)} from a copy, or remove it: then the one before counts.",
            )
        )


def _reports(store: "FeatureStore", report: VerifyReport) -> None:
    for report_id in store.reports.ids():
        try:
            list(store.reports.iterate([report_id]))
        except DamagedStoreError as exc:
            key = f"{REPORTS}/{report_id}"
            report.problems.append(Problem("", key, exc.problem, exc.remedy))


def _slide(objects: Objects, state: SlideState, deep: bool) -> list[Problem]:
    commits, problems = _read_all(objects, state)
    return problems + [
        problem for commit in commits.values() for problem in problems_of(objects, commit, commits, deep)
    ]


def _read_all(objects: Objects, state: SlideState) -> tuple[dict[Subject, Commit], list[Problem]]:
    commits, problems = {}, []
    for subject, key in sorted(state.keys.items()):
        commit = read_commit(objects, key)
        if commit is not None:
            commits[subject] = commit
            continue
        problems.append(
            Problem(
                state.slide_id,
                key.key,
                "the commit does not parse: its writer was cut off, or it is damaged",
                f"Remove {objects.url_of(key.key)} and ingest the slide again.",
            )
        )
    return commits, problems


class _Look:
    """One look at one commit."""

    def __init__(self, objects: Objects, commit: Commit, commits: dict[Subject, Commit], deep: bool) -> None:
        self._objects, self._commit, self._commits, self._deep = objects, commit, commits, deep
        self._found: list[str] = []

    def problems(self) -> list[Problem]:
        commit = self._commit
        try:
            self._group()
            for name in sorted(_ARRAYS.get(commit.kind, set()) - commit.arrays.keys()):
                self._found.append(f"the commit does not name its {name}")
            for name, entry in commit.arrays.items():
                if self._metadata(name, entry) and self._deep:
                    self._checksum(name, entry)
            self._rows_agree()
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            # One damaged commit must not keep the others from being looked at.
            self._found.append(f"the commit does not say what its kind says ({type(exc).__name__}: {exc})")
        remedy = (
            f"Restore {self._objects.url_of(commit.attempt)} from a copy, "
            f"or remove {self._objects.url_of(commit.key)} and ingest the slide again."
        )
        return [Problem(commit.slide_id, commit.key, problem, remedy) for problem in self._found]

    def _group(self) -> None:
        commit = self._commit
        if not commit.attempt.startswith(f"{commit.subject.folder(commit.slide_id)}/"):
            self._found.append(f"the commit names {commit.attempt}, which is not a place of its own")
        group = self._json("zarr.json")
        if group is not None and group.get("attributes") != commit.attributes:
            self._found.append("the group's attributes are not the committed ones")

    def _metadata(self, name: str, entry: dict[str, Any]) -> bool:
        found = self._json(f"{name}/zarr.json")
        if found is None:
            return False
        said = (entry["shape"], entry["dtype"])
        if (found.get("shape"), found.get("data_type")) != said:
            self._found.append(
                f"{name} is {found.get('shape')} {found.get('data_type')}, committed as {said[0]} {said[1]}"
            )
            return False
        profile = ArrayProfile.of(found)
        if profile is None or not profile.file_bytes:
            return True  # written by others: its sizes are its codecs' affair; or no rows, no file
        key = f"{self._commit.attempt}/{name}/{profile.shard_name}"
        try:
            size = self._objects.size(key)
        except FileNotFoundError:
            self._found.append(f"the data of {name} is gone")
            return False
        if not profile.packed and size != profile.file_bytes:
            self._found.append(f"the data of {name} has {size} bytes, not {profile.file_bytes}")
            return False
        # On a disk the index costs little; on a remote store as much again as all else.
        return self._deep or self._objects.local is None or self._reader(name, entry) is not None

    def _reader(self, name: str, entry: dict[str, Any]) -> ArrayReader | None:
        folder = f"{self._commit.attempt}/{name}"
        try:
            return ArrayReader(self._objects, folder, entry, self._commit.slide_id)
        except DamagedStoreError as exc:
            self._found.append(f"the data of {name} cannot be read ({exc.problem})")
            return None

    def _checksum(self, name: str, entry: dict[str, Any]) -> None:
        reader = self._reader(name, entry)
        if reader is None:
            return
        digest = xxhash.xxh3_128()
        try:
            for block in reader.blocks():
                digest.update(raw(block))
        except DamagedStoreError as exc:
            self._found.append(f"the data of {name} cannot be read ({exc.problem})")
            return
        if digest.hexdigest() != entry["checksum"]:
            self._found.append(f"the data of {name} is not what was committed: its checksum differs")

    def _rows_agree(self) -> None:
        commit = self._commit
        if commit.kind == "overview":
            return
        arrays = commit.arrays
        coords = arrays.get("coords", {}).get("checksum", commit.grid_checksum)
        if coords != commit.grid_checksum:
            self._found.append("the coords are not those of the grid's checksum in the same commit")
        if commit.kind == "grid":
            return
        rows = {
            arrays[name]["shape"][axis]
            for name, axis in (("features", 0), ("coords", 0), ("valid", 0), ("scores", 1))
            if name in arrays
        }
        if len(rows) > 1:
            self._found.append(f"the arrays disagree about the number of patches: {sorted(rows)}")
        grid = self._commits.get(Subject("grid", commit.subject.grid_id))
        if grid is None:
            self._found.append(f"its grid {commit.subject.grid_id} is not committed")
        elif grid.grid_checksum != commit.grid_checksum:
            self._found.append(
                f"it was made for other coords than those of the grid {commit.subject.grid_id}"
            )

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self._objects.read(f"{self._commit.attempt}/{name}"))
        except FileNotFoundError:
            self._found.append(f"{name} is gone")
        except (ValueError, RecursionError) as exc:
            self._found.append(f"{name} does not parse ({exc})")
        else:
            if isinstance(found, dict):
                return found
            self._found.append(f"{name} is not a JSON object")
        return None
