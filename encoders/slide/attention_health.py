"""Is attention doing anything? Measures of one bag's attention, and alarms over a cohort.

Attention that is nearly uniform is mean pooling by a longer road: the aggregator learnt nothing, whatever its training
loss said. Attention on one patch alone throws the bag away. Branches that agree are one branch. The measures:

    a_n = exp(s_n − lse), Σ a_n = 1 over the N valid rows
    entropy H = −Σ a_n log a_n; normalised H / log N
    effective number of patches e^H (Shannon), and 1 / Σ a_n² (Simpson; both 1 … N)
    largest weight; share of the ceil(N / 100) largest; Gini coefficient of the weights (0 uniform … 1 − 1/N one patch)

Why the thresholds are as they are. H / log N hardly moves where N is large (weight on one half of 10,000 patches, none
on the other, gives 0.92), so near-uniform is said of e^H / N: for scores of spread σ it is about e^(−σ²/2), so 0.9
means σ < 0.46, a factor of 1.6 between a patch and one that is a whole standard deviation higher; attention layers
before any training lie near 0.99. Slides without a finding may rightly have even attention, so the alarm wants nearly
all slides (0.9 of them). Collapse is one weight above 0.9 on half of the slides. Branches agree where the cosine of
their attentions is above 0.95 on average, over slides where not both are near-uniform (uniform ones always agree).
Bags with fewer than 20 valid rows say nothing about either, and are left out and counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import UsageError

__all__ = [
    "MEASURES", "Alarm", "BranchHealth", "HealthReport", "HealthRules", "SlideHealth", "attention_health",
    "measure_attention",
]  # fmt: skip

#: How far the stored lse (float32) may be from that of the stored scores.
_LSE_TOLERANCE = 1e-3
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class HealthRules:
    """When attention is called near-uniform, collapsed or redundant, and on how many slides that is an alarm."""

    min_rows: int = 20
    uniform: float = 0.9
    uniform_slides: float = 0.9
    collapsed: float = 0.9
    collapsed_slides: float = 0.5
    redundant: float = 0.95

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name == "min_rows":
                if value < 2:
                    raise UsageError(f"min_rows is {value}", remedy="Two rows are the least that can differ.")
            elif not 0 < value <= 1:
                raise UsageError(f"{name} is {value}", remedy="Give a share above 0, up to 1.")


class BranchHealth(NamedTuple):
    """The measures of one branch on one bag."""

    entropy: float
    normalised_entropy: float
    effective: float
    effective_simpson: float
    largest: float
    top_1_percent: float
    gini: float


#: The names of the measures, in order.
MEASURES = BranchHealth._fields


@dataclass(frozen=True)
class SlideHealth:
    """One slide: `rows` that count of `of`; its branches; `cosines` (K, K) of their attentions."""

    slide_id: str
    rows: int
    of: int
    branches: list[BranchHealth]
    cosines: NDArray[np.float64]

    def near_uniform(self, branch: int, rules: HealthRules) -> bool:
        """Whether a branch spreads its attention over nearly all rows alike."""
        return self.branches[branch].effective >= rules.uniform * self.rows

    def collapsed(self, branch: int, rules: HealthRules) -> bool:
        """Whether one patch holds nearly all of a branch's attention."""
        return self.branches[branch].largest >= rules.collapsed


class Alarm(NamedTuple):
    """What is wrong (near-uniform, collapsed, redundant), of which branches, on what share of slides (for redundant:
    the mean cosine), and in words."""

    kind: str
    branches: tuple[int, ...]
    share: float
    text: str


@dataclass
class HealthReport:
    """All slides, those left out with the reason, the cohort's quantiles by branch and measure, and the alarms.

    `name` says whose attention it is.
    """

    rules: HealthRules
    name: str = ""
    slides: list[SlideHealth] = field(default_factory=list)
    excluded: list[tuple[str, str]] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)

    @property
    def branches(self) -> int:
        """K; 0 where no slide could be measured."""
        return len(self.slides[0].branches) if self.slides else 0

    def column(self, branch: int, measure: str) -> NDArray[np.float64]:
        """One measure of one branch over the slides, in their order."""
        return np.array([getattr(slide.branches[branch], measure) for slide in self.slides])

    def effective_share(self, branch: int) -> NDArray[np.float64]:
        """e^H / N over the slides: 1 is uniform."""
        return np.array([slide.branches[branch].effective / slide.rows for slide in self.slides])

    def share(self, kind: str, branch: int) -> float:
        """On what share of the slides a branch is near-uniform or collapsed."""
        ask = SlideHealth.near_uniform if kind == "near-uniform" else SlideHealth.collapsed
        return float(np.mean([ask(slide, branch, self.rules) for slide in self.slides]))

    def summary(self) -> list[dict[str, Any]]:
        """A branch each: shares of near-uniform and collapsed slides, and quantiles of every measure."""
        return [
            {
                "branch": branch,
                "near_uniform_slides": self.share("near-uniform", branch),
                "collapsed_slides": self.share("collapsed", branch),
                "quantiles": {
                    name: _quantiles(values)
                    for name, values in (
                        *((name, self.column(branch, name)) for name in MEASURES),
                        ("effective_share", self.effective_share(branch)),
                    )
                },
            }
            for branch in range(self.branches)
        ]

    def agreement(self) -> dict[tuple[int, int], tuple[float, int]]:
        """(mean cosine, slides) of each pair of branches, over slides where not both are near-uniform."""
        pairs: dict[tuple[int, int], tuple[float, int]] = {}
        for one, other in combinations(range(self.branches), 2):
            cosines = [
                float(slide.cosines[one, other])
                for slide in self.slides
                if not (slide.near_uniform(one, self.rules) and slide.near_uniform(other, self.rules))
            ]
            if cosines:
                pairs[one, other] = float(np.mean(cosines)), len(cosines)
        return pairs


