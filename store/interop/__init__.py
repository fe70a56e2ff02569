"""Import from and export to other programs' feature files: TRIDENT, CLAM, STAMP, AtlasPatch."""

from slidelake.store.interop.base import (
    BagToExport,
    Exporter,
    ExportOptions,
    Found,
    ImportedBag,
    Importer,
    ImportOptions,
    SlideFacts,
)
from slidelake.store.interop.export_bags import export_features
from slidelake.store.interop.geometry import Geometry
from slidelake.store.interop.import_bags import import_features
from slidelake.store.interop.registry import EXPORTERS, IMPORTERS, check_format, guess_format
from slidelake.store.interop.report import BagOutcome, TransferReport

__all__ = [
    "EXPORTERS",
    "IMPORTERS",
    "BagOutcome",
    "BagToExport",
    "ExportOptions",
    "Exporter",
    "Found",
    "Geometry",
    "ImportOptions",
    "ImportedBag",
    "Importer",
    "SlideFacts",
    "TransferReport",
    "check_format",
    "export_features",
    "guess_format",
    "import_features",
]
