"""Whose slide it is, as sync has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slidelake.index.cohort import read_cohort

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["Patients", "patients"]


class Patients:
    """The patients of a store's slides; the metadata is read again when it has changed."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._known: tuple[int, dict[str, str]] = (-1, {})

    def of(self, slide_id: str, space: str) -> str:
        """The slide's patient: the metadata's, else the commit's, else the slide itself."""
        generation, named = self._known
        if self._store.metadata.generation() != generation:
            cohort = read_cohort(self._store)
            named = cohort.patients
            self._known = (cohort.generation, named)
        if found := named.get(slide_id):
            return found
        grid_id, _, encoder_id = space.partition("/")
        commit = self._store.commit(slide_id, "bag", grid_id, encoder_id)
        return str((commit.provenance.get("patient_id") if commit else None) or slide_id)


def patients(*named: str | None) -> tuple[str, ...]:
    """Those of the names that are one, each once, sorted."""
    return tuple(sorted({patient for patient in named if patient}))
