"""The README's figures are those of the committed results."""

import sys

import pytest

from benchmarks import readme_table


def test_the_readme_shows_the_committed_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["readme_table", "--check"])
    assert readme_table.main() == 0, "run `python -m benchmarks.readme_table`"
