"""Formats by name. A new one is a file beside this one and a line in IMPORTERS, in EXPORTERS, or in both."""

from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

from slidelake.errors import FeatureFileError, UsageError
from slidelake.store.interop.base import Exporter, Importer
from slidelake.store.interop.files import files_below
from slidelake.store.interop.hdf5 import FeatureFile

__all__ = ["EXPORTERS", "IMPORTERS", "check_format", "exporter_of", "guess_format", "importer_of"]

#: name → module and class.
IMPORTERS = {
    "trident": ("trident", "TridentImporter"),
    "clam": ("clam", "ClamImporter"),
    "stamp": ("stamp", "StampImporter"),
    "atlaspatch": ("atlaspatch", "AtlasPatchImporter"),
}
EXPORTERS = {
    "trident": ("trident", "TridentExporter"),
    "clam": ("clam", "ClamExporter"),
    "stamp": ("stamp", "StampExporter"),
}

#: Files that `guess_format` opens: enough to see a folder of several formats, few enough to be quick.
_LOOKED_AT = 20


def importer_of(name: str) -> Importer:
    """Raises UsageError, which lists the formats."""
    importer: Importer = _made(IMPORTERS, name, "imported")
    return importer


def exporter_of(name: str) -> Exporter:
    """Raises UsageError, which lists the formats."""
    exporter: Exporter = _made(EXPORTERS, name, "exported")
    return exporter


def check_format(name: str, path: Path) -> None:
    """Raises UsageError where there is no such format to import (`auto` is one), or nothing at the path."""
    if name != "auto":
        importer_of(name)
    if not path.exists():
        files_below(path, ())


def guess_format(path: Path) -> str | None:
    """The format of the files at or below a path, by what is in them; None where there are no files of features
    at all. Raises UsageError where they are of several, or of none that is known."""
    if not files_below(path, (".h5", ".pt")):
        return None
    told = (found for file in files_below(path, (".h5",)) if (found := _format_of(file)) is not None)
    formats = set(islice(told, _LOOKED_AT))
    if not formats and files_below(path, (".pt",)):
        formats.add("clam")
    if len(formats) == 1:
        return formats.pop()
    several = f"the files there are of several formats ({', '.join(sorted(formats))})"
    raise UsageError(
        several if formats else "no file there is of a format that is known",
        remedy=f"Pass --format {'|'.join(IMPORTERS)}.",
    )


def _format_of(path: Path) -> str | None:
    """None where a file does not tell: damaged, or coordinates alone."""
    try:
        with FeatureFile(path) as file:
            if file.has("feats"):
                return "stamp"
            if not file.has("features"):
                return None
            if file.is_group("features"):
                return "atlaspatch"
            said = file.attributes("coords") if file.has("coords") else {}
            by_magnification = "patch_size_level0" in said or "target_magnification" in said
            return "trident" if by_magnification or "encoder" in file.attributes("features") else "clam"
    except FeatureFileError:
        return None


def _made(table: dict[str, tuple[str, str]], name: str, what: str) -> Any:
    if name not in table:
        raise UsageError(f"no format {name!r} is {what}", remedy=f"Choose one of {', '.join(table)}.")
    module, cls = table[name]
    return getattr(import_module(f"slidelake.store.interop.{module}"), cls)()
