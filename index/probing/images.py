"""Labelled rows of folders of images, one folder a class, encoded on the fly."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from slidelake.encoders import PatchEncoder
from slidelake.errors import UsageError
from slidelake.index.evaluate import hamming, phash64
from slidelake.index.probing.labelled import Labelled

__all__ = ["labelled_images", "near_identical"]

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_BATCH = 64
_NAMED = 3
#: Hashes compared at once: (4096, N) uint8.
_ROWS_AT_ONCE = 4096


def labelled_images(
    folder: str | Path,
    encoder: PatchEncoder,
    *,
    group_pattern: str = "",
    centre_pattern: str = "",
    near_bits: int = 6,
    progress: Callable[..., None] | None = None,
) -> Labelled:
    """Encode `folder/CLASS/…/image`: a class is a folder, an image a row.

    `group_pattern` and `centre_pattern` are regular expressions searched for in the path below `folder`; their first
    group (else the whole match) names the patient and the medical centre. Where no patient is known, images whose
    perceptual hashes, in any of their eight turns and flips, differ by at most `near_bits` bits share a group, so that
    no probe learns from the twin of what it is asked about (-1: no such comparison). An image that cannot be read is
    left out and counted.

    Raises UsageError: no folder, no images, a pattern that is none or fits no path.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(
            f"{root} is no folder", remedy="Name the folder that holds a folder of images a class."
        )
    files = sorted(path for path in root.glob("*/**/*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise UsageError(
            f"{root} holds no images in folders",
            remedy="Put the images of a class into a folder of its name.",
        )
    group_of, centre_of = _reader(group_pattern, "group"), _reader(centre_pattern, "centre")
    compared = near_bits >= 0 and not group_pattern
    tell = progress or (lambda event, **fields: None)
    tell("start", total=len(files))
    left_out: Counter[str] = Counter()
    unread: list[str] = []
    kept: list[Path] = []
    rows: list[npt.NDArray[np.float32]] = []
    hashes: list[list[int]] = []
    held: list[npt.NDArray[np.uint8]] = []

    def encode() -> None:
        if held:
            rows.append(np.asarray(encoder.encode(np.stack(held)), np.float32))
            held.clear()

    for path in files:
        image = _read(path)
        tell("slide", slide_id=path.name)
        if image is None:
            left_out["images that cannot be read"] += 1
            unread.append(path.name)
            continue
        if held and (held[0].shape != image.shape or len(held) == _BATCH):
            encode()
        held.append(image)
        kept.append(path)
        if compared:
            hashes.append([phash64(turned) for turned in _turns(image)])
    encode()
    tell("end")
    names = [path.relative_to(root).as_posix() for path in kept]
    groups = np.array([group_of(name) for name in names], np.str_)
    notes = [f"{len(unread)} images cannot be read: {', '.join(unread[:_NAMED])}"] if unread else []
    if compared and kept:
        twins = near_identical(np.array(hashes, np.uint64), max_bits=near_bits)
        groups, alike = np.array([f"group-{twin}" for twin in twins], np.str_), _alike(twins)
        if alike:
            notes.append(
                f"{alike} images are nearly identical to another; such images share a side of each split"
            )
    return Labelled(
        f"{encoder.spec.name} on {root.name}",
        np.concatenate([np.empty((0, encoder.spec.dim), np.float32), *rows]),
        np.array([name.partition("/")[0] for name in names], np.str_),
        groups,
        groups if group_pattern else np.array(names, np.str_),
        np.array([centre_of(name) for name in names], np.str_),
        dict(left_out),
        tuple(notes),
    )


def near_identical(hashes: npt.NDArray[np.uint64], *, max_bits: int = 6) -> npt.NDArray[np.int64]:
    """(N, T) perceptual hashes of N images in T turns to (N,) numbers: the same for images that are near, also over
    others between them. Two are near where the first turn of one is within `max_bits` of any turn of the other."""
    count = len(hashes)
    parent = np.arange(count)

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = int(parent[at])
        return at

    for start in range(0, count, _ROWS_AT_ONCE):
        near = np.zeros((min(_ROWS_AT_ONCE, count - start), count), bool)
        for turn in range(hashes.shape[1]):
            near |= hamming(hashes[start : start + _ROWS_AT_ONCE, 0], hashes[:, turn]) <= max_bits
        for row, other in np.argwhere(near):
            first, second = root(int(row) + start), root(int(other))
            parent[max(first, second)] = min(first, second)
    return np.array([root(at) for at in range(count)], np.int64)


def _alike(twins: npt.NDArray[np.int64]) -> int:
    """How many images have a twin."""
    counts = np.bincount(twins)
    return int(counts[counts > 1].sum())


def _turns(image: npt.NDArray[np.uint8]) -> Sequence[npt.NDArray[np.uint8]]:
    """The image in its four quarter turns, and their mirror images."""
    turned = [np.rot90(image, quarter) for quarter in range(4)]
    return [np.ascontiguousarray(each) for each in [*turned, *(each[:, ::-1] for each in turned)]]


def _read(path: Path) -> npt.NDArray[np.uint8] | None:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return None


def _reader(pattern: str, what: str) -> Callable[[str], str]:
    """What finds a name in a path; "" for all where there is no pattern."""
    if not pattern:
        return lambda name: ""
    try:
        compiled = re.compile(pattern)
    except re.error as exc:
        raise UsageError(
            f"the {what} pattern {pattern!r} is no regular expression ({exc})", remedy="Correct it."
        ) from exc

    def find(name: str) -> str:
        match = compiled.search(name)
        found = (match[1] if compiled.groups else match[0]) if match else ""
        if not found:
            raise UsageError(
                f"the {what} pattern {pattern!r} finds nothing in {name}",
                remedy="Write one that names it in every path below the folder.",
            )
        return found

    return find
