"""A store whose process ends at its k-th step: nothing after that is done, no clean-up either."""

from collections.abc import Callable
from typing import Any

from slidelake.store import FeatureStore, Objects

__all__ = ["Crash", "crashing"]

_STEPS = (
    *("read", "list", "exists", "put_if_absent", "replace", "delete", "delete_tree", "prune"),
    *("new_file", "sync_tree"),
)


class Crash(BaseException):
    """The process ends here."""


class _Crashing(Objects):
    left = 10**9

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Crash


def _stepping(name: str) -> Callable[..., Any]:
    def step(self: _Crashing, *arguments: Any) -> Any:
        self.step()
        return getattr(Objects, name)(self, *arguments)

    return step


for _name in _STEPS:
    setattr(_Crashing, _name, _stepping(_name))


def crashing(store: FeatureStore, k: int) -> FeatureStore:
    """The same store for a process that ends after k steps."""
    objects = _Crashing(store.url)
    objects.left = k
    return FeatureStore(objects, store.info)
