"""The selection: patches of one slide by three arms, without near-duplicates, neighbours and poor ones.

The same store, options and seed give the same picks, whatever the number of threads: sums are made by one thread, and
chance belongs to the seed and the slide's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidelake.errors import SlidelakeError
from slidelake.index.representatives.clusters import cluster_order, find_clusters
from slidelake.index.representatives.duplicates import NearDuplicates
from slidelake.index.representatives.options import SelectionOptions
from slidelake.index.representatives.picks import ARMS, Arm, Pick, Representatives
from slidelake.index.representatives.quality import apply_bounds
from slidelake.index.representatives.spacing import Spacing
from slidelake.index.representatives.text_arms import query_cosines, query_order
from slidelake.index.representatives.texts import Queries, TextQueries, Texts
from slidelake.index.representatives.unit_rows import UnitRows
from slidelake.store import split_space

if TYPE_CHECKING:
    from slidelake.encoders import PatchEncoder
    from slidelake.store import Bag, FeatureStore, Grid

__all__ = ["select_from", "select_representatives"]

#: Pairs of so many rows tell whether `near` says anything in a space.
_PAIRED = 256


def select_representatives(
    store: FeatureStore,
    slide_id: str,
    space: str | None = None,
    *,
    texts: Texts | None = None,
    encoder: PatchEncoder | None = None,
    **options: Any,
) -> Representatives:
    """Pick the patches that stand for a slide: by its reports' text, by attribute prompts, and by clusters.

    `options` are those of SelectionOptions: count, near, spread, spread_px, quality, clusters, refill, seed. `encoder`
    stands for the space's own where that is not registered. Where it reads no text, or there is none, the clusters get
    the text arms' share, and `notes` say so. Raises UnknownSlideError, UnknownSpaceError; UsageError for options that
    cannot be; QueryError where `texts` holds texts and the encoder reads none; SlidelakeError for a slide of which no
    patch is left to pick from; DamagedStoreError.
    """
    chosen = SelectionOptions.of(**options)
    bag = store.bag(slide_id, space)
    queries = TextQueries(store, bag.space, texts or Texts(), encoder)
    return select_from(store, bag, queries, chosen)


def select_from(
    store: FeatureStore, bag: Bag, queries: TextQueries, options: SelectionOptions
) -> Representatives:
    """The selection of one bag, its texts from `queries`, which serve slide after slide."""
    import sklearn.cluster  # noqa: F401 - its thread pools must be there before they are held to one
    from threadpoolctl import threadpool_limits

    grid = store.grid(bag.slide_id, split_space(bag.space)[0])
    patient_id = str(bag.provenance.get("patient_id") or bag.slide_id)
    units = UnitRows(bag)
    rows, dropped, notes = _usable_rows(bag, grid, units, options)
    asked, said = queries.of(bag.slide_id, patient_id)
    with threadpool_limits(1):
        chosen = _Selection(units, rows, grid, options, bag)
        chosen.run(asked)
    places = np.array(chosen.places, np.int64)
    picked = rows[places]
    sides = _footprint(grid)
    if sides is None and options.spread:
        notes.append("the grid does not say how large a patch is: picks may lie side by side")
    return Representatives(
        slide_id=bag.slide_id,
        patient_id=patient_id,
        space=bag.space,
        attempt=bag.commit.attempt,
        rows=picked,
        coords=grid.coords[picked],
        footprint=sides,
        reasons=tuple(chosen.reasons),
        total=len(bag),
        dropped=dropped | chosen.dropped,
        notes=(*notes, *said, *chosen.notes),
        options=options.to_dict(),
    )


def _usable_rows(
    bag: Bag, grid: Grid, units: UnitRows, options: SelectionOptions
) -> tuple[NDArray[np.int64], dict[str, int], list[str]]:
    """The rows to pick from, how many each rule left out, and notes."""
    if not len(bag):
        raise SlidelakeError(
            "the bag is empty",
            remedy="Ingest the slide again if its tissue can be found now.",
            slide=bag.slide_id,
        )
    valid = np.asarray(bag.valid).astype(bool)
    kept = valid & units.usable
    dropped = {"unreadable": int((~valid).sum()), "no direction": int((valid & ~units.usable).sum())}
    if not kept.any():
        raise SlidelakeError(
            "no row of the bag has features: they are unreadable, zero or not finite",
            remedy="slidelake verify --deep says what is damaged; then ingest the slide again.",
            slide=bag.slide_id,
        )
    good, by_bound, missing = apply_bounds(grid.columns, options.quality, kept)
    notes = [f"the grid has no column {name}: patches were not judged by it" for name in missing]
    if not good.any():
        raise SlidelakeError(
            f"no patch is within the bounds of quality ({', '.join(str(each) for each in options.quality)})",
            remedy="Give wider bounds.",
            slide=bag.slide_id,
        )
    return np.flatnonzero(good), dropped | by_bound, notes


class _Selection:
    """Arm after arm takes candidates in its order; what is near a pick, or too like one, is passed over."""

    def __init__(
        self, units: UnitRows, rows: NDArray[np.int64], grid: Grid, options: SelectionOptions, bag: Bag
    ) -> None:
        self.options, self.notes = options, list[str]()
        self.places: list[int] = []
        self.reasons: list[Pick] = []
        self.dropped = {"near-duplicate": 0, "spacing": 0}
        self._units, self._rows, self._dim, self._total = units, rows, bag.dim, len(bag)
        self._taken = np.zeros(len(rows), bool)
        self._seen = np.zeros(len(rows), bool)
        sides = _footprint(grid) or (0.0, 0.0)
        least = tuple(max(options.spread * side, options.spread_px) for side in sides)
        self._spacing = Spacing(grid.coords[rows], (least[0], least[1]))
        self._duplicates = NearDuplicates(options.near, min(options.count, len(rows)), bag.dim)
        self._rng = _generator(options.seed, bag.slide_id)
        # Drawn once for every row of the bag, so that a row's chance does not hang on the rows before it.
        chance = self._rng.random((2, self._total))
        self._of_duplicate, self._of_cluster = chance[0][rows], chance[1][rows]

    def run(self, asked: Mapping[Arm, Queries]) -> None:
        quotas = self.options.quotas
        given = 0
        for arm in ARMS[:-1]:
            if arm in asked:
                self._take(quotas[arm], self._by_queries(arm, asked[arm]))
                given += quotas[arm]
        # Arms without texts leave their share to the clusters.
        self._take(self.options.count - given, self._by_clusters(self.options.count - given))
        if len(self._rows) < self.options.count:
            self.notes.append(
                f"{len(self._rows):,} patches to pick from are fewer than the {self.options.count:,} asked for"
            )
        self._judge_near()

    def _take(self, quota: int, candidates: Iterator[Pick]) -> None:
        """Takes candidates (their `row` is a place here) until the quota is full. Each candidate that a rule drops
        fills a place of it too, unless `refill`."""
        left = quota
        while left > 0 and (pick := next(candidates, None)) is not None:
            place = pick.row
            if self._seen[place]:
                continue
            self._seen[place] = True
            unit = self._units.take(self._rows[[place]])[0]
            if self._spacing.blocked[place]:
                self.dropped["spacing"] += 1
            elif self._duplicates.drops(unit, float(self._of_duplicate[place])):
                self.dropped["near-duplicate"] += 1
            else:
                self._duplicates.pick(unit)
                self._spacing.pick(place)
                self.places.append(place)
                row = int(self._rows[place])
                self.reasons.append(Pick(row, pick.arm, pick.rank, pick.score, pick.query, pick.cluster))
                left -= 1
                continue
            left -= not self.options.refill

    def _by_queries(self, arm: Arm, queries: Queries) -> Iterator[Pick]:
        cosines = query_cosines(self._units, self._rows, queries, self._dim)
        for place, query, rank in query_order(cosines):
            yield Pick(place, arm, rank, float(cosines[query, place]), query=queries.texts[query])

    def _by_clusters(self, quota: int) -> Iterator[Pick]:
        # The recipe's square root, but no more clusters than picks: each is to have one.
        wanted = self.options.clusters or min(round(len(self._rows) ** 0.5), quota)
        found = find_clusters(self._units, self._rows, max(1, wanted), self._rng)
        for place, turn in cluster_order(found.labels, self._of_cluster):
            label = int(found.labels[place])
            yield Pick(place, "clusters", turn, float(found.cosines[place]), cluster=label)

    def _judge_near(self) -> None:
        """A note where most pairs of patches are nearer than `near`: then it says little in this space."""
        sample = self._rows[:: max(1, len(self._rows) // _PAIRED)][:_PAIRED]
        if self.options.near >= 1 or len(sample) < 2:
            return
        units = self._units.take(sample)
        cosines = (units @ units.T)[np.triu_indices(len(sample), 1)]
        share = float((cosines > self.options.near).mean())
        if share > 0.5:
            self.notes.append(
                f"{share:.0%} of pairs of this slide's patches have a cosine above {self.options.near:g}: here "
                "near-duplicates begin higher"
            )


def _footprint(grid: Grid) -> tuple[float, float] | None:
    sides = grid.attributes.get("footprint_level0")
    return None if sides is None else (float(sides[0]), float(sides[1]))


def _generator(seed: int, slide_id: str) -> np.random.Generator:
    """Chance that belongs to the seed and the slide, whatever other slides there are."""
    digest = hashlib.sha256(slide_id.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
