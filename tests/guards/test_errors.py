"""The one error tree: drawn as it is, complete, and whole after a journey between processes."""

import pickle
import re

import pytest

from slidelake import errors

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == errors.__name__
}
LINE = re.compile(r"^(?P<lead>[│├└─ ]*)(?P<name>\w+Error)(?: \((?P<also>\w+)\))?(?: {2,}(?P<note>.*))?$")


def drawn() -> dict[str, tuple[str | None, str | None, str]]:
    """Name → (parent, builtin it also is, note), read from the drawing."""
    tree: dict[str, tuple[str | None, str | None, str]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        depth = len(found["lead"]) // 4
        tree[found["name"]] = (above[depth - 1] if depth else None, found["also"], found["note"] or "")
        above[depth:] = [found["name"]]
    return tree


def test_every_error_is_drawn_and_exported():
    assert set(drawn()) == set(CLASSES) == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_drawing_is_true(name):
    parent, also, note = drawn()[name]
    bases = [base.__name__ for base in CLASSES[name].__bases__]
    assert bases == [each for each in (parent or "Exception", also) if each]
    if code := re.search(r"exit code (\d+)", note):
        assert CLASSES[name].exit_code == int(code[1])
    if parent == "SlideError":
        assert CLASSES[name].reason == note.strip()


def test_reasons_of_quarantine_are_distinct():
    reasons = [each.reason for each in CLASSES.values() if issubclass(each, errors.SlideError)]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_errors_survive_the_journey_to_another_process(name):
    error = CLASSES[name]("no mpp", remedy="Pass --assume-mpp 0.5.", slide="S1")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert (back.problem, back.remedy, back.slide) == ("no mpp", "Pass --assume-mpp 0.5.", "S1")
    assert str(back) == "S1: no mpp. Pass --assume-mpp 0.5."
    assert str(CLASSES[name]("no mpp")) == "no mpp"
