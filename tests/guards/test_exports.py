"""What each package says is public: complete, sorted, there, and all that other parts use."""

import ast
from importlib import import_module
from types import ModuleType

import pytest

from tests.repository import PARTS, ROOT, module_of, tracked

PACKAGES = [module_of(name) for name in tracked(*PARTS, "src", suffix="__init__.py")]


def syntax(module: str) -> ast.Module:
    path = (ROOT / "src" / module.replace(".", "/")).resolve()
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def order(name: str) -> tuple[int, str]:
    """Constants, classes, the rest: the order that ruff gives `__all__`."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, name


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_sorted_and_there(name):
    module = import_module(name)
    exported = module.__all__
    assert exported == sorted(exported, key=order)
    assert len(set(exported)) == len(exported)
    for each in exported:
        assert getattr(module, each) is not None, f"{name}.{each}"


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_complete(name):
    module = import_module(name)
    own = {
        each
        for each, value in vars(module).items()
        if not each.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", "").startswith("slidelake")
    }
    assert own <= set(module.__all__), f"public in {name}, but not in its __all__"


@pytest.mark.parametrize("name", PACKAGES)
def test_lazy_names_are_typed(name):
    """A name that `__getattr__` gives is imported under TYPE_CHECKING too, or mypy would know nothing of it."""
    module = import_module(name)
    bound = {
        alias.asname or alias.name
        for node in ast.walk(syntax(name))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    own = {each for each in module.__all__ if each not in bound and each not in vars(module)}
    assert not own


def cross_part_imports() -> list[tuple[str, str, str]]:
    """(file, part, what it takes from it) for each import of one part's code by another part or a benchmark."""
    found = []
    for file in tracked(*PARTS, "benchmarks", suffix=".py"):
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("slidelake."):
                continue
            part = (node.module or "").split(".")[1]
            if part in PARTS and part != file.split("/")[0]:
                found += [(file, node.module or "", alias.name) for alias in node.names]
    return found


def test_parts_use_only_what_others_export():
    """`from slidelake.store import Bag`, never `from slidelake.store.bag import Bag`: files may move freely."""
    private = [
        f"{file}: {module}.{name}"
        for file, module, name in cross_part_imports()
        if f"{module}.{name}" not in PACKAGES
        and (module not in PACKAGES or name not in getattr(import_module(module), "__all__", ()))
    ]
    assert not private
