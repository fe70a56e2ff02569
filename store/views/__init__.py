"""Views of a store: a cohort as one lazy array, its statistics and clusters, AnnData."""
from slidelake.store.views.cohort import Cohort, cohort

__all__ = ["Cohort", "cohort"]
