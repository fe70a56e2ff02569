"""What every part of the facade stands on: one store, and one index beside it."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidelake.index import SlideIndex
    from slidelake.store import FeatureStore

__all__ = ["LakePart"]


class LakePart(ABC):
    """A lake's store and index, for the groups of methods that `Lake` is made of."""

    store: "FeatureStore"

    @property
    @abstractmethod
    def index(self) -> "SlideIndex":
        """The LanceDB tables of this lake."""
