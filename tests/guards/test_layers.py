"""Who may import whom: the contracts in pyproject.toml, kept."""

import ast

import pytest

from tests.repository import PARTS, ROOT, python, tracked


def test_import_contracts_are_kept():
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    assert "0 broken" in python(code)


#: DESIGN's arrows. What is reached through another part (kernels through encoders) is that part's affair.
ARROWS = {
    "kernels": set(),
    "store": set(),
    "encoders": {"kernels", "store"},
    "ingest": {"store", "encoders"},
    "index": {"store", "encoders"},
    "services": set(PARTS) - {"services"},
}


@pytest.mark.parametrize("part", PARTS)
def test_parts_import_along_the_arrows_only(part):
    taken = {
        (other, file)
        for file in tracked(part, suffix=".py")
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        for other in _parts_of(node)
    }
    assert {(other, file) for other, file in taken if other not in ARROWS[part] | {part}} == set()


def _parts_of(node: ast.AST) -> set[str]:
    """The parts that an import statement takes from."""
    if isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    elif isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = []
    split = [name.split(".") for name in names]
    return {words[1] for words in split if words[0] == "slidelake" and len(words) > 1 and words[1] in PARTS}
