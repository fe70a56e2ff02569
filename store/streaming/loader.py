"""`BagLoader`: whole bags, or some rows of them, from a store to a trainer, in a seeded order that can be resumed."""

import json
import logging
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from slidelake.errors import UsageError
from slidelake.store.streaming.array_cache import ArrayCache, open_cache
from slidelake.store.streaming.augment import Augmentation
from slidelake.store.streaming.bag_source import BagSource
from slidelake.store.streaming.batch import Batch, Layout
from slidelake.store.streaming.batch_maker import BatchMaker, BatchRules
from slidelake.store.streaming.checks import check_words
from slidelake.store.streaming.cohort import BagEntry, Cohort, Unit, read_cohort, wanted_slides
from slidelake.store.streaming.plan import Draw, Plan, PlanRules, make_plan
from slidelake.store.streaming.position import Position
from slidelake.store.streaming.read_ahead import Answer, Pace, ReadAhead, made_alone
from slidelake.store.streaming.room import Rooms, numpy_dtype
from slidelake.store.streaming.sampling import Sampler
from slidelake.store.streaming.transfer import Transfer, check_pinning, transfer_to

if TYPE_CHECKING:
    import torch

    from slidelake.store.feature_store import FeatureStore
    from slidelake.store.streaming.labels import Labels
    from slidelake.store.streaming.splits import Splits

__all__ = ["BagLoader"]

log = logging.getLogger(__name__)

Balance = Literal["class", "patient", "class+patient"]
#: Batches in flight from a store that is not local: with 20 ms of latency four whole bags keep its rate.
REMOTE_READ_AHEAD = 4


