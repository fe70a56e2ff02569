"""Names that carry identity: slugs, slide ids, fingerprinted ids, spaces (FORMAT.md, "Ids")."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from slidelake.errors import UsageError

__all__ = ["fingerprint_id", "require_slug", "slide_id_of", "slug", "slug_of_path", "split_space"]

SLIDE_LIMIT = 80
ENCODER_LIMIT = 60
_OFFENDING = re.compile(r"[^A-Za-z0-9._-]")
# Windows reserves these whatever their suffix: `nul.svs` is the device NUL.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_DOUBLE_SUFFIXES = (".ome.tif", ".ome.tiff")


@lru_cache(maxsize=8192)  # each commit's key is checked part by part, the same few parts over and over
def slug(text: str, limit: int = SLIDE_LIMIT) -> str:
    """`text` as a name that is safe as a folder on any file system and as part of a commit's key.

    A text of `A-Z a-z 0-9 . _ -` alone, not too long, without a leading dot and not reserved by Windows
    stays as it is. Else offending characters become `-`, the text is cut to `limit`, and `-` and the first
    8 hex digits of the original's sha256 are appended, so that two originals never share a slug.
    """
    if text and len(text) <= limit and not _OFFENDING.search(text) and not _needs_repair(text):
        return text
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    kept = _OFFENDING.sub("-", text)
    if kept.startswith("."):
        kept = "-" + kept[1:]
    # Room for the mark; a reserved name ceases to be one once the mark hangs on its stem.
    kept = kept[: limit - 9]
    if _RESERVED.fullmatch(kept):
        kept = kept.replace(".", "-")
    return f"{kept}-{mark}"


def _needs_repair(text: str) -> bool:
    return text.startswith(".") or _RESERVED.fullmatch(text) is not None


def require_slug(text: str, what: str, limit: int = SLIDE_LIMIT) -> str:
    """`text` if it is a slug already; raises UsageError otherwise, so that no id ever leaves the store."""
    if not isinstance(text, str) or slug(text, limit) != text:
        raise UsageError(
            f"{text!r} cannot be a {what}",
            remedy="Use letters, digits and . _ - only, "
            f"at most {limit} characters; slug({text!r}) makes one of it.",
        )
    return text


def slide_id_of(uri: str) -> str:
    """The slide's id by its file's name: the slug of the name without its last suffix.

    `.ome.tif` and `.ome.tiff` count as one suffix; a folder (DICOM) gives its own name.
    """
    name = _name_of(uri)
    lowered = name.lower()
    for double in _DOUBLE_SUFFIXES:
        if lowered.endswith(double) and len(name) > len(double):
            return slug(name[: -len(double)])
    return slug(PurePosixPath(name).stem or name)


def slug_of_path(relative: str) -> str:
    """The slide's id by its path below a root (`--id-from path`): `/` becomes `__`, the suffix goes."""
    folder, _, name = relative.replace("\\", "/").rpartition("/")
    lowered = name.lower()
    stem = PurePosixPath(name).stem
    for double in _DOUBLE_SUFFIXES:
        if lowered.endswith(double) and len(name) > len(double):
            stem = name[: -len(double)]
    return slug("__".join([*filter(None, folder.split("/")), stem]))


def _name_of(uri: str) -> str:
    path = unquote(urlsplit(uri).path) if "://" in uri else uri
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def fingerprint_id(name: str, fingerprint: Mapping[str, Any], limit: int = ENCODER_LIMIT) -> str:
    """`slug(name).xxxxxxxx`: the id of an encoder or aggregator, from all that decides its numbers.

    xxxxxxxx = first 8 hex digits of the sha256 of `fingerprint` as compact JSON with sorted keys (UTF-8).
    `limit` is that of the name's slug.
    """
    text = json.dumps(fingerprint, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{slug(name, limit)}.{mark}"


def split_space(space: str) -> tuple[str, str]:
    """`<grid_id>/<encoder_id>` → (grid_id, encoder_id); raises UsageError where it is not of that form."""
    grid_id, slash, encoder_id = space.partition("/")
    if not slash:
        raise UsageError(f"{space!r} is not a space", remedy="Write it as <grid_id>/<encoder_id>.")
    return require_slug(grid_id, "grid_id"), require_slug(encoder_id, "encoder_id")
