"""Tuning data: reports, patches, captions and labels become rows with evidence."""

from slidelake.services.tuning.data.row import Evidence, PatchPlace, TuningRow, Turn, row_id

__all__ = ["Evidence", "PatchPlace", "TuningRow", "Turn", "row_id"]
