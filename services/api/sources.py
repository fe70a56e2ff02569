"""Where a slide's pixels come from: its file where that is reachable and still the one that went in, else the
stored thumbnail."""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from slidelake.errors import DamagedStoreError, SlidelakeError, UnknownSlideError

if TYPE_CHECKING:
    from slidelake.store import Commit, FeatureStore, Overview, SlideState

__all__ = ["GridFacts", "Slide", "SourceBook", "Sources", "unknown_slide"]

Pixels = Literal["slide", "thumbnail", "none"]

#: Slides whose facts are remembered.
_KEPT = 4096


@dataclass(frozen=True)
class GridFacts:
    """One grid of a slide: its attributes as they were committed, and how many patches it has."""

    grid_id: str
    attributes: Mapping[str, Any]
    patches: int
    columns: tuple[str, ...]

    @property
    def patch_px(self) -> int | None:
        """Pixels a side as the encoder saw a patch; None for a grid that does not say."""
        side = (self.attributes.get("spec") or {}).get("patch_px")
        return int(side) if side else None

    @property
    def mpp(self) -> float | None:
        """µm a pixel of those."""
        effective = self.attributes.get("effective_mpp") or [(self.attributes.get("spec") or {}).get("mpp")]
        return float(effective[0]) if effective[0] else None

    def pair(self, name: str) -> tuple[float, float] | None:
        """An (x, y) of the attributes, such as footprint_level0."""
        said = self.attributes.get(name)
        return (float(said[0]), float(said[1])) if said else None


@dataclass(frozen=True)
class Slide:
    """What the store says of one slide: the file it came from, its size, and what was made of it.

    `spaces` and `pooled` (space, aggregator) are ids; `size` (width, height) is level 0's, None where nothing says
    it; `stamp` changes whenever anything of the slide is committed.
    """

    slide_id: str
    uri: str
    file_size: int | None
    size: tuple[int, int] | None
    overview: str
    grids: Mapping[str, GridFacts]
    spaces: tuple[str, ...]
    pooled: tuple[tuple[str, str], ...]
    objective_power: float | None
    stamp: str


@dataclass(frozen=True)
class SourceBook:
    """Which pixels of a slide can be shown now, and why not better ones. `version` names the very pixels."""

    slide: Slide
    pixels: Pixels
    note: str
    version: str


