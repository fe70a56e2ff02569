"""Whose slide it is, as its commits say: somebody's word goes before the slide standing for its own patient."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from slidelake.store.commits import Commit, latest_commit

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = ["known_patient", "said_patient"]


def said_patient(commits: Iterable[Commit]) -> tuple[str, str] | None:
    """The first patient that a manifest, a pattern or a person gave, and which of them; None where nobody did."""
    for commit in commits:
        patient = str(commit.provenance.get("patient_id") or "")
        source = str(commit.provenance.get("patient_source") or "")
        if patient and source != "slide" and patient != commit.slide_id:
            return patient, source
    return None


def known_patient(store: "FeatureStore", slide_id: str) -> tuple[str, str] | None:
    """The patient that the slide's live bags name, and who said so; None where each says the slide itself.

    Whoever adds a bag and is not told a patient takes this one: a second encoder must not make a patient of
    the slide.
    """
    state = store.state(slide_id)
    bags = (latest_commit(store.objects, state, each) for each in sorted(state.keys) if each.kind == "bag")
    return said_patient(each for each in bags if each is not None)
