"""What is tried as a slide: files named explicitly always, in folders and globs the known suffixes.

Companions of MIRAX slides are not slides; a folder of DICOM files is one slide a series.
"""

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import openslide

from slidelake.ingest.local_copy import absolute, is_remote, local_path

__all__ = ["SUFFIXES", "Found", "find_slides", "fixed_part"]

SUFFIXES = frozenset(
    [
        ".svs",
        ".tif",
        ".tiff",
        ".ndpi",
        ".vms",
        ".vmu",
        ".scn",
        ".mrxs",
        ".svslide",
        ".bif",
        ".dcm",
        ".czi",
        ".qptiff",
    ]
)
_WILD = frozenset("*?[")


@dataclass(frozen=True)
class Found:
    """A slide's URI; the fixed part of what it was found by, which `--id-from path` leaves out; and what it is
    called where that is not its file's stem (DICOM: after its folder)."""

    uri: str
    root: str
    stem: str = ""


def find_slides(sources: Iterable[str]) -> list[Found]:
    """Every slide that paths, folders, globs and fsspec URLs name, sorted by URI, each once."""
    found: dict[str, Found] = {}
    for source in sources:
        for each in _remote(source) if is_remote(source) else _local(local_path(source)):
            found.setdefault(each.uri, each)
    return [found[uri] for uri in sorted(found)]


def fixed_part(pattern: str) -> str:
    """The folder of a glob before its first wildcard; the parent of a plain path."""
    parts = pattern.split("/")
    for i, part in enumerate(parts):
        if _WILD & set(part):
            return "/".join(parts[:i])
    return "/".join(parts[:-1])


def _local(source: str) -> Iterable[Found]:
    path = Path(source)
    if path.is_dir():
        root = absolute(path)
        files = [Path(folder) / name for folder, _, names in os.walk(path) for name in names]
        yield from _slides_among(files, root)
    elif path.exists() or not _WILD & set(source):
        # Named explicitly: tried whatever it is called, and refused by name if it is not there.
        yield Found(absolute(path), str(Path(absolute(path)).parent))
    else:
        root = str(Path(fixed_part(source) or ".").resolve())
        matches = [Path(match) for match in glob.glob(source, recursive=True)]  # noqa: PTH207 (absolute patterns)
        folders = [match for match in matches if match.is_dir() and _holds_dicom(match)]
        files = [match for match in matches if match.is_file()]
        files += [inner for folder in folders for inner in folder.iterdir()]
        yield from _slides_among(files, root)


def _slides_among(files: Iterable[Path], root: str) -> Iterable[Found]:
    dicom: dict[Path, list[Path]] = {}
    for file in sorted(set(files)):
        suffix = file.suffix.lower()
        if suffix == ".dcm":
            dicom.setdefault(file.parent, []).append(file)
        elif suffix in SUFFIXES:
            yield Found(absolute(file), root)
    for folder, group in dicom.items():
        series = _one_a_series(group)
        for first in series:
            # Several series in one folder: the folder's name would name them all.
            stem = folder.resolve().name if len(series) == 1 else first.stem
            yield Found(absolute(first), root, stem)


def _one_a_series(files: list[Path]) -> list[Path]:
    """The first file of each series: OpenSlide finds the others of the series beside it."""
    first: dict[str, Path] = {}
    for file in files:
        try:
            with openslide.OpenSlide(file) as slide:
                series = slide.properties.get("dicom.SeriesInstanceUID", file.name)
        except openslide.OpenSlideError:
            series = file.name  # it will be refused by name when its turn comes
        first.setdefault(series, file)
    return list(first.values())


def _holds_dicom(folder: Path) -> bool:
    return any(file.suffix.lower() == ".dcm" for file in folder.iterdir())


def _remote(source: str) -> Iterable[Found]:
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(source)
    protocol = source.split("://", 1)[0]
    if _WILD & set(path):
        names, root = filesystem.glob(path), fixed_part(path)
    elif filesystem.isdir(path):
        names, root = filesystem.find(path), path
    else:
        yield Found(source, str(PurePosixPath(path).parent))
        return
    for name in sorted(names):
        if PurePosixPath(name).suffix.lower() in SUFFIXES:
            yield Found(f"{protocol}://{str(name).removeprefix(protocol + '://')}", root)
