"""Algorithmic unit tests of slide encoders: does one respect what multiple-instance learning assumes?

Raff and Holt 2023 (arXiv 2310.17867): bags with a shortcut in training that is turned round in testing. A model that
took the shortcut has an AUC below 0.5 there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from slidelake.encoders.mil_tests.bags import MIL_TESTS, BagsToTest, MilTest
from slidelake.encoders.mil_tests.table import MilTable, MilVerdict

if TYPE_CHECKING:
    from slidelake.encoders.mil_tests.picture import draw_table
    from slidelake.encoders.mil_tests.run import run_mil_tests

__all__ = [
    "MIL_TESTS",
    "BagsToTest",
    "MilTable",
    "MilTest",
    "MilVerdict",
    "draw_table",
    "run_mil_tests",
]

#: These bring torch, scikit-learn or Pillow, and wait until they are asked for.
_HOME = {"draw_table": "picture", "run_mil_tests": "run"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"slidelake.encoders.mil_tests.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
