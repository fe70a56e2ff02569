"""Run a module of tests where pytest is not: on a GPU machine that has torch and Triton alone.

Takes functions `test_*` and classes `Test*` of plain methods, parametrised or not; no fixtures. The module may say
`import pytest` for its marks: without pytest a stand-in keeps them as pytest does.
"""

import importlib
import inspect
import itertools
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

__all__ = ["Collected", "collect", "run"]


class Collected(NamedTuple):
    """One call of a test: its name, as pytest has it without the file, and what to call."""

    name: str
    call: Callable[[], object]


class _Mark(NamedTuple):
    """What `pytest.mark.<name>(…)` leaves on a function, in the fields that pytest's own has."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's default, never changed

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and (inspect.isfunction(args[0]) or inspect.isclass(args[0])):
            args[0].pytestmark = [*getattr(args[0], "pytestmark", []), self]
            return args[0]
        return _Mark(self.name, args, kwargs)


class _Marks:
    def __getattr__(self, name: str) -> _Mark:
        return _Mark(name)


@contextmanager
def _marks_without_pytest() -> Iterator[None]:
    try:
        importlib.import_module("pytest")
    except ModuleNotFoundError:
        pass
    else:
        yield
        return
    stand_in = ModuleType("pytest")
    stand_in.mark = _Marks()  # type: ignore[attr-defined]
    sys.modules["pytest"] = stand_in
    try:
        yield
    finally:
        # Others look for pytest in sys.modules to learn whether they are under test.
        del sys.modules["pytest"]


def collect(module: str, *, only: str = "") -> list[Collected]:
    """The tests of a module by name, in the order of the file; `only`: those whose name holds this."""
    with _marks_without_pytest():
        loaded = importlib.import_module(module)
    found: list[Collected] = []
    for name, value in vars(loaded).items():
        if name.startswith("test_") and inspect.isfunction(value):
            found += _each(name, value, value)
        elif name.startswith("Test") and inspect.isclass(value) and value.__module__ == module:
            for method, function in inspect.getmembers(value, inspect.isfunction):
                if method.startswith("test_"):
                    found += _each(f"{name}::{method}", function, _bound(value, method))
    return [test for test in found if only in test.name]


def run(tests: list[Collected], *, tell: Callable[[str], None] = print) -> list[str]:
    """Run all; tells each one's time or its traceback, and returns the names of those that failed."""
    failed = []
    for test in tests:
        began = time.monotonic()
        try:
            test.call()
        except Exception:  # noqa: BLE001 - a test that fails is told, and the exit code says so
            tell(f"FAILED {test.name}\n{traceback.format_exc()}")
            failed.append(test.name)
        else:
            tell(f"passed {test.name} ({time.monotonic() - began:.2f} s)")
    return failed


def _bound(owner: type, method: str) -> Callable[..., object]:
    return lambda **arguments: getattr(owner(), method)(
        **arguments
    )  # a new object for each test, as pytest does


def _each(name: str, function: Callable[..., object], call: Callable[..., object]) -> Iterator[Collected]:
    marks = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
    wanted = set(inspect.signature(function).parameters) - {
        "self",
        *(each for mark in marks for each in _names(mark)),
    }
    if wanted:
        raise ValueError(f"{name} takes {', '.join(sorted(wanted))}: fixtures need pytest")
    for chosen in itertools.product(*(_axis(mark) for mark in marks)):
        arguments = {key: value for _, values in chosen for key, value in values.items()}
        label = "-".join(text for text, _ in chosen)
        yield Collected(f"{name}[{label}]" if label else name, lambda arguments=arguments: call(**arguments))


def _names(mark: Any) -> list[str]:
    names = mark.args[0]
    return [each.strip() for each in names.split(",")] if isinstance(names, str) else list(names)


def _axis(mark: Any) -> list[tuple[str, dict[str, Any]]]:
    """(label, arguments) for each value of one `parametrize`."""
    names, ids = _names(mark), mark.kwargs.get("ids")
    found = []
    for place, value in enumerate(mark.args[1]):
        parts = (value,) if len(names) == 1 else tuple(value)
        label = ids[place] if isinstance(ids, list) else "-".join(map(ids or str, parts))
        found.append((label, dict(zip(names, parts, strict=True))))
    return found
