"""What people drew on slides, `annotations/<pp>/<slide_id>/<name>~<generation>.json`: one generation a change.

A change says which version it was made from; where another writer was quicker it is refused, so that two tabs do not
overwrite each other. Removing a set is a generation without features, so that numbers never begin again. They follow
their slide: deleted with it, carried by copies.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slidelake.errors import DamagedStoreError, EditConflictError, UnknownSlideError, UsageError
from slidelake.store.geojson import features_of, moved
from slidelake.store.ids import slug

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = ["ANNOTATIONS", "AnnotationSet", "Annotations", "slide_of_key"]

ANNOTATIONS = "annotations"
FORMAT = 1
#: Generations of a set that stay, besides the newest.
_KEPT = 10
_KEY = re.compile(r"annotations/[0-9a-f]{2}/(?P<slide>[^/]+)/(?P<name>[^/~]+)~(?P<generation>[0-9]+)\.json")


@dataclass(frozen=True)
class AnnotationSet:
    """A set of features of a slide, level-0 px; `version` names this very content (empty: there is none yet)."""

    slide_id: str
    name: str
    version: str = ""
    features: list[dict[str, Any]] = field(default_factory=list)
    changed: str = ""
    notes: tuple[str, ...] = ()

    def to_geojson(self) -> dict[str, Any]:
        """A FeatureCollection, as QuPath reads it."""
        return {"type": "FeatureCollection", "features": self.features}


class Annotations:
    """The sets of every slide. Reads and writes are for slides that the store knows."""

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store

    def names(self, slide_id: str) -> list[str]:
        """The slide's sets that have features, sorted. Raises UnknownSlideError."""
        slide_id = self._known(slide_id)
        newest = self._newest(slide_id)
        return sorted(name for name in newest if self._read(slide_id, name, newest[name]).features)

    def read(self, slide_id: str, name: str = "default") -> AnnotationSet:
        """A set; one without features where there is none. Raises UnknownSlideError, UsageError for a bad name."""
        slide_id = self._known(slide_id)
        while True:
            generation = self._newest(slide_id).get(_name(name), 0)
            try:
                return self._read(slide_id, name, generation)
            except FileNotFoundError:
                if self._newest(slide_id).get(name, 0) == generation:
                    raise

    def put(
        self,
        slide_id: str,
        collection: Any,
        name: str = "default",
        *,
        after: str | None = None,
        origin: tuple[float, float] = (0, 0),
    ) -> AnnotationSet:
        """Make GeoJSON values (see `geojson.py`), whose coordinates count from level-0 pixel `origin`, the set.

        `after` is the version that they were made from ("" where there was none, None: whichever is there). Raises
        EditConflictError where the set is another by now, AnnotationError for what is not of the form,
        SlideDeletedError, UnknownSlideError.
        """
        features, notes = features_of(collection)
        return self._change(slide_id, name, moved(features, *origin), after, tuple(notes))

    def remove(self, slide_id: str, name: str = "default", *, after: str | None = None) -> None:
        """Take the set away, with its older generations; nothing happens where there is none."""
        there = self.read(slide_id, name)
        if there.features:
            self._change(slide_id, name, [], after, ())
            self._prune(self._known(slide_id), name, kept=0)

    def all_keys(self) -> list[str]:
        """The keys of all generations of all sets, of any slide."""
        return [key for key in self._store.objects.list(ANNOTATIONS) if _KEY.fullmatch(key)]

    def forget(self, slide_ids: Iterable[str]) -> int:
        """Delete all sets of these slides; how many objects went."""
        gone = set(slide_ids)
        objects = self._store.objects
        keys = [key for key in objects.list(ANNOTATIONS) if slide_of_key(key) in gone]
        for key in keys:
            objects.delete(key)
        for slide_id in gone:
            objects.prune(_folder(slide_id))
        return len(keys)

    def forget_denied(self) -> int:
        """Delete all sets of slides on the deny-list; how many objects went."""
        slides = {slide_of_key(key) for key in self._store.objects.list(ANNOTATIONS)}
        gone = self._store.denied.among("slide", slides)
        return self.forget(gone) if gone else 0

    def _change(
        self,
        slide_id: str,
        name: str,
        features: list[dict[str, Any]],
        after: str | None,
        notes: tuple[str, ...],
    ) -> AnnotationSet:
        self._store.objects.check_writable()
        slide_id = self._known(slide_id)
        self._store.denied.refuse(slide_id, slide_id=slide_id)
        while True:
            generation = self._newest(slide_id).get(_name(name), 0)
            there = self.read(slide_id, name)
            if after is not None and after != there.version:
                raise _conflict(slide_id, name)
            body = {
                "format": FORMAT,
                "slide_id": slide_id,
                "name": name,
                "time": datetime.now(UTC).isoformat(timespec="microseconds"),
                "token": secrets.token_hex(8),
                "features": features,
            }
            data = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
            key = _key(slide_id, name, generation + 1)
            won = self._store.objects.put_if_absent(key, data)
            if won and self._newest(slide_id).get(name, 0) > generation + 1:
                # A slow writer may put a number that was tidied away since: later ones have counted already.
                self._store.objects.delete(key)
                won = False
            if won:
                break
            if after is not None:
                raise _conflict(slide_id, name)
        if self._store.denied.find(slide_id=slide_id):
            self.forget([slide_id])  # deleted since it was looked at
            self._store.denied.refuse(slide_id, slide_id=slide_id)
        self._prune(slide_id, name, kept=_KEPT)
        return AnnotationSet(
            slide_id, name, _version(generation + 1, data), features, str(body["time"]), notes
        )

    def _known(self, slide_id: str) -> str:
        state = self._store.state(slide_id)
        if not state.keys:
            raise UnknownSlideError(
                "the lake has no such slide",
                remedy="slidelake status, or GET /api/slides, lists them.",
                slide=slide_id,
            )
        return state.slide_id

    def _newest(self, slide_id: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for key in self._store.objects.list(_folder(slide_id)):
            if match := _KEY.fullmatch(key):
                found[match["name"]] = max(found.get(match["name"], 0), int(match["generation"]))
        return found

    def _read(self, slide_id: str, name: str, generation: int) -> AnnotationSet:
        if generation == 0:
            return AnnotationSet(slide_id, name)
        key = _key(slide_id, name, generation)
        data = self._store.objects.read(key)
        try:
            body = json.loads(data)
            return AnnotationSet(
                slide_id, name, _version(generation, data), list(body["features"]), str(body["time"])
            )
        except (ValueError, KeyError, TypeError) as exc:
            raise DamagedStoreError(
                f"{key} cannot be read: {exc}",
                remedy="Remove that file: the version before it counts then.",
                slide=slide_id,
            ) from exc

    def _prune(self, slide_id: str, name: str, *, kept: int) -> None:
        newest = self._newest(slide_id).get(name, 0)
        for key in self._store.objects.list(_folder(slide_id)):
            match = _KEY.fullmatch(key)
            if match and match["name"] == name and int(match["generation"]) < newest - kept:
                self._store.objects.delete(key)


def slide_of_key(key: str) -> str:
    """The slide whose folder a key below `annotations/` lies in; empty for any other."""
    parts = key.split("/")
    return parts[2] if len(parts) == 4 else ""


def _folder(slide_id: str) -> str:
    return f"{ANNOTATIONS}/{hashlib.sha256(slide_id.encode()).hexdigest()[:2]}/{slide_id}"


def _key(slide_id: str, name: str, generation: int) -> str:
    return f"{_folder(slide_id)}/{_name(name)}~{generation:06d}.json"


def _name(name: str) -> str:
    if not name or slug(name, 64) != name:
        raise UsageError(
            f"{name[:80]!r} is no name for a set of annotations",
            remedy="Use letters, digits, '.', '_' and '-'.",
        )
    return name


def _version(generation: int, data: bytes) -> str:
    return f"{generation}-{hashlib.sha256(data).hexdigest()[:16]}"


def _conflict(slide_id: str, name: str) -> EditConflictError:
    return EditConflictError(
        f"the annotations {name!r} were changed by someone else since they were read",
        remedy="Read them again, and make the change once more.",
        slide=slide_id,
    )
