"""What is known of one slide, as plain values."""

from typing import TYPE_CHECKING, Any

import numpy as np

from slidelake.errors import UnknownSlideError
from slidelake.index import read_cohort

if TYPE_CHECKING:
    from slidelake.services.lake import Lake

__all__ = ["slide_facts"]


def slide_facts(lake: "Lake", slide_id: str) -> dict[str, Any]:
    """Patient, size (level-0 px), mpp, metadata, spaces with patch counts, reports. Raises UnknownSlideError."""
    catalog = lake.slides
    rows = catalog[catalog["slide_id"].str.casefold() == slide_id.casefold()] if len(catalog) else catalog
    if not len(rows):
        raise UnknownSlideError(
            "the lake has no such slide", remedy="Use an id from a search's hits.", slide=slide_id
        )
    row = rows.iloc[0].to_dict()
    spaces = [
        {"space": space, "patches": int(patches)}
        for space, patches in zip(row["spaces"], row["space_patches"], strict=True)
    ]
    facts = {name: _plain(row.get(name)) for name in ("slide_id", "patient_id", "mpp", "width", "height")}
    said = read_cohort(lake.store).values.get(str(row["slide_id"]), {})
    metadata = {str(name): _plain(value) for name, value in said.items()}
    return {**facts, "metadata": metadata, "spaces": spaces, "reports": _reports(lake, row)}


def _reports(lake: "Lake", row: dict[str, Any]) -> list[dict[str, str]]:
    reports = lake.store.reports.of_slide(str(row["slide_id"]), str(row["patient_id"]))
    return [{"report_id": report.report_id, "title": report.title} for report in reports]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if value is None or value != value else value
