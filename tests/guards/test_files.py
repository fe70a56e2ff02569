"""Files stay small, links stay links, and nothing is swallowed."""

import ast
import re

import pytest

from tests.repository import PARTS, ROOT, tracked

PYTHON = tracked(suffix=".py")


@pytest.mark.parametrize("part", PARTS)
def test_src_links_to_the_root_folder(part):
    link = ROOT / "src" / "slidelake" / part
    assert link.is_symlink()
    assert link.readlink().as_posix() == f"../../{part}"


@pytest.mark.parametrize("part", [*PARTS, "benchmarks"])
def test_each_part_says_what_it_is(part):
    text = (ROOT / part / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# ")


def test_no_file_is_long():
    limits = {name: 500 if name.startswith("tests/") else 400 for name in PYTHON}
    lengths = {name: len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in PYTHON}
    assert {name: lines for name, lines in lengths.items() if lines > limits[name]} == {}


def broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        each is None or (isinstance(each, ast.Name) and each.id in ("Exception", "BaseException"))
        for each in caught
    )


def swallowed(tree: ast.AST) -> list[int]:
    """Lines where any error at all is caught and nothing is done about it."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and broad(node):
            idle = all(
                isinstance(each, ast.Pass | ast.Continue | ast.Break)
                or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))
                for each in node.body
            )
            if idle or node.type is None:
                lines.append(node.lineno)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            names = {ast.unparse(each) for each in node.args}
            if names & {"Exception", "BaseException"}:
                lines.append(node.lineno)
    return lines


def test_no_error_is_swallowed():
    found = {name: swallowed(ast.parse((ROOT / name).read_text(encoding="utf-8"))) for name in PYTHON}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "code",
    [
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept (ValueError, BaseException): ...",
        "try: f()\nexcept: raise",
        "for x in y:\n  try: f()\n  except Exception as e: continue",
        "with contextlib.suppress(Exception): f()",
    ],
)
def test_the_guard_itself_sees_what_is_swallowed(code):
    assert swallowed(ast.parse(code))


def test_nothing_is_left_for_later():
    later = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|raise NotImplemented" r"Error")
    found = [name for name in PYTHON if later.search((ROOT / name).read_text(encoding="utf-8"))]
    assert found == []


def test_links_between_documents_lead_somewhere():
    broken = []
    for name in tracked(suffix=".md"):
        text = re.sub(r"```.*?```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path = target.partition("#")[0]
            if path and "://" not in path and not path.startswith("mailto:"):
                broken += [f"{name}: {target}"] * (not (ROOT / name).parent.joinpath(path).exists())
    assert broken == []


@pytest.mark.parametrize("name", tracked("README.md", "benchmarks/README.md", "CONTRIBUTING.md"))
def test_benchmarks_that_documents_name_exist(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"\bbenchmarks[./](\w+)(?![\w/])", text))
    named |= (
        set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))
        if name.startswith("benchmarks")
        else set()
    )
    there = {path.stem for path in (ROOT / "benchmarks").iterdir()}
    assert named - there == set()
