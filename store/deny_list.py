"""What must stay out: keyed hashes of deleted slides, patients, sources and contents, one small object each.

`denied/<hex>.json`, put if absent; hex is the HMAC-SHA256 of the kind and the value, with the key of
`SLIDELAKE_KEY`, else the one in `slidelake.json`. Neither the key of an object nor its body holds clear text,
so that the list may stay for ever (FORMAT.md, "Deleting").
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from slidelake.errors import SlideDeletedError, StoreError, UsageError
from slidelake.store.info import StoreInfo
from slidelake.store.objects import Objects

__all__ = ["DenyList"]

FORMAT = 1
_FOLDER = "denied"
# Which keys the entries were made with, by a hash: with another key they would all be overlooked.
_KEYS = f"{_FOLDER}/keys"
# Which epochs of a slide were closed, once gc took their marks: no epoch ever begins twice.
_EPOCHS = f"{_FOLDER}/epochs"
_VARIABLE = "SLIDELAKE_KEY"


class DenyList:
    """The deny-list of one store. Ids that differ only in case are one slide; all else is taken as it is.

    Every method that looks or adds raises StoreError where the list was made with a key that is not at hand: what
    is denied could not be told then, and nothing may come in.
    """

    def __init__(self, objects: Objects, info: StoreInfo) -> None:
        self._objects = objects
        self._own = info.hash_key or info.store_id

    def add(
        self,
        *,
        slide_id: str = "",
        patient_id: str = "",
        uri: str = "",
        checksum: str = "",
        because: Iterable[str] = (),
        now: datetime | None = None,
    ) -> None:
        """Denies each that is given. `because` are hashes (`hash_of`) of the slide or patient they belong to,
        with which they are allowed again. What is denied already stays as it is."""
        # With a second key that is never given together with the first nobody could look any more.
        key = self._checked_keys()[0]
        self._objects.put_if_absent(_mark_key(key), json.dumps({"token": secrets.token_hex(8)}).encode())
        because = sorted(because)
        for kind, value in _given(slide_id, patient_id, uri, checksum):
            body = {
                "format": FORMAT,
                "kind": kind,
                "time": (now or datetime.now(UTC)).isoformat(timespec="microseconds"),
                "because": because,
                "token": secrets.token_hex(8),
            }
            self._objects.put_if_absent(_place(_hash(key, kind, value)), json.dumps(body).encode())

    def find(
        self, *, slide_id: str = "", patient_id: str = "", uri: str = "", checksum: str = ""
    ) -> str | None:
        """Which of those given is denied (`slide`, `patient`, `uri`, `checksum`); None where none is.

        Locally one look a value; on an object store one listing, which is cheaper than asking for each.
        """
        keys = self._checked_keys()
        local = self._objects.local is not None
        there = frozenset() if local else self._there()
        for kind, value in _given(slide_id, patient_id, uri, checksum):
            for key in keys:
                place = _place(_hash(key, kind, value))
                if self._objects.exists(place) if local else place in there:
                    return kind
        return None

    def among(self, kind: str, values: Iterable[str]) -> set[str]:
        """Those of many values of one kind that are denied, by one listing."""
        keys = self._checked_keys()
        there = self._there()
        if not there:
            return set()
        return {
            value
            for value in values
            if value and any(_place(_hash(key, kind, _plain(kind, value))) in there for key in keys)
        }

    def refuse(self, slide: str, **values: str) -> None:
        """Raises SlideDeletedError if any of the values (as `find` takes them) is denied."""
        kind = self.find(**values)
        if kind is not None:
            what = {"slide": "the slide", "patient": "its patient", "uri": "its source"}.get(
                kind, "its content"
            )
            raise SlideDeletedError(
                f"{what} was deleted from this lake and is on its deny-list",
                remedy="slidelake allow --slide ID, or --patient ID, lets it come back.",
                slide=slide,
            )

    def entry(self, *, slide_id: str = "", patient_id: str = "") -> dict[str, Any] | None:
        """What the list holds of one slide or patient: kind, time, because, token; None where it is not denied."""
        keys = self._checked_keys()
        for kind, value in _given(slide_id, patient_id, "", ""):
            for key in keys:
                try:
                    return dict(self._objects.read_json(_place(_hash(key, kind, value))))
                except FileNotFoundError:
                    continue
        return None

    def allow(self, *, slide_id: str = "", patient_id: str = "") -> int:
        """Takes a slide or a patient off the list, with all that is there because of it; how many entries went.

        A slide that was deleted with its patient stays out as long as the patient is denied.
        """
        keys = self._checked_keys()
        wanted = {_hash(key, k, v) for k, v in _given(slide_id, patient_id, "", "") for key in keys}
        gone = 0
        for place in sorted(self._there()):
            own = place.removeprefix(f"{_FOLDER}/").removesuffix(".json")
            try:
                because = set(self._objects.read_json(place)["because"])
            except FileNotFoundError:
                continue  # another `allow` took it
            if own in wanted or because & wanted:
                self._objects.delete(place)
                gone += 1
        return gone

    def keep_closed(self, slide_id: str, epoch: int) -> None:
        """Remembers that an epoch of a slide was closed, also when the slide is allowed again."""
        body = json.dumps({"format": FORMAT, "token": secrets.token_hex(8)}).encode()
        folder = f"{_EPOCHS}/{self.hash_of('slide', slide_id)}"
        self._objects.put_if_absent(f"{folder}/{epoch:04d}.json", body)

    def closed(self, slide_id: str) -> int:
        """The last epoch of a slide whose mark gc took; 0 where there is none."""
        plain = _plain("slide", slide_id)
        kept = [
            each
            for key in self._checked_keys()
            for each in self._objects.list(f"{_EPOCHS}/{_hash(key, 'slide', plain)}")
        ]
        return max((int(each.rpartition("/")[2].removesuffix(".json")) for each in kept), default=0)

    def count(self) -> int:
        """How many entries there are."""
        return len(self._there())

    def hash_of(self, kind: str, value: str) -> str:
        """The keyed hash of a value (64 hex digits), as new entries are made with it."""
        return _hash(self._keys()[0], kind, _plain(kind, value))

    def _keys(self) -> list[bytes]:
        """The key for new entries, then the others that entries may have been made with."""
        said = os.environ.get(_VARIABLE, "")
        return [key.encode() for key in dict.fromkeys([said, self._own]) if key]

    def _checked_keys(self) -> list[bytes]:
        keys = self._keys()
        foreign = set(self._objects.list(_KEYS)) - {_mark_key(key) for key in keys}
        if foreign:
            raise StoreError(
                f"the deny-list of {self._objects.url} was made with another key: who was deleted from this "
                "lake cannot be told",
                remedy=f"Set {_VARIABLE} to the key that was set when slides were deleted.",
            )
        return keys

    def _there(self) -> frozenset[str]:
        return frozenset(key for key in self._objects.list(_FOLDER) if key.count("/") == 1)


def _given(slide_id: str, patient_id: str, uri: str, checksum: str) -> list[tuple[str, str]]:
    pairs = {"slide": slide_id, "patient": patient_id, "uri": uri, "checksum": checksum}
    return [(kind, _plain(kind, value)) for kind, value in pairs.items() if value]


def _plain(kind: str, value: str) -> str:
    if kind == "slide":
        return value.casefold()
    if kind == "uri":
        return value.removeprefix("file://")
    if kind in ("patient", "checksum"):
        return value
    raise UsageError(f"nothing is denied by its {kind}", remedy="Use slide, patient, uri or checksum.")


def _hash(key: bytes, kind: str, value: str) -> str:
    text = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def _mark_key(key: bytes) -> str:
    return f"{_KEYS}/{_hash(key, 'key', '')[:16]}.json"


def _place(mark: str) -> str:
    return f"{_FOLDER}/{mark}.json"
