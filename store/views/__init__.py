"""Views of a store: a cohort as one lazy array, its statistics and clusters, AnnData."""

from slidelake.store.views.anndata import to_anndata, write_anndata
from slidelake.store.views.cohort import Cohort, cohort
from slidelake.store.views.kmeans import KMeans
from slidelake.store.views.statistics import PCA, Statistics

__all__ = ["PCA", "Cohort", "KMeans", "Statistics", "cohort", "to_anndata", "write_anndata"]
