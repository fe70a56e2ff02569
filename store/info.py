"""`slidelake.json`: what a store says of itself, written once when it is made."""

import json
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from slidelake.errors import (
    DamagedStoreError,
    NotAStoreError,
    StoreNotWritableError,
    StoreVersionError,
)
from slidelake.store.chunk_codecs import COMPRESSIONS
from slidelake.store.commits import VOID_AFTER
from slidelake.store.layout import INFO_KEY
from slidelake.store.objects import Objects

__all__ = ["DEFAULT_TISSUE_RULE", "StoreInfo", "create_info", "read_info"]

FORMAT = 1
_POLL = 0.02
#: The rule and version that a grid_id need not name.
DEFAULT_TISSUE_RULE = "default1"
#: What else may lie in a folder that becomes a store: leftovers of a creation that was cut off.
_OURS = {
    *("commits", "slides", "metadata", "snapshots", "quarantine", "runs", "catalog", "index", "gc"),
    *("denied", "reports"),
}


@dataclass(frozen=True)
class StoreInfo:
    """Format version, the store's id, its compression profile, the tissue rule that grid ids need not name,
    and the key of its keyed hashes (deny-list) where `SLIDELAKE_KEY` gives no other."""

    format: int
    store_id: str
    compression: str = "none"
    tissue_rule: str = DEFAULT_TISSUE_RULE
    hash_key: str = field(default="", repr=False)


def read_info(objects: Objects) -> StoreInfo | None:
    """The store's own words; None where there are none.

    Raises StoreVersionError (a newer format), DamagedStoreError (not what this format writes),
    StoreUnreachableError (no network, no credentials, no right to read).
    """
    try:
        data = _read_when_written(objects)
    except FileNotFoundError:
        return None
    except (NotADirectoryError, IsADirectoryError) as exc:
        raise _not_a_store(objects, "is a file, not a store") from exc
    except PermissionError as exc:
        raise NotAStoreError(
            f"the store {objects.url} cannot be reached ({type(exc).__name__}: {exc})",
            remedy="Give this user the right to read it.",
        ) from exc
    if data is None:
        return None
    try:
        body = json.loads(data)
        version = int(body["format"])
        if version > FORMAT:
            raise StoreVersionError(
                f"the store {objects.url} has format {version}; this slidelake reads up to {FORMAT}",
                remedy="Install a newer slidelake.",
            )
        info = StoreInfo(**{name: body[name] for name in StoreInfo.__dataclass_fields__ if name in body})
    except (ValueError, KeyError, TypeError) as exc:
        raise DamagedStoreError(
            f"{objects.url_of(INFO_KEY)} cannot be read ({exc})",
            remedy="Restore it from a copy: it is written once, when the store is made.",
        ) from exc
    if info.compression not in COMPRESSIONS:
        raise StoreVersionError(
            f"the store {objects.url} is compressed ({info.compression!r}), which is unknown here",
            remedy="Install a newer slidelake.",
        )
    return info


def create_info(
    objects: Objects, tissue_rule: str, compression: str = "none", *, like: StoreInfo | None = None
) -> StoreInfo:
    """Makes a store where there is none; of two that race, both get the winner's. `like` makes a copy of another
    store: its id, its key and all else are that one's.

    Raises NotAStoreError where a folder holds other things, StoreNotWritableError where put-if-absent fails.
    """
    if objects.local is not None and objects.local.is_dir():
        others = sorted(
            each.name
            for each in objects.local.iterdir()
            if each.name not in _OURS and not each.name.startswith((".", "probe~", INFO_KEY))
        )
        if others:
            shown = ", ".join([*others[:3], *(["…"] if others[3:] else [])])
            raise _not_a_store(objects, f"holds other things ({shown})")
    try:
        objects.check_put_if_absent()
    except FileNotFoundError as exc:
        raise StoreNotWritableError(
            f"no store can be made at {objects.url} ({exc})",
            remedy="Make the bucket first, or look whether its name is right.",
        ) from exc
    with suppress(FileNotFoundError):
        if _read_when_written(objects) is None:
            objects.delete(INFO_KEY)
    fresh = like or StoreInfo(
        FORMAT, secrets.token_hex(8), compression, tissue_rule, hash_key=secrets.token_hex(32)
    )
    objects.put_if_absent(INFO_KEY, json.dumps(asdict(fresh), indent=1).encode())
    info = read_info(objects)
    if info is None:
        raise _not_a_store(objects, "did not keep its slidelake.json")
    return info


def _read_when_written(objects: Objects) -> bytes | None:
    """slidelake.json; None where it is void: a creation was cut off between its name and its content.

    Without hard links the name is there first. As with commits, what is empty is waited for until it is 60 s old.
    """
    while True:
        age = objects.age(INFO_KEY)
        data = objects.read(INFO_KEY)
        # A power cut can leave zeros for bytes that never came to the disk.
        if age is None or data.strip(b"\0"):
            return data
        if age >= VOID_AFTER:
            return None
        time.sleep(_POLL)


def not_found(objects: Objects) -> NotAStoreError:
    """The error for a place where no store is."""
    if objects.local is not None and not objects.local.exists():
        return _not_a_store(objects, "does not exist")
    if not objects.bucket_exists():
        return NotAStoreError(
            f"{objects.url} is in a bucket that does not exist",
            remedy="Make the bucket first, or look whether the name in --store or SLIDELAKE_STORE is right.",
        )
    return _not_a_store(objects, f"is not a store: it has no {INFO_KEY}")


def _not_a_store(objects: Objects, problem: str) -> NotAStoreError:
    return NotAStoreError(
        f"{objects.url} {problem}",
        remedy="Give the store with --store or SLIDELAKE_STORE; slidelake ingest makes a new one in an "
        "empty or new folder, as does FeatureStore.open(url, create=True).",
    )