class Sources:
    """What is known of slides, looked up anew after `fresh_for` seconds; safe for threads.

    A look is one listing of the slide's commits and one `stat` of its file; commits are read only where they changed.
    """

    def __init__(self, store: "FeatureStore", fresh_for: float) -> None:
        self._store = store
        self._fresh_for = fresh_for
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, SourceBook]] = OrderedDict()

    def peek(self, slide_id: str) -> SourceBook | None:
        """What was looked up a moment ago; None where the store has to be asked."""
        with self._lock:
            kept = self._kept.get(slide_id)
        if kept is None or time.monotonic() - kept[0] > self._fresh_for:
            return None
        return kept[1]

    def get(self, slide_id: str) -> SourceBook:
        """The slide as it is now. Raises UnknownSlideError for one that the lake does not have, or not any more, and
        StoreError where what the lake says of it cannot be read."""
        if (fresh := self.peek(slide_id)) is not None:
            return fresh
        now = time.monotonic()
        state = self._store.state(slide_id)
        if not state.keys:
            raise unknown_slide(slide_id)
        with self._lock:
            kept = self._kept.get(slide_id)
        stamp = _stamp(state)
        slide = kept[1].slide if kept and kept[1].slide.stamp == stamp else self._said(state, stamp)
        book = _look(slide)
        with self._lock:
            self._kept[slide_id] = (now, book)
            self._kept.move_to_end(slide_id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return book

    def forget(self, slide_id: str) -> SourceBook | None:
        """The slide was deleted or changed: it is looked up anew. Returns what was known of it."""
        with self._lock:
            kept = self._kept.pop(slide_id, None)
        return kept[1] if kept is not None else None

    def overview(self, slide: Slide) -> "Overview":
        """The slide's thumbnail and masks. Raises UnknownSlideError for slides that came in as features."""
        return self._store.overview(slide.slide_id)

    def _said(self, state: "SlideState", stamp: str) -> Slide:
        try:
            return self._read(state, stamp)
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            if isinstance(exc, SlidelakeError):
                raise
            raise DamagedStoreError(
                f"a commit does not say what its kind says ({type(exc).__name__}: {exc})",
                remedy="Run slidelake verify.",
                slide=state.slide_id,
            ) from exc

    def _read(self, state: "SlideState", stamp: str) -> Slide:
        kinds = ("overview", "grid", "bag")
        subjects = sorted(state.keys, key=lambda each: (each.kind not in kinds, each))
        commits: dict[str, list[Commit]] = {kind: [] for kind in kinds}
        for subject in subjects:
            if subject.kind in kinds and (
                commit := self._store.commit(state.slide_id, subject.kind, *subject.ids)
            ):
                commits[subject.kind].append(commit)
        ordered = [commit for kind in kinds for commit in commits[kind]]
        source = next((c.provenance for c in reversed(ordered) if c.provenance.get("source_uri")), {})
        overview = next(iter(commits["overview"]), None)
        said = overview.attributes if overview is not None else {}
        size = next((s for c in ordered if (s := c.attributes.get("slide_size"))), None)
        size = size or ((said["width"], said["height"]) if said.get("width") and said.get("height") else None)
        file_size = source.get("source_size")
        return Slide(
            slide_id=state.slide_id,
            uri=str(source.get("source_uri") or ""),
            file_size=file_size if isinstance(file_size, int) else None,
            size=None if size is None else (int(size[0]), int(size[1])),
            overview="" if overview is None else overview.attempt,
            grids={commit.subject.grid_id: _facts(commit) for commit in commits["grid"]},
            spaces=tuple(f"{each.grid_id}/{each.encoder_id}" for each in subjects if each.kind == "bag"),
            pooled=tuple(
                (f"{each.grid_id}/{each.encoder_id}", each.aggregator_id)
                for each in subjects
                if each.kind == "pooled"
            ),
            objective_power=_power(said.get("properties")),
            stamp=stamp,
        )


def unknown_slide(slide_id: str) -> UnknownSlideError:
    """The error for an id that the lake does not have; a long one is cut."""
    shown = slide_id if len(slide_id) <= 80 else f"{slide_id[:80]}…"
    return UnknownSlideError(
        f"the lake has no slide {shown!r}", remedy="GET /api/slides lists those there are."
    )


def _facts(commit: "Commit") -> GridFacts:
    columns = sorted(name for name in commit.arrays if name not in ("coords", "coords_original"))
    rows = int(commit.arrays["coords"]["shape"][0])
    return GridFacts(commit.subject.grid_id, commit.attributes, rows, tuple(columns))


def _power(properties: Any) -> float | None:
    """The objective's power that the file named; None where it is no number."""
    said = properties.get("openslide.objective-power") if isinstance(properties, Mapping) else None
    try:
        power = float(said) if said is not None else 0.0
    except (TypeError, ValueError):
        return None
    return power if 0 < power < 1000 else None


def _stamp(state: "SlideState") -> str:
    keys = sorted(key.key for key in state.keys.values())
    return hashlib.blake2b("\n".join(keys).encode(), digest_size=8).hexdigest()


def _look(slide: Slide) -> SourceBook:
    """Is the file there, and the one that went in?"""
    note, seen = _reachable(slide)
    if not note:
        return SourceBook(slide, "slide", "", f"s{slide.stamp}{seen}")
    if slide.overview and slide.size:
        return SourceBook(slide, "thumbnail", f"{note}: the stored thumbnail is shown", f"t{slide.stamp}")
    return SourceBook(slide, "none", f"{note}, and the lake has no thumbnail of it", f"n{slide.stamp}")


def _reachable(slide: Slide) -> tuple[str, str]:
    """Why the file cannot be shown (empty: it can), and what names its very content."""
    uri = slide.uri
    if not uri:
        return "the lake does not know the slide's file", ""
    if "://" in uri and not uri.startswith("file://"):
        return "the slide lies on another machine", ""
    path = uri.removeprefix("file://")
    try:
        stat = os.stat(path)  # noqa: PTH116 - one call, asked for each tile
    except (OSError, ValueError):
        return "the slide's file is not where it was", ""
    # A slide may be a folder (DICOM), whose size says nothing.
    regular = os.path.isfile(path)  # noqa: PTH113
    if regular and slide.file_size is not None and stat.st_size != slide.file_size:
        return "another file lies where the slide was", ""
    return "", f"-{stat.st_size:x}-{stat.st_mtime_ns:x}"