def attention_health(
    bags: Iterable[tuple[str, NDArray[Any], NDArray[Any]]], rules: HealthRules | None = None, name: str = ""
) -> HealthReport:
    """Measures every bag of a stream of (slide_id, scores (K, N), lse (K,)), and says what is wrong with the cohort.

    One bag is in memory at a time; a few numbers a branch are kept of each. Bags with fewer valid rows than
    `min_rows`, and those whose lse is not that of their scores, are left out with the reason. Raises UsageError where
    bags have different numbers of branches.
    """
    report = HealthReport(rules or HealthRules(), name)
    for slide_id, scores, lse in bags:
        found = measure_attention(slide_id, scores, lse)
        if isinstance(found, str):
            report.excluded.append((slide_id, found))
        elif found.rows < report.rules.min_rows:
            few = f"{found.rows} valid rows of {found.of}: fewer than {report.rules.min_rows}"
            report.excluded.append((slide_id, few))
        elif report.slides and len(found.branches) != report.branches:
            raise UsageError(
                f"it has {len(found.branches)} branches, other slides have {report.branches}",
                remedy="Report one aggregator at a time.",
                slide=slide_id,
            )
        else:
            report.slides.append(found)
    report.alarms = _alarms(report)
    return report


def measure_attention(slide_id: str, scores: NDArray[Any], lse: NDArray[Any]) -> SlideHealth | str:
    """The measures of one bag, in float64, a branch at a time; or why there are none."""
    if np.isnan(scores).any() or np.isposinf(scores).any():
        return "its scores hold NaN or infinity: embed it again"
    valid = np.isfinite(scores).any(axis=0)
    rows = int(valid.sum())
    if not rows or not np.isfinite(scores).any(axis=1).all():
        return "no valid row"
    branches, unit = [], []
    for branch in range(len(scores)):
        kept = scores[branch, valid].astype(np.float64)
        top = float(kept.max())
        weights = np.exp(kept - top)
        exact = top + float(np.log(weights.sum()))
        if not abs(exact - float(lse[branch])) <= _LSE_TOLERANCE * max(1.0, abs(exact)):
            return f"lse of branch {branch} is {float(lse[branch]):.6g}, its scores give {exact:.6g}: embed it again"
        # By their own sum: the stored lse is rounded to 24 bits.
        weights /= weights.sum()
        branches.append(_measures(weights))
        unit.append((weights / np.linalg.norm(weights)).astype(np.float32))
    cosines = np.eye(len(unit))
    for one, other in combinations(range(len(unit)), 2):
        cosines[one, other] = cosines[other, one] = float(np.dot(unit[one], unit[other]))
    return SlideHealth(slide_id, rows, scores.shape[1], branches, cosines)


def _measures(weights: NDArray[np.float64]) -> BranchHealth:
    rows = len(weights)
    positive = weights[weights > 0]
    entropy = float(-(positive * np.log(positive)).sum())
    rising = np.sort(weights)
    most = -(-rows // 100)
    # Twice the area between the diagonal and the Lorenz curve.
    gini = float((2 * np.arange(1, rows + 1) - rows - 1) @ rising) / rows
    return BranchHealth(
        entropy=entropy,
        normalised_entropy=entropy / float(np.log(rows)) if rows > 1 else 0.0,
        effective=float(np.exp(entropy)),
        effective_simpson=1.0 / float(weights @ weights),
        largest=float(rising[-1]),
        top_1_percent=float(rising[-most:].sum()),
        gini=max(gini, 0.0),
    )


def _alarms(report: HealthReport) -> list[Alarm]:
    rules, found = report.rules, []
    total = len(report.slides)
    for branch in range(report.branches):
        which = f"branch {branch}" if report.branches > 1 else "attention"
        even = report.share("near-uniform", branch)
        if even >= rules.uniform_slides:
            found.append(
                Alarm(
                    "near-uniform",
                    (branch,),
                    even,
                    f"{which} is nearly uniform on {even:.0%} of {total:,} slides (effective patches at least "
                    f"{rules.uniform:.0%} of all): it pools nearly as a mean of patches does",
                )
            )
        single = report.share("collapsed", branch)
        if single >= rules.collapsed_slides:
            found.append(
                Alarm(
                    "collapsed",
                    (branch,),
                    single,
                    f"{which} puts at least {rules.collapsed:.0%} of its weight on one patch on {single:.0%} of "
                    f"{total:,} slides: the rest of the bag does not count",
                )
            )
    for (one, other), (cosine, slides) in report.agreement().items():
        if cosine >= rules.redundant:
            found.append(
                Alarm(
                    "redundant",
                    (one, other),
                    cosine,
                    f"branches {one} and {other} attend to the same patches (mean cosine {cosine:.3f} over "
                    f"{slides:,} slides): one of them is redundant",
                )
            )
    return found


def _quantiles(values: NDArray[np.float64]) -> Mapping[str, float]:
    return {
        f"{share:.0%}": float(each)
        for share, each in zip(_QUANTILES, np.quantile(values, _QUANTILES), strict=True)
    }
