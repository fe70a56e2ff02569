"""`run_mil_tests`: every slide encoder through every test, seed by seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from slidelake.encoders.mil_tests.bags import MIL_TESTS, MilTest
from slidelake.encoders.mil_tests.fit import Fit, classifies, fit_slide_model
from slidelake.encoders.mil_tests.table import MilTable, MilVerdict
from slidelake.encoders.slide.registry import slide_model_names
from slidelake.errors import UsageError

__all__ = ["run_mil_tests"]

TRAINING_BAGS = 600
TEST_BAGS = 500

Progress = Callable[..., None]


def run_mil_tests(
    encoders: Iterable[str] | Mapping[str, Fit] | None = None,
    *,
    seeds: int | Sequence[int] = 3,
    bags: int = TRAINING_BAGS,
    progress: Progress | None = None,
) -> MilTable:
    """Train slide encoders on each test's bags and say which pass; equal arguments give equal tables.

    `encoders`: names of the registry (None: all that classify), or {name: fit} for anything else that learns:
    `fit(bags, seed)` gives a function that scores bags, (B,) numbers, higher for positive. `seeds`: so many from
    0, or which; each draws bags (`bags` to train on, 500 to test on), weights and order anew. progress: start
    (total), slide (one training done), end. Raises UnknownAggregatorError, UsageError.
    """
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or min(chosen) < 0:
        raise UsageError(f"seeds = {seeds!r}", remedy="Give one seed or more, from 0.")
    if bags < 2:
        raise UsageError(f"{bags} bags to train on", remedy="Give two or more, one of each class.")
    fits = _fits(encoders)
    tell = progress or _silence
    tell("start", total=len(fits) * len(MIL_TESTS) * len(chosen))
    verdicts = []
    for name, fit in fits.items():
        for test in MIL_TESTS.values():
            pairs = []
            for seed in chosen:
                pairs.append(_aucs(fit, test, seed, bags))
                tell("slide", encoder=name, test=test.name, seed=seed)
            train_auc, test_auc = zip(*pairs, strict=True)
            verdicts.append(MilVerdict(name, test.name, train_auc, test_auc))
    tell("end")
    return MilTable(tuple(verdicts))


def _fits(encoders: Iterable[str] | Mapping[str, Fit] | None) -> dict[str, Fit]:
    if isinstance(encoders, Mapping):
        return dict(encoders)
    if encoders is None:
        encoders = [name for name in slide_model_names() if classifies(name)]
    return {name: fit_slide_model(name) for name in encoders}


def _aucs(fit: Fit, test: MilTest, seed: int, count: int) -> tuple[float, float]:
    from sklearn.metrics import roc_auc_score

    training, held_out = test.draw(count, "train", seed=seed), test.draw(TEST_BAGS, "test", seed=seed)
    score = fit(training, seed)
    train_auc, test_auc = (float(roc_auc_score(bags.labels, score(bags))) for bags in (training, held_out))
    return train_auc, test_auc


def _silence(event: str, **fields: object) -> None:
    """Progress that nobody watches."""
