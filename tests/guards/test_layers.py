"""Who may import whom: the contracts in pyproject.toml, kept."""

import tomllib

from tests.repository import PARTS, ROOT, python


def test_import_contracts_are_kept():
    code = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports(no_cache=True))
"""
    assert "0 broken" in python(code)


def test_the_contracts_say_what_the_design_says():
    """Each part may import those before it in the list as far as the arrows go; nothing imports services."""
    allowed = {
        "kernels": set(), "store": set(), "encoders": {"kernels", "store"},
        "ingest": {"store", "encoders"}, "index": {"store", "encoders"}, "services": set(PARTS) - {"services"},
    }  # fmt: skip
    forbidden = {
        (part, other) for part in PARTS for other in PARTS if part != other and other not in allowed[part]
    }
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    held = set()
    for contract in contracts:
        if contract["type"] == "independence":
            modules = [each.removeprefix("slidelake.") for each in contract["modules"]]
            held |= {(a, b) for a in modules for b in modules if a != b}
        else:
            held |= {
                (source.removeprefix("slidelake."), target.removeprefix("slidelake."))
                for source in contract["source_modules"]
                for target in contract["forbidden_modules"]
            }
    assert forbidden - held == set()
