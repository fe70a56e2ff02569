"""Tuning data: reports, patches, captions and labels become rows with evidence."""

from typing import TYPE_CHECKING, Any

from slidelake.services.tuning.data.row import Evidence, PatchPlace, TuningRow, Turn, row_id

if TYPE_CHECKING:
    from slidelake.services.tuning.data.assemble import Assembly
    from slidelake.services.tuning.data.captions import CaptionOptions, make_caption_data
    from slidelake.services.tuning.data.clean import CleaningOptions
    from slidelake.services.tuning.data.cleaned_data import make_clean_data, source_resolvers
    from slidelake.services.tuning.data.duplicates import Duplicates
    from slidelake.services.tuning.data.generator import (
        Generator,
        Prompt,
        Recorded,
        Reply,
        generator_kind,
        open_generator,
        reply_json,
        reply_problem,
    )
    from slidelake.services.tuning.data.pipeline import Item, Made, Run, Step
    from slidelake.services.tuning.data.report_cases import make_report_data, report_rows
    from slidelake.services.tuning.data.request import DataRequest
    from slidelake.services.tuning.data.split import PatientSplit, check_splits
    from slidelake.services.tuning.data.verify import Resolver, Verified, verify_rows
    from slidelake.services.tuning.data.write import read_rows
    from slidelake.services.tuning.data.zero_shot import ZeroShotOptions, make_zero_shot_data

__all__ = [
    "Assembly",
    "CaptionOptions",
    "CleaningOptions",
    "DataRequest",
    "Duplicates",
    "Evidence",
    "Generator",
    "Item",
    "Made",
    "PatchPlace",
    "PatientSplit",
    "Prompt",
    "Recorded",
    "Reply",
    "Resolver",
    "Run",
    "Step",
    "TuningRow",
    "Turn",
    "Verified",
    "ZeroShotOptions",
    "check_splits",
    "generator_kind",
    "make_caption_data",
    "make_clean_data",
    "make_report_data",
    "make_zero_shot_data",
    "open_generator",
    "read_rows",
    "reply_json",
    "reply_problem",
    "report_rows",
    "row_id",
    "source_resolvers",
    "verify_rows",
]

_HOME = {
    "Assembly": "assemble",
    "CaptionOptions": "captions",
    "CleaningOptions": "clean",
    "DataRequest": "request",
    "Duplicates": "duplicates",
    "Generator": "generator",
    "Item": "pipeline",
    "Made": "pipeline",
    "PatientSplit": "split",
    "Prompt": "generator",
    "Recorded": "generator",
    "Reply": "generator",
    "Resolver": "verify",
    "Run": "pipeline",
    "Step": "pipeline",
    "Verified": "verify",
    "ZeroShotOptions": "zero_shot",
    "check_splits": "split",
    "generator_kind": "generator",
    "make_caption_data": "captions",
    "make_clean_data": "cleaned_data",
    "make_report_data": "report_cases",
    "make_zero_shot_data": "zero_shot",
    "open_generator": "generator",
    "read_rows": "write",
    "reply_json": "generator",
    "reply_problem": "generator",
    "report_rows": "report_cases",
    "source_resolvers": "cleaned_data",
    "verify_rows": "verify",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"slidelake.services.tuning.data.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
