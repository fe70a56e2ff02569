"""Run reports, `runs/<run_id>.json`: written once, and written anew without the names of what is deleted.

Nothing is overwritten: the report without the names is put as `<run_id>~2.json`, the next one as `~3`, and then the
older goes. One with a higher number was made from those with lower ones, and counts.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from slidelake.store.objects import Objects
from slidelake.store.redact import Redactor

__all__ = ["put_report", "redact_reports"]

_FOLDER = "runs"


def put_report(objects: Objects, run_id: str, report: Mapping[str, Any], redactor: Redactor) -> bool:
    """Writes a run's report, without what is denied; False where there is one of this run."""
    key = f"{_FOLDER}/{run_id}.json"
    # A run that was at work when one of its slides was deleted must not write the names down again.
    if not objects.put_if_absent(key, _to_json(redactor.report({**report, "run_id": run_id}))):
        return False
    # A deletion may have passed here since.
    _redact(objects, key, redactor)
    return True


def redact_reports(objects: Objects, redactor: Redactor) -> int:
    """Writes the reports anew that name what is deleted; how many did."""
    newest: dict[str, str] = {}
    for key in sorted(objects.list(_FOLDER), key=_turn):
        stem, _ = _turn(key)
        if stem in newest:
            objects.delete(newest[stem])  # a call that was cut off left it
        newest[stem] = key
    return sum(_redact(objects, key, redactor) for key in newest.values())


def _redact(objects: Objects, key: str, redactor: Redactor) -> bool:
    """Writes one report anew where it holds names, and so what another deletion makes of it meanwhile."""
    changed = False
    stem, turn = _turn(key)
    while True:
        report = _read(objects, key)
        if report is not None:
            clean = redactor.report(report)
            if clean == report:
                return changed
            changed = True
            objects.put_if_absent(f"{stem}~{turn + 1}.json", _to_json(clean))
            objects.delete(key)
        newest = _tidied(objects, stem)
        if newest in (None, key):
            return changed
        key, turn = newest, _turn(newest)[1]


def _tidied(objects: Objects, stem: str) -> str | None:
    """The report of a run that counts; older ones go, as a slow call may put a number that was removed before."""
    there = sorted((key for key in objects.list(_FOLDER) if _turn(key)[0] == stem), key=_turn)
    for older in there[:-1]:
        objects.delete(older)
    return there[-1] if there else None


def _turn(key: str) -> tuple[str, int]:
    """A report's key without its number, and the number."""
    whole = key.removesuffix(".json")
    found = re.fullmatch(r"(.*)~([0-9]+)", whole)
    return (found[1], int(found[2])) if found else (whole, 1)


def _read(objects: Objects, key: str) -> dict[str, Any] | None:
    try:
        found = objects.read_json(key)
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _to_json(report: Mapping[str, Any]) -> bytes:
    return json.dumps(report, indent=1, allow_nan=False).encode()
