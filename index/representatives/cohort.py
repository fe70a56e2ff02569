"""The selection over a cohort: slide after slide; a slide that fails costs itself alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slidelake.errors import SlidelakeError
from slidelake.index.representatives.options import SelectionOptions
from slidelake.index.representatives.picks import Representatives
from slidelake.index.representatives.select import select_from
from slidelake.index.representatives.texts import TextQueries, Texts
from slidelake.store import split_space

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.store import FeatureStore

__all__ = ["Chosen", "select_cohort"]

log = logging.getLogger(__name__)

Progress = Callable[..., None]


@dataclass(frozen=True)
class Chosen:
    """One slide's selection, or the error that it ended in."""

    slide_id: str
    picked: Representatives | None
    error: SlidelakeError | None = None


def select_cohort(
    store: FeatureStore,
    space: str | None = None,
    slides: Sequence[str] | None = None,
    *,
    texts: Texts | None = None,
    encoder: PatchEncoder | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Iterator[Chosen]:
    """Representatives of every slide that has a bag in the space, or of `slides`, in their order, one at a time.

    A slide that is not there, empty or damaged comes with its error; the next ones come all the same. Arguments are
    those of `select_representatives`. progress: start (total), slide (slide_id, state made | failed), end. Raises
    UnknownSpaceError, UsageError and QueryError at once.
    """
    chosen = SelectionOptions.of(**options)
    space = store.resolve_space(space)
    wanted = _slides_of(store, space) if slides is None else list(dict.fromkeys(slides))
    queries = TextQueries(store, space, texts or Texts(), encoder)
    queries.check()
    return _each(store, space, wanted, queries, chosen, progress or _silence)


def _each(
    store: FeatureStore,
    space: str,
    slides: Sequence[str],
    queries: TextQueries,
    options: SelectionOptions,
    tell: Progress,
) -> Iterator[Chosen]:
    tell("start", total=len(slides))
    for slide_id in slides:
        try:
            done = Chosen(slide_id, select_from(store, store.bag(slide_id, space), queries, options))
        except SlidelakeError as exc:
            log.warning("no representatives", extra={"slide_id": slide_id, "reason": exc.problem})
            done = Chosen(slide_id, None, exc)
        tell("slide", slide_id=slide_id, state="made" if done.picked is not None else "failed")
        yield done
    tell("end")


def _slides_of(store: FeatureStore, space: str) -> list[str]:
    subject = ("bag", *split_space(space), "")
    return [slide_id for slide_id, state in store.states().items() if subject in state.keys]


def _silence(event: str, **fields: object) -> None:
    """Progress that nobody watches."""
