"""The store: immutable Zarr arrays and an append-only log of small commits, on a folder or object store."""

from slidelake.store.bag import Bag, Grid, Overview, Pooled
from slidelake.store.bag_writer import BagWriter
from slidelake.store.checksums import checksum
from slidelake.store.commits import Commit
from slidelake.store.feature_store import FeatureStore
from slidelake.store.ids import fingerprint_id, slide_id_of, slug, slug_of_path, split_space
from slidelake.store.info import DEFAULT_TISSUE_RULE, StoreInfo
from slidelake.store.layout import CommitKey, SlideState, Subject
from slidelake.store.metadata import Metadata
from slidelake.store.objects import Objects
from slidelake.store.quarantine import Quarantine, quarantine_key
from slidelake.store.snapshots import Snapshot, Snapshots
from slidelake.store.verify import Problem, VerifyReport, verify
from slidelake.store.views import PCA, Cohort, KMeans, Statistics, cohort, to_anndata, write_anndata

__all__ = [
    "DEFAULT_TISSUE_RULE",
    "PCA",
    "Bag",
    "BagWriter",
    "Cohort",
    "Commit",
    "CommitKey",
    "FeatureStore",
    "Grid",
    "KMeans",
    "Metadata",
    "Objects",
    "Overview",
    "Pooled",
    "Problem",
    "Quarantine",
    "SlideState",
    "Snapshot",
    "Snapshots",
    "Statistics",
    "StoreInfo",
    "Subject",
    "VerifyReport",
    "checksum",
    "cohort",
    "fingerprint_id",
    "quarantine_key",
    "slide_id_of",
    "slug",
    "slug_of_path",
    "split_space",
    "to_anndata",
    "verify",
    "write_anndata",
]
