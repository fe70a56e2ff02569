"""What stands already: one look at the commits and one stat of the source, nothing else."""

from dataclasses import replace
from typing import TYPE_CHECKING

from slidelake.errors import DuplicateSlideError, SourceChangedError
from slidelake.ingest.local_copy import is_remote, local_path
from slidelake.ingest.provenance import content_checksum, stat_source
from slidelake.ingest.report import SlideOutcome

if TYPE_CHECKING:
    from slidelake.ingest.task import SlideTask
    from slidelake.store import Commit, FeatureStore

__all__ = ["HeldNames", "standing"]


class HeldNames:
    """The names in the lake by lower case: ids that differ only in case are one (FORMAT, Ids). Listed once a
    run, and only where a slide is new."""

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store
        self._held: dict[str, str] | None = None

    def refuse_twin(self, slide_id: str, uri: str) -> None:
        """Raises DuplicateSlideError where the lake holds this name in other letters."""
        if self._held is None:
            self._held = {held.lower(): held for held in self._store.slide_ids()}
        twin = self._held.get(slide_id.lower(), slide_id)
        if twin != slide_id:
            raise DuplicateSlideError(
                f"the lake holds {twin}, and names that differ only in case are one",
                remedy="Pass --id-from path, or give it a slide_id in a manifest.",
                slide=uri,
            )


def standing(
    store: "FeatureStore",
    task: "SlideTask",
    grid_id: str,
    encoder_id: str,
    *,
    on_changed: str,
    assume_mpp: float | None,
    held: HeldNames,
) -> "SlideOutcome | SlideTask":
    """The outcome `already` for a slide whose bag is there; else the task, which may replace an epoch.

    Raises SourceChangedError for a source or mpp that is not what was committed (with on_changed="again" the task
    replaces it instead), DuplicateSlideError for a name that another source holds.
    """
    state = store.state(task.slide_id)
    if not state.keys:
        held.refuse_twin(task.slide_id, task.uri)
        return task
    bag = store.commit(task.slide_id, "bag", grid_id, encoder_id)
    commit = bag or store.commit(task.slide_id, "overview") or store.commit(task.slide_id, "grid", grid_id)
    if commit is None:
        return task
    source = stat_source(task.uri)
    held_by = str(commit.provenance.get("source_uri", task.uri))
    if held_by != task.uri and not _same_content(task.uri, commit):
        raise DuplicateSlideError(
            f"the lake has another slide of this name, from {held_by}",
            remedy="Pass --id-from path, or give it a slide_id in a manifest.",
            slide=task.uri,
        )
    changed = _other_mpp(task, commit, assume_mpp)
    if held_by == task.uri and not source.same_as(commit.provenance) and not _same_content(task.uri, commit):
        changed = (
            f"the file is not what was ingested on {commit.provenance.get('time', 'an earlier day')} "
            f"({commit.provenance.get('source_size')} bytes then, {source.size} now)"
        )
    if changed and on_changed == "refuse":
        raise SourceChangedError(
            changed,
            remedy="Pass --on-changed again to make it anew, or ask for what was there before.",
            slide=task.slide_id,
        )
    if changed:
        return replace(task, replaces=state.epoch)
    if bag is None:
        return task
    rows = int(bag.arrays["features"]["shape"][0])
    return SlideOutcome(task.slide_id, task.uri, "already", patches=rows)


def _other_mpp(task: "SlideTask", commit: "Commit", assume_mpp: float | None) -> str:
    """What a person says now about the mpp, where it is not what counted when the slide went in."""
    before, source = commit.provenance.get("mpp_x"), commit.provenance.get("mpp_source")
    asked = task.mpp if task.mpp is not None else assume_mpp if source == "assumed" else None
    if asked is None or before is None or asked == before:
        return ""
    return f"it went in at {before:g} µm/px (from {source}), and {asked:g} is asked for now"


def _same_content(uri: str, commit: "Commit") -> bool:
    """Whether a file at another place is the slide that was committed: moved, not another of the same name."""
    return not is_remote(uri) and content_checksum(local_path(uri)) == commit.provenance.get(
        "source_checksum"
    )
