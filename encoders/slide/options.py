"""Checks of the options that slide encoders take: UsageError names the option, its value and what it may be."""

from collections.abc import Collection

from slidelake.errors import UsageError

__all__ = ["choice", "number", "refuse_fixed", "share", "switch", "whole"]

#: What `create_slide_model` is told besides options.
_FIXED = ("name", "dim", "outputs")


def whole(name: str, value: object, *, least: int = 1) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise _wrong(name, value, f"a whole number of at least {least}")
    return value


def number(name: str, value: object, *, least: float = 0.0) -> float:
    """A finite number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise _wrong(name, value, f"a number of at least {least:g}")
    return float(value)


def share(name: str, value: object) -> float:
    """A number of at least 0 and below 1: of units that dropout takes, of a loss."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise _wrong(name, value, "a number of at least 0 and below 1")
    return float(value)


def switch(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise _wrong(name, value, "true or false")
    return value


def choice(name: str, value: object, among: Collection[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in among:
        raise _wrong(name, value, f"one of {', '.join(sorted(among))}")
    return value


def refuse_fixed(name: str, options: Collection[str]) -> None:
    """UsageError where options by name hold what follows from the bags and the task, and is no option."""
    for each in _FIXED:
        if each in options:
            raise UsageError(
                f"{name} hold {each!r}, which is no option",
                remedy="Leave it out: it follows from the slide encoder, the bags and the task.",
            )


def _wrong(name: str, value: object, wanted: str) -> UsageError:
    return UsageError(f"{name} is {value!r}", remedy=f"Give {wanted}.")
