"""Requests made from our own OpenAPI document, valid and not: none of them is the server's failure."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error

from slidelake.services.api import ServeSettings, create_app
from slidelake.services.lake import open as open_lake

#: Every other request of an operation names what there is: not all shall end at an unknown id.
KNOWN = {"slide_id": "S1", "space": "256px-0.5mpp"}


@pytest.fixture
def schema(archive: Path, tmp_path: Path) -> Any:
    """Our document, over an app whose lake may be deleted slide by slide."""
    shutil.copytree(archive / "lake", tmp_path / "lake")
    app = create_app(open_lake(tmp_path / "lake"), ServeSettings(fresh_for=60.0))
    return schemathesis.openapi.from_asgi("/api/openapi.json", app)


def ask(schema: Any, examples: int, chance: int) -> dict[str, list[int]]:
    """Ask each operation that often: the statuses, by operation. Raises for one of 500 and above."""
    statuses: dict[str, list[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        seen = statuses[f"{operation.method.upper()} {operation.path}"] = []
        _asked(operation, seen, examples, chance)()
    return statuses


def _asked(operation: Any, seen: list[int], examples: int, chance: int) -> Callable[[], None]:
    @seed(chance)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy())
    def once(case: Any) -> None:
        if len(seen) % 2:
            for asked in (case.path_parameters or {}, case.query or {}):
                asked.update({name: KNOWN[name] for name in KNOWN.keys() & asked})
        answer = case.call()
        seen.append(answer.status_code)
        case.validate_response(answer, checks=[not_a_server_error])

    return once


def test_no_request_of_our_document_breaks_the_server(schema: Any) -> None:
    statuses = ask(schema, 6, 0)
    assert len(statuses) > 15
    assert sum(200 in seen for seen in statuses.values()) > 5
    assert max(max(seen) for seen in statuses.values()) < 500


@pytest.mark.long
@pytest.mark.parametrize("chance", [1, 2, 3])
def test_nor_do_many(schema: Any, chance: int) -> None:
    statuses = ask(schema, 150, chance)
    assert max(max(seen) for seen in statuses.values()) < 500
