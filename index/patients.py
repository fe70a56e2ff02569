"""Whose slide it is, as sync has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["patient_of", "patients"]


def patient_of(store: FeatureStore, slide_id: str, space: str) -> str:
    """The slide's patient: the metadata's, else the commit's, else the slide itself, as sync has it."""
    from slidelake.index.cohort import read_cohort

    named = read_cohort(store).patients.get(slide_id)
    if named:
        return named
    grid_id, _, encoder_id = space.partition("/")
    commit = store.commit(slide_id, "bag", grid_id, encoder_id)
    return str((commit.provenance.get("patient_id") if commit else None) or slide_id)


def patients(*named: str | None) -> tuple[str, ...]:
    """Those of the names that are one, each once, sorted."""
    return tuple(sorted({patient for patient in named if patient}))
