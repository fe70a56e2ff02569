"""Which slides of a store are meant, and which of their commits: by slide ids, by spaces."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slidelake.store.layout import SlideState
from slidelake.store.names import no_slide

if TYPE_CHECKING:
    from slidelake.store.feature_store import FeatureStore

__all__ = ["restricted"]


def restricted(
    store: "FeatureStore", spaces: Sequence[str] | None = None, slides: Sequence[str] | None = None
) -> dict[str, SlideState]:
    """The live states, sorted, of `slides` only, and with the keys of `spaces` only (full or short names); slides
    without a bag in them are left out. Raises UnknownSlideError, UnknownSpaceError."""
    states = {slide_id: state for slide_id, state in store.states().items() if state.keys}
    if slides is not None:
        spelled = {slide_id.casefold(): slide_id for slide_id in states}
        for slide_id in slides:
            if slide_id.casefold() not in spelled:
                raise no_slide(store.place, slide_id, "", list(states))
        states = {spelled[each]: states[spelled[each]] for each in map(str.casefold, slides)}
    if spaces is not None:
        full = tuple(store.resolve_space(each) for each in spaces)
        states = {slide_id: _in_spaces(state, full) for slide_id, state in states.items()}
    return {slide_id: states[slide_id] for slide_id in sorted(states) if states[slide_id].keys}


def _in_spaces(state: SlideState, spaces: tuple[str, ...]) -> SlideState:
    """A slide's keys in some spaces; none at all where it has no bag in them."""
    bags = {s for s in state.keys if s.kind == "bag" and f"{s.grid_id}/{s.encoder_id}" in spaces}
    grids = {s.grid_id for s in bags}
    kept = {
        subject: key
        for subject, key in state.keys.items()
        if bags
        and (
            subject.kind == "overview"
            or (subject.kind == "grid" and subject.grid_id in grids)
            or f"{subject.grid_id}/{subject.encoder_id}" in spaces
        )
    }
    return SlideState(state.slide_id, state.epoch, kept)
