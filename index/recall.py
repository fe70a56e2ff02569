"""How many of the true nearest an approximate index finds: measured when it is made, never believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidelake.index.scope import Opened

__all__ = ["probes_for"]

_MIN_PROBES = 20


def probes_for(opened: Opened) -> int:
    """Partitions that a search of the table looks into."""
    partitions = max(1, int(opened.table.count_rows()) // 4096)
    return max(_MIN_PROBES, partitions // 16)
