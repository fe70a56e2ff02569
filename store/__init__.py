"""The store: immutable Zarr arrays and an append-only log of small commits, on a folder or object store."""

from slidelake.store.bag import Bag, Grid, Overview, Pooled
from slidelake.store.bag_writer import BagWriter
from slidelake.store.checksums import checksum
from slidelake.store.chunk_codecs import COMPRESSIONS
from slidelake.store.commits import Commit
from slidelake.store.feature_store import FeatureStore
from slidelake.store.ids import fingerprint_id, slide_id_of, slug, slug_of_path, split_space
from slidelake.store.info import DEFAULT_TISSUE_RULE, StoreInfo
from slidelake.store.layout import CommitKey, SlideState, Subject
from slidelake.store.many_bags import read_many
from slidelake.store.metadata import Metadata
from slidelake.store.objects import Objects
from slidelake.store.quarantine import Quarantine, quarantine_key
from slidelake.store.verify import Problem, VerifyReport, verify

__all__ = [
    "COMPRESSIONS",
    "DEFAULT_TISSUE_RULE",
    "Bag",
    "BagWriter",
    "Commit",
    "CommitKey",
    "FeatureStore",
    "Grid",
    "Metadata",
    "Objects",
    "Overview",
    "Pooled",
    "Problem",
    "Quarantine",
    "SlideState",
    "StoreInfo",
    "Subject",
    "VerifyReport",
    "checksum",
    "fingerprint_id",
    "quarantine_key",
    "read_many",
    "slide_id_of",
    "slug",
    "slug_of_path",
    "split_space",
    "verify",
]
