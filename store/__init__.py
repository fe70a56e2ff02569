"""The store: immutable Zarr arrays and an append-only log of small commits, on a folder or object store."""

from slidelake.store.annotations import Annotations, AnnotationSet
from slidelake.store.bag import Bag, Grid, Overview, Pooled
from slidelake.store.bag_writer import BagWriter
from slidelake.store.checksums import checksum
from slidelake.store.chunk_codecs import COMPRESSIONS
from slidelake.store.commits import Commit
from slidelake.store.deletion import Deletion, delete_slides, slides_of_patient, sweep
from slidelake.store.deny_list import DenyList
from slidelake.store.feature_store import FeatureStore
from slidelake.store.gc import GcReport, collect_garbage
from slidelake.store.geojson import features_of, moved, parse_geojson
from slidelake.store.ids import fingerprint_id, slide_id_of, slug, slug_of_path, split_space
from slidelake.store.info import DEFAULT_TISSUE_RULE, StoreInfo
from slidelake.store.layout import CommitKey, SlideState, Subject
from slidelake.store.many_bags import read_many
from slidelake.store.metadata import Metadata
from slidelake.store.metadata_update import MetadataUpdate, update_metadata
from slidelake.store.migrate import MigrationReport, migrate
from slidelake.store.names import match_space
from slidelake.store.objects import Objects
from slidelake.store.patients import known_patient
from slidelake.store.profile import ArrayProfile
from slidelake.store.quarantine import Quarantine, quarantine_key
from slidelake.store.redact import Redactor, words_of
from slidelake.store.replicate import CopyReport, replicate
from slidelake.store.report import TEXT_LIMIT, Report, ReportHead, Section, Source, denied_name
from slidelake.store.report_store import ReportStore
from slidelake.store.shard_writer import ShardWriter
from slidelake.store.snapshots import Snapshot, Snapshots
from slidelake.store.streaming import BagLoader, Batch, PatchLoader
from slidelake.store.tables import read_table
from slidelake.store.verify import Problem, VerifyReport, verify
from slidelake.store.verify_deleted import DeletedReport, Remainder, verify_deleted
from slidelake.store.views import PCA, Cohort, KMeans, Statistics, cohort, to_anndata, write_anndata

__all__ = [
    "COMPRESSIONS",
    "DEFAULT_TISSUE_RULE",
    "PCA",
    "TEXT_LIMIT",
    "AnnotationSet",
    "Annotations",
    "ArrayProfile",
    "Bag",
    "BagLoader",
    "BagWriter",
    "Batch",
    "Cohort",
    "Commit",
    "CommitKey",
    "CopyReport",
    "DeletedReport",
    "Deletion",
    "DenyList",
    "FeatureStore",
    "GcReport",
    "Grid",
    "KMeans",
    "Metadata",
    "MetadataUpdate",
    "MigrationReport",
    "Objects",
    "Overview",
    "PatchLoader",
    "Pooled",
    "Problem",
    "Quarantine",
    "Redactor",
    "Remainder",
    "Report",
    "ReportHead",
    "ReportStore",
    "Section",
    "ShardWriter",
    "SlideState",
    "Snapshot",
    "Snapshots",
    "Source",
    "Statistics",
    "StoreInfo",
    "Subject",
    "VerifyReport",
    "checksum",
    "cohort",
    "collect_garbage",
    "delete_slides",
    "denied_name",
    "features_of",
    "fingerprint_id",
    "known_patient",
    "match_space",
    "migrate",
    "moved",
    "parse_geojson",
    "quarantine_key",
    "read_many",
    "read_table",
    "replicate",
    "slide_id_of",
    "slides_of_patient",
    "slug",
    "slug_of_path",
    "split_space",
    "sweep",
    "to_anndata",
    "update_metadata",
    "verify",
    "verify_deleted",
    "words_of",
    "write_anndata",
]