class BagLoader:
    """Streams the bags of a store in batches, for one epoch each time it is iterated.

    What is streamed. `space` names one space, several (side by side), or None where there is only one. A bag is a
    slide (`unit="slide"`) or all slides of a patient, end to end. `slides` names those wanted, or `splits` and `part`
    (and `fold`) do; `snapshot` pins the store. With `labels` a batch has `targets`, and bags without a label
    are left out. What is left out is listed with its reason in `left_out`. Rows with `valid` 0 never come.

    Batches. `layout="packed"`: bags end to end, `features` (T, D) and `cu_seqlens` (B + 1,); `"padded"`: (B, N, D) and
    `mask`; `"list"`. `bags_per_batch` bags each (1), or as many as fit into `patches_per_batch` rows (of which padding
    counts); a larger bag is alone. Packed batches are filled, and padded ones made of bags of like length, so
    that less than 5 % is wasted where the lengths allow; `waste` says how much. `drop_last` leaves out the last
    batch if it has fewer than `bags_per_batch`, and the last round if it does not reach all ranks; else the
    ranks that would have none repeat batches of the epoch's beginning, so all have equally many steps.
    `sample` chooses rows, `augment` changes features, `balance` draws bags so that classes, patients, or patients
    within classes are seen equally often. `dtype` (float16, float32, bfloat16) converts; None gives what is
    stored.

    The order, the rows and all chance depend on (`seed`, epoch, bag) alone: not on threads, ranks or the device. Each
    whole iteration is followed by the next epoch; `set_epoch` sets it. `state_dict` in the middle of an epoch and
    `load_state_dict` later give exactly the batches that were left.

    How it reads. `read_ahead="auto"`: from a local store one thread reads one batch ahead where that helps
    (read_ahead.py), from a remote one four read four; a number says how many; 0: none. A batch's memory is its own:
    it is used again only when nothing refers to the batch any more. With `device` batches come on it; to a
    GPU they are copied from page-locked memory while it computes (`pin_memory`, by default where the device is a
    GPU). `cache` is a folder, or (folder, bytes), for arrays of a remote store (16 GiB by default). `on_error="skip"`
    puts another bag in the place of one that cannot be read, and lists it in `skipped`.

    Raises UsageError and its kind for what is asked wrongly, DamagedStoreError and StoreError, with the slide's
    name, where a bag cannot be read.
    """

    def __init__(
        self,
        store: "FeatureStore",
        *,
        space: str | Sequence[str] | None = None,
        slides: Sequence[str] | None = None,
        labels: "Labels | None" = None,
        splits: "Splits | None" = None,
        part: str | None = None,
        fold: int | None = None,
        unit: Unit = "slide",
        layout: Layout = "packed",
        bags_per_batch: int | None = None,
        patches_per_batch: int | None = None,
        sample: Sampler | None = None,
        augment: Augmentation | None = None,
        balance: Balance | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        snapshot: str | None = None,
        device: "torch.device | str | None" = None,
        pin_memory: bool | None = None,
        read_ahead: int | Literal["auto"] = "auto",
        cache: str | os.PathLike[str] | tuple[str | os.PathLike[str], int] | None = None,
        dtype: Any = None,
        with_coords: bool = True,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> None:
        check_words(layout, balance, on_error, read_ahead)
        self.store = store.at(snapshot) if snapshot else store
        wanted = wanted_slides(slides, splits, part, fold)
        self._cohort = read_cohort(self.store, space, slides=wanted, unit=unit, strict=slides is not None)
        self.labels = labels
        keys = _label_keys(self._cohort, labels, strict=slides is not None)
        if bags_per_batch is None and patches_per_batch is None:
            bags_per_batch = 1
        self._plan_rules = PlanRules(
            seed=seed,
            shuffle=shuffle,
            bags_per_batch=bags_per_batch,
            budget=patches_per_batch,
            padded=layout == "padded",
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )
        self._rows = [_sampled(entry.rows, sample) for entry in self._cohort.entries]
        groups = [labels.group_of(key) for key in keys] if labels is not None else None
        self._balance = balance
        self._groups, self._within = self._balanced(balance, groups)
        if augment is not None and augment.needs_mate and groups is None:
            raise UsageError(
                f"{augment!r} mixes bags of one class, and there are no labels", remedy="Give labels=."
            )
        self._transfer: Transfer | None = transfer_to(device)
        pinned = self._transfer is not None if pin_memory is None else bool(pin_memory)
        if pinned:
            check_pinning()
        remote = self.store.objects.local is None
        self._threads = self._thread_count(read_ahead, remote)
        self._cache: ArrayCache | None = open_cache(
            cache, self.store, None if snapshot else self._cohort.live
        )
        self._maker = BatchMaker(
            BagSource(self.store, self._cohort, self._cache),
            self._cohort,
            BatchRules(seed, layout, sample, augment, with_coords, on_error),
            Rooms(numpy_dtype(dtype), pinned=pinned, spare=2 * (len(self._cohort.spaces) + 1)),
            targets=_targets(labels, keys),
            groups=groups,
        )
        self._position = Position()
        self._pace = Pace()
        self._plan: Plan | None = None
        # The next epoch's first batch, if the consumer's last step left time to make it.
        self._first: tuple[Plan, Answer[Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_first": None}

    def __repr__(self) -> str:
        rules = self._plan_rules
        parts = [f"{len(self._cohort.entries)} {self._cohort.unit}s", f"{sum(self._rows)} patches"]
        parts += [" + ".join(self._cohort.spaces), f"{len(self)} batches", f"epoch {self.epoch}"]
        if rules.world_size > 1:
            parts.append(f"rank {rules.rank} of {rules.world_size}")
        if self.left_out:
            parts.append(f"{len(self.left_out)} left out")
        return f"BagLoader({', '.join(parts)})"

    # What is streamed

    @property
    def spaces(self) -> tuple[str, ...]:
        """The spaces' full names, in the order asked for."""
        return self._cohort.spaces

    @property
    def bag_ids(self) -> tuple[str, ...]:
        """Every bag that is streamed, sorted: slide ids, or patient ids with `unit="patient"`."""
        return tuple(entry.bag_id for entry in self._cohort.entries)

    @property
    def left_out(self) -> dict[str, str]:
        """Bags and slides that were asked for and are not streamed, each with the reason."""
        return dict(self._cohort.left_out)

    @property
    def skipped(self) -> dict[str, str]:
        """Bags that could not be read so far (`on_error="skip"`), each with the reason."""
        return dict(self._maker.skipped)

    @property
    def waste(self) -> float:
        """The share of this epoch's batches that is padding, or budget that is not filled."""
        return self._plan_of(self.epoch).waste

    # Where it stands

    @property
    def epoch(self) -> int:
        """The epoch that is streamed, or comes next."""
        return self._position.epoch

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that comes next. The one that was just loaded by `load_state_dict` keeps its step."""
        self._position.set_epoch(epoch)

    def __len__(self) -> int:
        """Steps of this rank in the epoch. (A budget may pack another epoch's bags into one more or less.)"""
        return len(self._plan_of(self.epoch).steps)

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = self._position.begin()
        plan = self._plan_of(epoch)
        yield from self.batches(
            plan, range(min(start, len(plan.steps)), len(plan.steps)), self._position.reached
        )
        self._position.finish(epoch)

    def batches(
        self, plan: Plan, numbers: range, reached: Callable[[int, int], None] | None = None
    ) -> Iterator[Batch]:
        """The batches of some steps of a plan; `reached(epoch, step)` is called before each is handed over."""
        transfer = self._transfer
        first, self._first = self._first, None
        mine = first[1] if first is not None and first[0] is plan and numbers[:1] == range(1) else None
        ahead: ReadAhead[Any] = ReadAhead(self._making(plan), numbers, self._threads, self._pace, mine)
        del first, mine
        coming = iter(numbers)
        try:
            for item in ahead:
                number = next(coming)
                if reached is not None:
                    reached(plan.epoch, number + 1)
                    if number == numbers[-1]:
                        self._begin(plan.epoch + 1)
                if transfer is not None:
                    item = transfer.receive(item)
                held, item = [item], None
                yield held.pop()
        finally:
            ahead.close()

    def _making(self, plan: Plan) -> Callable[[int], Any]:
        transfer = self._transfer

        def make(number: int) -> Any:
            if transfer is None:
                return self.make(plan.steps[number], plan.epoch, number)
            with transfer.here():
                return transfer.send(self.make(plan.steps[number], plan.epoch, number))

        return make

    def _begin(self, epoch: int) -> None:
        """Has the first batch of the next epoch made while the consumer takes its last step of this one."""
        if self._threads is None and self._pace.ahead():
            plan = self._new_plan(epoch)
            if plan.steps:
                self._first = plan, made_alone(self._making(plan), 0)

    def make(self, draws: Sequence[Draw], epoch: int, step: int) -> Batch:
        """One batch of the bags drawn, in host memory."""
        return self._maker.make(draws, epoch, step)

    @property
    def on_device(self) -> bool:
        """Whether batches are brought to a device."""
        return self._transfer is not None

    def plan(self, epoch: int | None = None) -> Plan:
        """The batches of an epoch on this rank, by the bags' numbers in `bag_ids`."""
        return self._plan_of(self.epoch if epoch is None else epoch)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, as plain JSON: taken after a batch was handed over, what comes next is the batch
        after it. What shapes the batches is written down too, so that another loader refuses it."""
        return self._position.state(self._identity())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where the state was taken; the next iteration yields what was left of its epoch.

        Another number of threads, another device or another cache are well. Raises UsageError where the
        batches would be others: other bags or commits, another seed, world size, rank or batch size.
        """
        self._position.load(state, self._identity())

    def _identity(self) -> dict[str, Any]:
        rules = self._plan_rules
        return {
            "bags": self._cohort.digest,
            "seed": rules.seed,
            "world_size": rules.world_size,
            "rank": rules.rank,
            "shuffle": rules.shuffle,
            "bags_per_batch": rules.bags_per_batch,
            "patches_per_batch": rules.budget,
            "padded": rules.padded,
            "drop_last": rules.drop_last,
            "balance": self._balance,
            "drawn_from": self._drawn_from,
        }

    @cached_property
    def _drawn_from(self) -> str:
        """Changes with what else shapes the plan: the classes drawn from, and the rows that a budget counts."""
        rows = self._rows if self._plan_rules.budget or self._plan_rules.padded else ()
        groups = [None if each is None else [*map(str, each)] for each in (self._groups, self._within)]
        return xxhash.xxh3_128(json.dumps([[*map(int, rows)], groups]).encode()).hexdigest()

    def _plan_of(self, epoch: int) -> Plan:
        if self._plan is None or self._plan.epoch != epoch:
            begun = self._first[0] if self._first is not None else None
            self._plan = begun if begun is not None and begun.epoch == epoch else self._new_plan(epoch)
        return self._plan

    def _new_plan(self, epoch: int) -> Plan:
        return make_plan(self._rows, self._plan_rules, epoch, groups=self._groups, within=self._within)

    def _balanced(
        self, balance: Balance | None, groups: Sequence[Hashable] | None
    ) -> tuple[Sequence[Hashable] | None, Sequence[Hashable] | None]:
        if balance is None:
            return None, None
        patients = [entry.patient_id for entry in self._cohort.entries]
        if balance == "patient":
            return patients, None
        if groups is None:
            raise UsageError(f"balance={balance!r} needs classes", remedy="Give labels=.")
        return groups, patients if balance == "class+patient" else None

    def _thread_count(self, read_ahead: int | Literal["auto"], remote: bool) -> int | None:
        if read_ahead != "auto":
            return read_ahead
        if remote:
            return REMOTE_READ_AHEAD
        # What a GPU does is not seen in the time between two batches: there the thread always reads ahead.
        return None if self._transfer is None else 1


def _label_keys(cohort: Cohort, labels: "Labels | None", strict: bool) -> list[str]:
    """Under which id each bag's label stands; bags without one go, or are refused where they were named."""
    if labels is None:
        return []
    keys = {entry.bag_id: key for entry in cohort.entries if (key := _label_key(entry, labels)) is not None}
    without = [entry.bag_id for entry in cohort.entries if entry.bag_id not in keys]
    if without and strict:
        named = ", ".join(without[:5])
        raise UsageError(
            f"{len(without)} of the slides named have no label: {named}",
            remedy="Label them, or leave them out of slides=.",
        )
    if without:
        log.warning("bags without a label are left out", extra={"bags": len(without), "first": without[0]})
        cohort.keep(keys, "no label")
    if not cohort.entries:
        raise UsageError(
            "no bag has a label",
            remedy="Look at the ids in the table of labels, and at the slides asked for.",
        )
    return [keys[entry.bag_id] for entry in cohort.entries]


def _label_key(entry: BagEntry, labels: "Labels") -> str | None:
    if labels.by == "patient":
        return entry.patient_id if entry.patient_id in labels else None
    known = [slide for slide in entry.slide_ids if slide in labels]
    if len(known) > 1:
        targets = labels.targets(known)
        if any(not np.array_equal(targets[0], each) for each in targets[1:]):
            raise UsageError(
                f"the patient's slides have different labels: {', '.join(known[:5])}",
                remedy="Read the labels by='patient', or stream with unit='slide'.",
                slide=entry.patient_id,
            )
    return known[0] if known else None


def _targets(labels: "Labels | None", keys: Sequence[str]) -> NDArray[Any] | None:
    return None if labels is None else labels.targets(keys)


def _sampled(rows: int, sample: Sampler | None) -> int:
    """About how many rows of a bag come: a sampler that says its `n` or `share` is planned with."""
    n, share = getattr(sample, "n", None), getattr(sample, "share", None)
    if n is not None:
        return min(rows, int(n))
    return min(rows, max(1, round(float(share) * rows))) if share is not None else rows
