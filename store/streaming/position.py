"""Where a loader stands in its epochs, and how that is written down."""

from collections.abc import Mapping
from typing import Any

from slidelake.errors import UsageError

__all__ = ["Position"]

_VERSION = 1


class Position:
    """The epoch, the steps of it that were handed over, and where the next iteration begins."""

    def __init__(self) -> None:
        self.epoch = 0
        self.step = 0
        self._loaded: tuple[int, int] | None = None

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is of this epoch, from its beginning, or from where a state of it was taken."""
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise UsageError(f"the epoch is {epoch!r}", remedy="Epochs count from 0.")
        if self._loaded is not None and self._loaded[0] == epoch:
            return
        self.epoch, self.step, self._loaded = epoch, 0, None

    def begin(self) -> tuple[int, int]:
        """The epoch and step with which an iteration begins."""
        epoch, step = self._loaded or (self.epoch, 0)
        self.epoch, self.step, self._loaded = epoch, step, None
        return epoch, step

    def reached(self, epoch: int, step: int) -> None:
        """So many steps of an epoch were handed over."""
        self.epoch, self.step = epoch, step

    def finish(self, epoch: int) -> None:
        """The epoch is over: the next follows."""
        self.epoch, self.step = epoch + 1, 0

    def state(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """As plain JSON, with what shapes the batches."""
        return {"version": _VERSION, "epoch": self.epoch, "step": self.step, **identity}

    def load(self, state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        """Takes over a state; raises UsageError where it was taken of other batches."""
        if state.get("version") != _VERSION or not {"epoch", "step", *identity} <= state.keys():
            raise UsageError(
                "this is no state of such a loader", remedy="Give what its state_dict() gave, whole."
            )
        for name, mine in identity.items():
            if state[name] != mine:
                raise UsageError(_difference(name, state[name], mine), remedy=_remedy(name))
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
        self._loaded = (self.epoch, self.step)


def _difference(name: str, theirs: Any, mine: Any) -> str:
    if name == "bags":
        return "the state was taken of other bags: some came, went or were made again since, or others are asked for"
    if name == "drawn_from":
        return "the state was taken of other classes or rows: a table of labels changed since, or the sampling did"
    return f"the state was taken with {name}={theirs!r}, this loader has {mine!r}"


def _remedy(name: str) -> str:
    if name == "bags":
        return "Stream a snapshot (snapshot=), which stays as it is, or begin the epoch again with set_epoch."
    return "Make the loader as it was, or begin the epoch again with set_epoch."
