"""The lake's reports: texts that are added, searched and asked about."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidelake.store import FeatureStore

__all__ = ["TextMethods"]


class TextMethods:
    """What `Lake` has of reports."""

    store: "FeatureStore"
