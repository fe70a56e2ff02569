"""Which embeddings a lake holds, by which aggregators, and the attention that lies beside them."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from slidelake.errors import SlidelakeError, UnknownAggregatorError, UsageError

if TYPE_CHECKING:
    from slidelake.encoders import HealthReport, HealthRules
    from slidelake.store import FeatureStore

__all__ = ["PooledCount", "check_attention", "find_aggregator", "pooled_counts", "pooled_slides"]


class PooledCount(NamedTuple):
    """On how many slides of a space an aggregator's embeddings are, and how many bags the space has."""

    space: str
    aggregator_id: str
    slides: int
    bags: int


def pooled_counts(store: "FeatureStore") -> list[PooledCount]:
    """Every aggregator of every space, sorted; by one listing."""
    pooled: Counter[tuple[str, str]] = Counter()
    bags: Counter[str] = Counter()
    for state in store.states().values():
        for subject in state.keys:
            space = f"{subject.grid_id}/{subject.encoder_id}"
            if subject.kind == "bag":
                bags[space] += 1
            elif subject.kind == "pooled":
                pooled[space, subject.aggregator_id] += 1
    return [PooledCount(*key, count, bags[key[0]]) for key, count in sorted(pooled.items())]


def pooled_slides(store: "FeatureStore", space: str, aggregator_id: str) -> list[str]:
    """The slides that have an embedding of an aggregator, in the store's order."""
    wanted = ("pooled", *space.split("/"), aggregator_id)
    return [slide_id for slide_id, state in store.states().items() if wanted in state.keys]


def find_aggregator(store: "FeatureStore", space: str, name: str) -> str:
    """The aggregator_id that a name means in a space: the id itself, its name alone, or a checkpoint's path.

    Raises UnknownAggregatorError, which lists those that are there; WeightsError for a file that is no checkpoint.
    """
    there = [each.aggregator_id for each in pooled_counts(store) if each.space == space]
    if name.endswith(".safetensors") and Path(name).expanduser().is_file():
        from slidelake.encoders import CheckpointEncoder

        name = CheckpointEncoder.load(name, device="cpu").spec.aggregator_id
    fitting = [each for each in there if name in (each, each.rpartition(".")[0])]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UnknownAggregatorError(
            f"{name} means {len(fitting)} aggregators of {space}",
            remedy=f"Name one of: {', '.join(fitting)}.",
        )
    known = f"Those there are: {', '.join(there)}. " if there else ""
    raise UnknownAggregatorError(
        f"no slide has an embedding of {name!r} in {space}",
        remedy=f"{known}Make it first: slidelake embed --aggregator CHECKPOINT.safetensors.",
    )


def check_attention(
    store: "FeatureStore",
    space: str | None,
    aggregator: str,
    rules: "HealthRules | None" = None,
    *,
    progress: Callable[..., None] | None = None,
) -> "HealthReport":
    """The health of an aggregator's stored attention over all slides that have it, one slide in memory at a time.

    A slide whose scores cannot be read is among the excluded, with the reason. progress: start (total), slide, end.
    Raises UnknownSpaceError, UnknownAggregatorError; UsageError for an aggregator that keeps no attention.
    """
    from slidelake.encoders import attention_health

    space = store.resolve_space(space)
    aggregator_id = find_aggregator(store, space, aggregator)
    slides = pooled_slides(store, space, aggregator_id)
    tell = progress or (lambda event, **fields: None)
    unread: list[tuple[str, str]] = []
    tell("start", total=len(slides))
    bags = _stored(store, space, aggregator_id, slides, unread, tell)
    report = attention_health(bags, rules, f"{aggregator_id} in {space}")
    tell("end")
    report.excluded += unread
    return report


def _stored(
    store: "FeatureStore",
    space: str,
    aggregator_id: str,
    slides: list[str],
    unread: list[tuple[str, str]],
    tell: Callable[..., None],
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    for slide_id in slides:
        try:
            pooled = store.pooled(slide_id, space, aggregator_id)
            scores, lse = pooled.scores, pooled.lse
        except SlidelakeError as exc:
            unread.append((slide_id, str(exc)))
        else:
            if scores is None or lse is None:
                raise UsageError(
                    f"{aggregator_id} keeps no attention",
                    remedy="Name an aggregator that has some: slidelake embed --list shows those there are.",
                )
            yield slide_id, scores, lse
        tell("slide", slide_id=slide_id)
